//! The machine: what it is, and what else runs on it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

/// What runs on the machine before a measurement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Load {
    pub(crate) cores: usize,
    /// The average of the last minute, if the system has one.
    pub(crate) average: Option<f64>,
    /// Processes that take more than a few percent of a processor, the busiest first.
    pub(crate) busy: Vec<Busy>,
}

/// A process and what it takes, as a share of one processor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Busy {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) share: f64,
}

impl Load {
    /// Watches all processes for a second.
    pub(crate) fn watch() -> Result<Self> {
        let before = processes();
        std::thread::sleep(WATCHED);
        let busy = busy(&before, &processes(), WATCHED);
        let average = std::fs::read_to_string("/proc/loadavg").ok().and_then(|text| average(&text));
        Ok(Self { cores: std::thread::available_parallelism()?.get(), average, busy })
    }

    /// True if nothing else takes enough to change a figure.
    pub(crate) fn is_quiet(&self) -> bool {
        let all: f64 = self.busy.iter().map(|one| one.share).sum();
        let average = self.average.unwrap_or_default();
        all <= MAX_BUSY && average <= self.cores as f64 * MAX_AVERAGE
    }

    /// What to print, with a warning if the machine is not quiet.
    pub(crate) fn report(&self) -> String {
        let average = self.average.map_or("not known here".to_owned(), |load| format!("{load:.2}"));
        let mut text =
            format!("{} cores, load average of the last minute: {average}\n", self.cores);
        for Busy { id, name, share } in &self.busy {
            text += &format!("  {:.0} % of a processor: {name} (process {id})\n", share * 100.0);
        }
        if !self.is_quiet() {
            text += "WARNING: the machine is not quiet. End what else runs, or expect unsteady figures.\n";
        }
        text
    }
}

/// The date, and the machine.
pub(crate) fn described(load: &Load) -> Result<String> {
    let date = std::process::Command::new("date").args(["-u", "+%F"]).output()?.stdout;
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = about.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("an unknown processor", |(_, model)| model.trim());
    let (date, cores) = (String::from_utf8(date)?, load.cores);
    let before = if load.is_quiet() { "nothing else ran" } else { "other work ran" };
    Ok(format!("{}, {cores} cores of {model}; {before} when it began.\n", date.trim()))
}

/// The load average of the last minute, from `/proc/loadavg`.
fn average(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

/// The name of a process and the processor time that it has taken, from `/proc/…/stat`.
fn processor_time(stat: &str) -> Option<(String, Duration)> {
    // The name is in brackets, and may itself contain brackets and spaces.
    let (before, after) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let mut fields = after.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()?.checked_add(ticks()?)?;
    Some((name.to_owned(), Duration::from_millis(ticks.checked_mul(MILLISECONDS_PER_TICK)?)))
}

/// The processes that took more than a few percent of a processor between two readings.
fn busy(before: &Processes, after: &Processes, between: Duration) -> Vec<Busy> {
    let taken = after.iter().map(|(id, (name, time))| {
        let earlier = before.get(id).map_or(Duration::ZERO, |(_, time)| *time);
        let share = time.saturating_sub(earlier).as_secs_f64() / between.as_secs_f64();
        Busy { id: *id, name: name.clone(), share }
    });
    let mut busy: Vec<_> = taken.filter(|one| one.share > MIN_SHARE).collect();
    busy.sort_by(|one, other| other.share.total_cmp(&one.share));
    busy
}

/// All processes except this one.
fn processes() -> Processes {
    let mut all = Processes::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let id = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(id) = id.filter(|id| *id != std::process::id()) else { continue };
        // It may have ended meanwhile.
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        all.extend(processor_time(&stat).map(|process| (id, process)));
    }
    all
}

type Processes = BTreeMap<u32, (String, Duration)>;

const WATCHED: Duration = Duration::from_secs(1);
/// Linux counts processor time in hundredths of a second, whatever the machine.
const MILLISECONDS_PER_TICK: u64 = 10;
/// What is worth reporting of one process.
const MIN_SHARE: f64 = 0.03;
/// What all processes together may take of one processor, so that a figure does not move by more than 5 % (moved.rs) on
/// two cores.
const MAX_BUSY: f64 = 0.1;
/// The load average of a minute still contains the compilation of this command.
const MAX_AVERAGE: f64 = 0.5;

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(name: &str, user: u64, system: u64) -> String {
        format!(
            "77 ({name}) S 1 77 77 0 -1 4194560 120 0 0 0 {user} {system} 0 0 20 0 1 0 300 11 22 33"
        )
    }

    // A usual line, a name with brackets and spaces, and lines that are cut off.
    #[test]
    fn the_processor_time_of_a_process_is_read_whatever_its_name_is() {
        let read = |name| processor_time(&stat(name, 250, 50));
        let time = Duration::from_secs(3);
        assert_eq!(read("redis-server"), Some(("redis-server".to_owned(), time)));
        assert_eq!(read("a) S 1 (b"), Some(("a) S 1 (b".to_owned(), time)));
        for cut in ["", "77 (redis", "77 (redis) S 1 77", "77 (redis) S 1 2 3 4 5 6 7 8 9 10 x 5"] {
            assert_eq!(processor_time(cut), None, "{cut}");
        }
    }

    // One process works, one began meanwhile, one sleeps, one ended.
    #[test]
    fn what_took_more_than_a_few_percent_is_reported_the_busiest_first() {
        let all = |lines: &[(u32, u64)]| {
            let process =
                |(id, ticks): &(u32, u64)| (*id, processor_time(&stat("p", *ticks, 0)).unwrap());
            lines.iter().map(process).collect::<Processes>()
        };
        let (before, after) =
            (all(&[(1, 500), (2, 70), (9, 1)]), all(&[(1, 510), (2, 72), (3, 80)]));
        let found = busy(&before, &after, Duration::from_secs(1));
        let found: Vec<_> = found.iter().map(|one| (one.id, (one.share * 100.0).round())).collect();
        assert_eq!(found, [(3, 80.0), (1, 10.0)]);
    }

    // The file of Linux, and a system without it.
    #[test]
    fn the_load_average_is_the_first_number() {
        assert_eq!(average("15.02 9.81 4.10 3/412 99121\n"), Some(15.02));
        assert_eq!([average(""), average("no number")], [None; 2]);
    }

    // Nothing, some small processes, a compilation, and a load that is only in the average.
    #[test]
    fn a_machine_is_quiet_if_little_else_runs() {
        let load = |average, shares: &[f64]| {
            let busy =
                shares.iter().map(|share| Busy { id: 1, name: "rustc".to_owned(), share: *share });
            Load { cores: 2, average: Some(average), busy: busy.collect() }
        };
        assert!(load(0.1, &[]).is_quiet() && load(1.0, &[0.04, 0.05]).is_quiet());
        assert!(!load(0.1, &[0.06, 0.05]).is_quiet() && !load(1.1, &[]).is_quiet());
        let report = load(0.5, &[0.97]).report();
        assert!(report.contains("  97 % of a processor: rustc (process 1)\nWARNING"), "{report}");
        assert!(!load(0.5, &[]).report().contains("WARNING"));
    }
}
