//! What moved since the figures that are committed.

use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::section::Section;
use crate::tools::root;

/// Figures by title and row, of those units that can be compared with another run.
pub(crate) type Figures = BTreeMap<String, Value>;

/// The median of one figure, and the spread of its rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Value {
    pub(crate) median: f64,
    pub(crate) spread: Option<f64>,
}

/// How one figure differs from the one that is committed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// It is committed, and was not measured.
    Gone(String),
    Moved {
        name: String,
        from: Value,
        to: Value,
    },
    New(String),
}

/// What can be compared of some sections, rounded as it is written.
pub(crate) fn figures(sections: &[Section]) -> Figures {
    let mut figures = Figures::new();
    for section in sections {
        for figure in section.figures.iter().filter(|figure| figure.unit.is_compared()) {
            let name = format!("{}: {}", section.title, figure.what.join(", "));
            let spread = figure.spread().map(|spread| (spread * 1000.0).round() / 1000.0);
            figures.insert(name, Value { median: significant(figure.median()), spread });
        }
    }
    figures
}

/// The figures that moved by more than 5 %, the largest change first, then those that only one of both has.
pub(crate) fn changes(committed: &Figures, measured: &Figures) -> Vec<Change> {
    let mut moved: Vec<_> = measured
        .iter()
        .filter_map(|(name, to)| Some((name, *committed.get(name)?, *to)))
        .filter(|(_, from, to)| by(*from, *to).abs() > TOLERATED + f64::EPSILON)
        .collect();
    moved.sort_by(|(_, from, to), (_, from2, to2)| {
        by(*from2, *to2).abs().total_cmp(&by(*from, *to).abs())
    });
    let moved =
        moved.into_iter().map(|(name, from, to)| Change::Moved { name: name.clone(), from, to });
    let only = |these: &Figures, those: &Figures| {
        let names = these.keys().filter(|name| !those.contains_key(*name));
        names.cloned().collect::<Vec<_>>()
    };
    let new = only(measured, committed).into_iter().map(Change::New);
    let gone = only(committed, measured).into_iter().map(Change::Gone);
    moved.chain(new).chain(gone).collect()
}

/// The change as a share of what is committed.
fn by(from: Value, to: Value) -> f64 {
    if from.median == to.median { 0.0 } else { to.median / from.median - 1.0 }
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(name) => write!(out, "   gone  {name}"),
            Self::New(name) => write!(out, "    new  {name}"),
            Self::Moved { name, from, to } => {
                let spread = |value: &Value| {
                    value.spread.map_or("-".to_owned(), |spread| format!("{:.0} %", spread * 100.0))
                };
                let change = by(*from, *to) * 100.0;
                write!(out, "{change:+6.0} %  {name}: {} to {} ", from.median, to.median)?;
                write!(out, "(spread {} and {})", spread(from), spread(to))
            }
        }
    }
}

/// The figures of the last commit.
pub(crate) fn committed() -> Result<Figures> {
    let shown =
        Command::new("git").args(["show", &format!("HEAD:{FILE}")]).current_dir(root()).output();
    let text = match shown {
        Ok(shown) if shown.status.success() => String::from_utf8(shown.stdout)?,
        // There is no git here, or it is not committed yet.
        _ => std::fs::read_to_string(root().join(FILE))
            .with_context(|| format!("{FILE} cannot be read"))?,
    };
    serde_json::from_str(&text).with_context(|| format!("{FILE} has another form"))
}

/// Writes them, one figure a line.
pub(crate) fn write(figures: &Figures) -> Result<()> {
    let lines = figures.iter().map(|(name, value)| {
        anyhow::Ok(format!("  {}: {}", serde_json::to_string(name)?, serde_json::to_string(value)?))
    });
    let lines = lines.collect::<Result<Vec<_>>>()?.join(",\n");
    Ok(std::fs::write(root().join(FILE), format!("{{\n{lines}\n}}\n"))?)
}

/// Four digits that count.
fn significant(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

pub(crate) const FILE: &str = "benchmarks.json";
const TOLERATED: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::super::figure::{Figure, Unit};
    use super::*;

    fn of(all: &[(&str, f64)]) -> Figures {
        let value = |median| Value { median, spread: None };
        all.iter().map(|(name, median)| ((*name).to_owned(), value(*median))).collect()
    }

    // A change of exactly 5 % is tolerated, in both directions.
    #[test]
    fn figures_that_moved_by_more_than_five_percent_are_named_the_largest_change_first() {
        let committed = of(&[("a", 100.0), ("b", 100.0), ("c", 100.0), ("d", 100.0), ("e", 0.0)]);
        let measured = of(&[("a", 106.0), ("b", 95.0), ("c", 70.0), ("d", 104.9), ("e", 0.0)]);
        let names: Vec<_> =
            changes(&committed, &measured).iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            ["   -30 %  c: 100 to 70 (spread - and -)", "    +6 %  a: 100 to 106 (spread - and -)"]
        );
    }

    // A contestant was added, and one was removed.
    #[test]
    fn figures_that_only_one_of_both_has_are_named() {
        let changes = changes(&of(&[("a", 1.0), ("b", 1.0)]), &of(&[("b", 1.0), ("c", 1.0)]));
        assert_eq!(changes, [Change::New("c".to_owned()), Change::Gone("a".to_owned())]);
    }

    // A time depends on the machine; a ratio and a size hardly do.
    #[test]
    fn times_and_rates_are_not_compared() {
        let units = [Unit::Nanoseconds, Unit::PerSecond, Unit::Share, Unit::Bytes];
        let figures_of =
            units.map(|unit| Figure::new(&format!("{unit:?}"), unit, vec![1.23456; 3]));
        let section = Section { figures: figures_of.into(), ..Section::new("T", "") };
        let value = Value { median: 1.235, spread: Some(0.0) };
        let expected = ["T: Bytes", "T: Share"].map(|name| (name.to_owned(), value));
        assert_eq!(figures(&[section]), Figures::from(expected));
    }

    // What this command compares with.
    #[test]
    fn the_committed_figures_can_be_read() {
        assert!(committed().unwrap().len() > 50);
    }
}
