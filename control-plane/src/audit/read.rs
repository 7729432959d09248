//! Reads the files back: a page of one writer's lines, and which files there are.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use offswitch_core::audit::{Line, MAX_LINE_BYTES};

use super::file::{numbers, path};

/// At most `limit` lines of the writer `name` from seq `from` on, as they are in the files. Blocks.
///
/// # Errors
///
/// As the file system.
pub fn page(folder: &Path, name: &str, from: u64, limit: usize) -> io::Result<Vec<u8>> {
    let (mut page, mut taken) = (Vec::new(), 0);
    let numbers = match numbers(folder, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(page),
        numbers => numbers?,
    };
    let mut files = Vec::new();
    for number in numbers {
        let path = path(folder, name, number);
        let mut first = Vec::new();
        read_line(BufReader::new(File::open(&path)?), &mut first)?;
        // An empty one was begun and not written.
        let Some(begins_at) = Line::parse(&first).map(|line| line.seq) else { continue };
        if begins_at == 0 {
            // A chain that had to begin again: the one before cannot be paged any more.
            files.clear();
        }
        files.push((begins_at, path));
    }
    let first = files.iter().rposition(|(begins_at, _)| *begins_at <= from).unwrap_or(0);
    for (_, path) in files.iter().skip(first) {
        let mut file = BufReader::with_capacity(READ_BYTES, File::open(path)?);
        let mut line = Vec::new();
        while taken < limit && read_line(&mut file, &mut line)? {
            // Most lines of the first file are only passed by.
            if seq(&line).is_some_and(|seq| seq >= from) && line.ends_with(b"\n") {
                page.extend_from_slice(&line);
                taken += 1;
            }
        }
    }
    Ok(page)
}

/// The files of all writers in a folder.
///
/// # Errors
///
/// As the file system.
pub fn audit_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        files.extend(path.extension().is_some_and(|end| end == "ndjson").then_some(path));
    }
    files.sort();
    Ok(files)
}

/// The seq, with which every line begins.
fn seq(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"{\"seq\":")?;
    let end = digits.iter().position(|byte| *byte == b',')?;
    str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}

/// Reads one line with its line feed, of a bounded length; false at the end.
fn read_line(file: impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let most = MAX_LINE_BYTES as u64 + 1;
    Ok(file.take(most).read_until(b'\n', line)? > 0)
}

const READ_BYTES: usize = 256 * 1024;
