//! Sections of BENCHMARKS.md: a title and a table of figures.

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::figure::{Figure, Goal};

/// Figures of one kind.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Section {
    pub(crate) title: String,
    /// How they were measured.
    pub(crate) about: String,
    /// The names of the columns of each figure.
    pub(crate) head: Vec<String>,
    pub(crate) figures: Vec<Figure>,
}

impl Section {
    /// A section of figures that Rust measures: what, and more about it.
    pub(crate) fn new(title: &str, about: &str) -> Self {
        let head = ["what", "more"].map(str::to_owned).into();
        Self { title: title.to_owned(), about: about.to_owned(), head, figures: Vec::new() }
    }

    /// The table, with the figure and its spread first.
    pub(crate) fn table(&self) -> String {
        let mut head = vec!["median (goal)".to_owned(), "spread".to_owned()];
        head.extend(self.head.clone());
        let line = vec!["---".to_owned(); head.len()];
        let rows = self.figures.iter().map(row);
        let rows = [head, line].into_iter().chain(rows);
        rows.map(|row| format!("| {} |\n", row.join(" | "))).collect()
    }
}

/// The sections of two jobs; figures with one title come into one table.
pub(crate) fn joined(all: &mut Vec<Section>, more: Vec<Section>) {
    for section in more {
        match all.iter_mut().find(|one| one.title == section.title) {
            Some(one) => one.figures.extend(section.figures),
            None => all.push(section),
        }
    }
}

/// The contests to measure again: those of unsteady figures.
pub(crate) fn unsteady(sections: &[Section]) -> Vec<String> {
    contests(sections, Figure::is_unsteady)
}

/// The contests of some figures, each once.
pub(crate) fn contests(sections: &[Section], which: impl Fn(&Figure) -> bool) -> Vec<String> {
    let figures = sections.iter().flat_map(|section| &section.figures);
    let mut contests: Vec<_> =
        figures.filter(|figure| which(figure)).map(|figure| figure.contest.clone()).collect();
    contests.sort_unstable();
    contests.dedup();
    contests
}

/// Of a figure that was measured again, the steadier measurement stays.
pub(crate) fn steadier(sections: &mut [Section], again: Vec<Section>) {
    for section in again {
        let Some(first) = sections.iter_mut().find(|one| one.title == section.title) else {
            continue;
        };
        for figure in section.figures {
            let same = |one: &&mut Figure| one.what == figure.what;
            if let Some(one) = first.figures.iter_mut().find(same)
                && figure.spread() < one.spread()
            {
                *one = figure;
            }
        }
    }
}

/// Fails if something was not measured.
pub(crate) fn check(job: &str, sections: &[Section]) -> Result<()> {
    ensure!(!sections.is_empty(), "{job} measured nothing");
    for Section { title, head, figures, .. } in sections {
        ensure!(!figures.is_empty(), "{job} has no figure in \"{title}\"");
        for figure in figures {
            let (what, columns) = (figure.what.join(", "), figure.what.len() + figure.more.len());
            ensure!(columns == head.len(), "{title}: {what}: {columns} columns of {}", head.len());
            let is_measured =
                !figure.rounds.is_empty() && figure.rounds.iter().all(|one| one.is_finite());
            ensure!(is_measured, "{title}: {what}: {:?} is not a measurement", figure.rounds);
        }
    }
    Ok(())
}

fn row(figure: &Figure) -> Vec<String> {
    let written = |value| figure.unit.written(value);
    let mut median = format!("**{}**", written(figure.median()));
    if let Some(Goal::Least(goal) | Goal::Most(goal)) = figure.goal {
        median += &format!(" ({})", written(goal));
    }
    if figure.misses_its_goal() {
        median += " missed";
    }
    let spread = figure.spread().map_or("-".to_owned(), |spread| {
        format!("{:.0} %{}", spread * 100.0, if figure.is_unsteady() { " unsteady" } else { "" })
    });
    let mut row = vec![median, spread];
    row.extend(figure.what.iter().chain(&figure.more).cloned());
    row
}

#[cfg(test)]
mod tests {
    use super::super::figure::Unit;
    use super::*;

    fn figure(what: &str, contest: &str, rounds: [f64; 3]) -> Figure {
        Figure { contest: contest.to_owned(), ..Figure::new(what, Unit::Share, rounds.into()) }
    }

    fn section(figures: Vec<Figure>) -> Section {
        Section { figures, ..Section::new("Polls", "") }
    }

    // One figure is steady, two of one contest are not.
    #[test]
    fn the_contests_of_unsteady_figures_are_measured_again_and_each_once() {
        let steady = figure("a", "one", [0.99, 1.0, 1.01]);
        let others = ["b", "c"].map(|what| figure(what, "two", [0.8, 1.0, 1.2]));
        let [b, c] = others;
        assert_eq!(unsteady(&[section(vec![steady, b, c])]), ["two"]);
    }

    // The second measurement of one is steadier, of the other it is not.
    #[test]
    fn the_steadier_of_two_measurements_stays() {
        let mut first =
            [section(vec![figure("a", "", [0.8, 1.0, 1.2]), figure("b", "", [0.8, 1.0, 1.2])])];
        let again =
            section(vec![figure("a", "", [0.9, 2.0, 2.1]), figure("b", "", [0.5, 1.0, 1.5])]);
        let steady = section(vec![figure("a", "", [1.99, 2.0, 2.01])]);
        steadier(&mut first, vec![steady, again]);
        let medians: Vec<_> = first[0].figures.iter().map(Figure::median).collect();
        assert_eq!(medians, [2.0, 1.0]);
    }

    // A goal that is missed, and rounds that are far apart.
    #[test]
    fn a_row_has_median_goal_and_spread_and_marks_what_is_missed_and_unsteady() {
        let mut steady =
            figure("steady", "", [0.795, 0.79, 0.8]).at_least(0.8).more("81,046/s".to_owned());
        let mut wild = figure("wild", "", [0.5, 1.0, 1.5]);
        let once = Figure { rounds: vec![0.8], ..steady.clone() };
        (steady.what, wild.what) = (vec!["steady".to_owned()], vec!["wild".to_owned()]);
        assert_eq!(
            section(vec![steady, wild, once]).table(),
            "| median (goal) | spread | what | more |\n| --- | --- | --- | --- |\n\
             | **80 %** (80 %) missed | 1 % | steady | 81,046/s |\n\
             | **100 %** | 80 % unsteady | wild |  |\n\
             | **80 %** (80 %) | - | steady | 81,046/s |\n"
        );
    }

    // Nothing, a table without rows, a row without rounds, a division by zero, a column too few.
    #[test]
    fn what_was_not_measured_is_an_error() {
        let good = figure("a", "", [1.0; 3]);
        assert!(check("polls", &[section(vec![good.clone()])]).is_ok());
        let bad = [
            Figure { rounds: vec![], ..good.clone() },
            Figure { rounds: vec![1.0, f64::INFINITY], ..good.clone() },
            Figure { more: vec![], ..good },
        ];
        let errors = bad.map(|figure| check("polls", &[section(vec![figure])]).is_err());
        assert_eq!(errors, [true; 3]);
        let error = |sections: &[Section]| check("polls", sections).unwrap_err().to_string();
        assert_eq!(error(&[]), "polls measured nothing");
        assert_eq!(error(&[section(vec![])]), "polls has no figure in \"Polls\"");
    }
}
