//! `offswitch audit export`: the lines of several processes, by time.

use std::io::{BufWriter, ErrorKind, Write};
use std::path::PathBuf;

use clap::Args;
use offswitch::config::Config;
use offswitch_core::audit::Line;

use super::files::{self, Lines};

/// Prints the lines of audit logs as they are, those of several processes together, by time.
/// `offswitch audit verify -` checks what it prints.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Files of audit logs, or folders with such files; by default the folder `audit` in data_dir.
    paths: Vec<PathBuf>,
}

/// The files of one chain, the first of them at the line that comes next.
struct Chain {
    files: Vec<Lines>,
    at_ms: u64,
}

impl Export {
    pub(super) fn run(&self, config: &Config) -> anyhow::Result<()> {
        let mut out = BufWriter::new(std::io::stdout().lock());
        let mut chains = chains(files::open_configured(config, &self.paths)?);
        // A few processes: the smallest is found by looking at each.
        while let Some(place) =
            (0..chains.len()).min_by_key(|place| chains.get(*place).map(|chain| chain.at_ms))
        {
            let Some(chain) = chains.get_mut(place) else { break };
            match out.write_all(chain.line()) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                written => written?,
            }
            if !chain.advance()? {
                chains.remove(place);
            }
        }
        Ok(out.flush()?)
    }
}

/// The files, which come in the order of their chains, by chain.
fn chains(files: Vec<Lines>) -> Vec<Chain> {
    let mut chains: Vec<(Option<String>, Chain)> = Vec::new();
    for lines in files.into_iter().filter(|lines| !lines.line.is_empty()) {
        let first = Line::parse(lines.line.trim_ascii_end());
        let at_ms = first.as_ref().map_or(0, |line| line.at_ms);
        let name = first.map(|line| line.chain);
        match chains.last_mut() {
            Some((known, chain)) if name.is_some() && *known == name => chain.files.push(lines),
            _ => chains.push((name, Chain { files: vec![lines], at_ms })),
        }
    }
    chains.into_iter().map(|(_, chain)| chain).collect()
}

impl Chain {
    fn line(&self) -> &[u8] {
        self.files.first().map_or(&[], |file| &file.line)
    }

    /// Goes to the next line; false after the last one. A line that cannot be read keeps its place.
    fn advance(&mut self) -> anyhow::Result<bool> {
        while let Some(file) = self.files.first_mut() {
            if file.next()? {
                let at_ms = Line::parse(file.line.trim_ascii_end()).map(|line| line.at_ms);
                self.at_ms = at_ms.unwrap_or(self.at_ms);
                return Ok(true);
            }
            self.files.remove(0);
            if let Some(next) = self.files.first() {
                let at_ms = Line::parse(next.line.trim_ascii_end()).map(|line| line.at_ms);
                self.at_ms = at_ms.unwrap_or(self.at_ms);
                return Ok(true);
            }
        }
        Ok(false)
    }
}
