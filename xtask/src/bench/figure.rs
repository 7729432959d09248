//! A figure: what was measured in several rounds, its median, and how far the rounds are apart.

use std::time::Duration;

use serde::Deserialize;

/// One row of a table. Programs that measure print it as JSON.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Figure {
    /// What is measured again if this is unsteady.
    #[serde(default)]
    pub(crate) contest: String,
    /// The columns that say what was measured; no other row of the table has the same.
    pub(crate) what: Vec<String>,
    pub(crate) unit: Unit,
    /// One value for each round, in the order of time.
    pub(crate) rounds: Vec<f64>,
    #[serde(default)]
    pub(crate) goal: Option<Goal>,
    /// The columns that say more about it.
    #[serde(default)]
    pub(crate) more: Vec<String>,
}

/// What the value must be.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    Least(f64),
    Most(f64),
}

/// What the value counts, and so how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Bits,
    Bytes,
    Nanoseconds,
    PerSecond,
    /// A ratio that is best when it is small.
    Ratio,
    /// A ratio in percent.
    Share,
    /// A ratio that is best when it is large.
    Times,
}

impl Figure {
    pub(crate) fn new(what: &str, unit: Unit, rounds: Vec<f64>) -> Self {
        let what = vec![what.to_owned()];
        Self { contest: String::new(), what, unit, rounds, goal: None, more: vec![String::new()] }
    }

    /// A percentile of times in the order in which they were measured. They are divided into that many rounds, if each
    /// round then has enough of them for such a percentile.
    pub(crate) fn of_times(what: &str, times: &[Duration], percent: f64, rounds: usize) -> Self {
        let round = |times: &[Duration]| {
            let nanoseconds = times.iter().map(|time| time.as_secs_f64() * 1e9).collect();
            percentile(nanoseconds, percent / 100.0)
        };
        let size = times.len().div_ceil(rounds).max(1);
        let is_enough = size as f64 * (1.0 - percent / 100.0) >= 1.0;
        let size = if is_enough { size } else { times.len().max(1) };
        let rounds = times.chunks(size).map(round).collect();
        Self::new(&format!("{what}, p{percent}"), Unit::Nanoseconds, rounds)
    }

    pub(crate) fn at_least(self, goal: f64) -> Self {
        Self { goal: Some(Goal::Least(goal)), ..self }
    }

    pub(crate) fn at_most(self, goal: f64) -> Self {
        Self { goal: Some(Goal::Most(goal)), ..self }
    }

    pub(crate) fn more(self, more: String) -> Self {
        Self { more: vec![more], ..self }
    }

    pub(crate) fn median(&self) -> f64 {
        median(&self.rounds)
    }

    pub(crate) fn spread(&self) -> Option<f64> {
        spread(&self.rounds)
    }

    /// True if its rounds are so far apart that it should be measured again.
    pub(crate) fn is_unsteady(&self) -> bool {
        self.spread().is_some_and(|spread| spread > MAX_SPREAD)
    }

    /// True if it is missed.
    pub(crate) fn misses_its_goal(&self) -> bool {
        match self.goal {
            None => false,
            Some(Goal::Least(least)) => self.median() < least,
            Some(Goal::Most(most)) => self.median() > most,
        }
    }
}

impl Unit {
    /// True if another machine, or other load on it, hardly changes it.
    pub(crate) fn is_compared(self) -> bool {
        !matches!(self, Self::Nanoseconds | Self::PerSecond)
    }

    /// The value as it is read.
    pub(crate) fn written(self, value: f64) -> String {
        match self {
            Self::Bits => format!("{value:.2} bits"),
            Self::Bytes if value < 1000.0 => format!("{} bytes", short(value)),
            Self::Bytes => format!("{} bytes", grouped(value)),
            Self::Nanoseconds => match value.abs() {
                ns if ns < 1e4 => format!("{value:.0} ns"),
                ns if ns < 1e6 => format!("{} µs", short(value / 1e3)),
                ns if ns < 1e9 => format!("{} ms", short(value / 1e6)),
                _ => format!("{:.2} s", value / 1e9),
            },
            Self::PerSecond => format!("{}/s", grouped(value)),
            Self::Ratio => format!("{value:.2}"),
            Self::Share => format!("{:.0} %", value * 100.0),
            Self::Times => format!("{}×", short(value)),
        }
    }
}

/// How far the rounds are apart: the distance from the tenth to the ninetieth percentile, as a share of the median.
/// There is none for fewer than three rounds, nor for a median of zero.
pub(crate) fn spread(rounds: &[f64]) -> Option<f64> {
    let [low, middle, high] = [0.1, 0.5, 0.9].map(|share| percentile(rounds.to_vec(), share));
    (rounds.len() >= 3 && middle != 0.0).then(|| (high - low) / middle.abs())
}

pub(crate) fn median(rounds: &[f64]) -> f64 {
    percentile(rounds.to_vec(), 0.5)
}

/// For each round, one divided by the other. What slows down a round slows down both.
pub(crate) fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()
}

/// The value below which this share of all values is; between two values, on the line that joins them.
fn percentile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return f64::NAN };
    let place = last as f64 * share;
    let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// With one decimal where that is worth reading.
fn short(value: f64) -> String {
    if value.abs() < 20.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// With commas between thousands.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        let left = digits.len() - at;
        if at > 0 && left.is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A figure whose spread is larger is measured again, and marked if it remains so.
const MAX_SPREAD: f64 = 0.15;

#[cfg(test)]
mod tests {
    use super::*;

    // Nine rounds: p10 is between the first and the second, p90 between the eighth and the ninth.
    #[test]
    fn the_spread_is_the_distance_of_two_percentiles_as_a_share_of_the_median() {
        let rounds = [108.0, 100.0, 101.0, 102.0, 103.0, 104.0, 105.0, 106.0, 107.0];
        let spread = spread(&rounds).unwrap();
        assert!((spread - (107.2 - 100.8) / 104.0).abs() < 1e-9, "{spread}");
        assert_eq!(median(&rounds), 104.0);
    }

    // One round of nine that something else disturbed, and two.
    #[test]
    fn one_disturbed_round_counts_for_a_fifth_and_two_make_a_figure_unsteady() {
        let mut figure = Figure::new("calls", Unit::PerSecond, vec![100.0; 9]);
        assert_eq!(figure.spread(), Some(0.0));
        figure.rounds[4] = 40.0;
        assert_eq!((figure.spread(), figure.is_unsteady()), (Some(0.12), false));
        figure.rounds[7] = 40.0;
        assert_eq!((figure.spread(), figure.is_unsteady()), (Some(0.6), true));
        assert_eq!(figure.median(), 100.0);
    }

    // Too few rounds, no rounds, and rounds around zero.
    #[test]
    fn without_three_rounds_or_with_a_median_of_zero_there_is_no_spread() {
        assert_eq!([spread(&[]), spread(&[1.0, 9.0]), spread(&[-1.0, 0.0, 1.0])], [None; 3]);
        assert_eq!(
            spread(&[-8.0, -10.0, -12.0]).map(|spread| (spread * 100.0).round()),
            Some(32.0)
        );
    }

    // The goal itself is reached.
    #[test]
    fn a_goal_is_missed_on_one_side_only() {
        let figure = |value| Figure::new("x", Unit::Share, vec![value]);
        let least = [0.39, 0.4, 0.41].map(|value| figure(value).at_least(0.4).misses_its_goal());
        assert_eq!(least, [true, false, false]);
        let most = [0.39, 0.4, 0.41].map(|value| figure(value).at_most(0.4).misses_its_goal());
        assert_eq!(most, [false, false, true]);
        assert!(!figure(0.0).misses_its_goal());
    }

    // Nine times in three rounds, and too few of them for their percentile.
    #[test]
    fn times_are_divided_into_rounds_in_their_order() {
        let times: Vec<_> = (1..=9).map(Duration::from_millis).collect();
        let figure = Figure::of_times("an answer", &times, 50.0, 3);
        assert_eq!(figure.rounds, [2e6, 5e6, 8e6]);
        assert_eq!(figure.what, ["an answer, p50"]);
        let of = |count, percent| Figure::of_times("few", &times[..count], percent, 3).rounds;
        assert_eq!([of(2, 50.0), of(3, 50.0), of(9, 100.0)], [vec![1.5e6], vec![2e6], vec![9e6]]);
        assert!(of(0, 50.0).is_empty());
    }

    // Each unit, small and large.
    #[test]
    fn values_are_written_in_their_unit() {
        let written = |unit: Unit, values: &[f64]| {
            values.iter().map(|value| unit.written(*value)).collect::<Vec<_>>()
        };
        let times =
            written(Unit::Nanoseconds, &[352.4, 12_340.0, 191_000.0, 4_930_000.0, 3.37e9, -5.0]);
        assert_eq!(times, ["352 ns", "12.3 µs", "191 µs", "4.9 ms", "3.37 s", "-5 ns"]);
        assert_eq!(written(Unit::Times, &[9.86, 543.2]), ["9.9×", "543×"]);
        assert_eq!(written(Unit::PerSecond, &[999.0, 1_072_400.0]), ["999/s", "1,072,400/s"]);
        assert_eq!(written(Unit::Share, &[0.388]), ["39 %"]);
        assert_eq!(written(Unit::Bytes, &[13.94, 5_756_320.0]), ["13.9 bytes", "5,756,320 bytes"]);
        assert_eq!([grouped(-123_456.0), grouped(-12.0)], ["-123,456", "-12"]);
    }
}
