//! Which files are meant, and their lines.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use offswitch::audit::audit_files;
use offswitch::config::Config;
use offswitch_core::audit::{Line, MAX_LINE_BYTES};

/// An open file, at its first line.
pub(crate) struct Lines {
    pub(crate) path: PathBuf,
    reader: Box<dyn BufRead>,
    /// The line that was read, with its line feed, if the file has one.
    pub(crate) line: Vec<u8>,
    /// Its number in the file, from 1.
    pub(crate) number: u64,
}

/// Opens the named files and those in named folders; without any, those of the configured data folder.
pub(super) fn open_configured(config: &Config, paths: &[PathBuf]) -> anyhow::Result<Vec<Lines>> {
    let own = [config.audit_folder()];
    open(if paths.is_empty() { &own } else { paths })
}

/// Opens the named files and those in named folders. The files of a chain come in their order.
pub(crate) fn open(named: &[PathBuf]) -> anyhow::Result<Vec<Lines>> {
    let mut files = Vec::new();
    for path in named {
        let shown = path.display();
        match path.is_dir() {
            true => {
                files.extend(audit_files(path).with_context(|| format!("{shown} cannot be read"))?)
            }
            false => files.push(path.clone()),
        }
    }
    let mut opened = files.iter().map(|path| Lines::open(path)).collect::<Result<Vec<_>, _>>()?;
    opened.sort_by_cached_key(|lines| {
        let first = Line::parse(lines.line.trim_ascii_end());
        first.map(|line| (line.chain, line.seq))
    });
    Ok(opened)
}

impl Lines {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let reader: Box<dyn BufRead> = match path.as_os_str() == "-" {
            true => Box::new(BufReader::new(std::io::stdin())),
            false => {
                let file = File::open(path).with_context(|| format!("{shown} cannot be read"))?;
                Box::new(BufReader::with_capacity(READ_BYTES, file))
            }
        };
        let mut lines = Self { path: path.to_owned(), reader, line: Vec::new(), number: 0 };
        lines.next()?;
        Ok(lines)
    }

    /// Goes to the next line; false at the end.
    pub(crate) fn next(&mut self) -> anyhow::Result<bool> {
        self.line.clear();
        let most = MAX_LINE_BYTES as u64 + 2;
        let read = self.reader.by_ref().take(most).read_until(b'\n', &mut self.line);
        let shown = self.path.display();
        read.with_context(|| format!("{shown} cannot be read"))?;
        self.number += 1;
        Ok(!self.line.is_empty())
    }
}

const READ_BYTES: usize = 256 * 1024;
