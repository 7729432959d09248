//! The keys and the scripts on them: small, idempotent, all keys declared and in one slot.

use std::sync::LazyLock;
use std::time::Duration;

use offswitch_core::log::{Checkpoint, End};
use offswitch_snapshot::Position;
use redis::{Cmd, Script, Value};

use super::super::{Append, FORMAT, NOTES_LAST, NotePlace, Onto, PAGE_SIZE_BYTES, Request};

/// A command and the script that it runs, if any, in case the server has not cached the script.
pub(super) struct Call {
    pub(super) command: Cmd,
    pub(super) script: Option<&'static Script>,
    /// True if it is complete only when the replicas have it, where they are waited for.
    pub(super) is_acknowledged: bool,
}

/// The keys of one feed. The braces put all of them into one slot of a cluster.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
    pub(super) meta: String,
    pub(super) log: String,
    pub(super) checkpoint: String,
    pub(super) notes: String,
}

impl Keys {
    pub(super) fn new(feed: &str) -> Self {
        let prefix = format!("{{{feed}}}");
        let key = |name: &str| format!("{prefix}:{name}");
        let [meta, log, checkpoint, notes] = ["meta", "log", "checkpoint", "notes"].map(key);
        Self { meta, log, checkpoint, notes, prefix }
    }

    /// Begins a log, if there is none and a first era is given.
    pub(super) fn begin(&self, first_era: Option<u64>, may_raise: bool) -> Call {
        let mut call = Call::script(&BEGIN, &[&self.meta, &self.log, &self.checkpoint]);
        let first_era = first_era.map(|era| era.to_string());
        call.command.arg(first_era.unwrap_or_default()).arg(FORMAT).arg(u8::from(may_raise));
        call
    }

    pub(super) fn leave_note(&self, note: &[u8]) -> Call {
        let mut call = Call::script(&LEAVE_NOTE, &[&self.meta, &self.notes]);
        let most = (MOST_NOTES_BYTES / note.len().max(1)).clamp(FEWEST_NOTES, MOST_NOTES);
        call.command.arg(note).arg(most).arg(NOTES_LAST.as_secs());
        call
    }

    /// Which of the commands for notes the server forbids.
    pub(super) fn forbidden_for_notes(&self) -> Call {
        let mut call = Call::script(&NOTE_RIGHTS, &[&self.meta]);
        call.command.arg(&self.notes);
        call
    }

    /// Waits for notes after `after`.
    pub(super) fn notes(&self, after: NotePlace, block: Duration) -> Cmd {
        let mut command = redis::cmd("XREAD");
        // 0 would block for ever.
        command.arg("BLOCK").arg(block.as_millis().max(1)).arg("COUNT").arg(NOTES_AT_ONCE);
        let NotePlace { milliseconds, number } = after;
        command.arg("STREAMS").arg(&self.notes).arg(format!("{milliseconds}-{number}"));
        command
    }

    /// The format, if it is there: `begin` writes it.
    pub(super) fn format(&self) -> Call {
        let mut command = redis::cmd("HGET");
        command.arg(&self.meta).arg("format");
        Call::plain(command)
    }

    /// `waits` is true if replicas must acknowledge it.
    pub(super) fn append(&self, batch: &[Append], onto: Onto, chance: u64, waits: bool) -> Call {
        let requests: Vec<String> = batch.iter().map(|one| self.request(&one.request)).collect();
        let fixed = [&self.meta, &self.log];
        let keys: Vec<&str> = fixed.into_iter().chain(&requests).map(String::as_str).collect();
        let mut call = Call::script(&APPEND, &keys);
        match onto.end {
            Some(end) => call.end(end),
            None => call.command.arg("").arg("").arg(""),
        };
        call.command.arg(onto.least_seq).arg(chance).arg(u8::from(waits)).arg(LARGE_BYTES);
        for Append { request, record } in batch {
            let memory = request.memory.as_secs();
            call.command.arg(digest_of(request)).arg(record.as_slice()).arg(memory);
        }
        call.is_acknowledged = waits;
        call
    }

    /// `waits` is true if replicas must acknowledge what is found.
    pub(super) fn recall(&self, request: &Request, waits: bool) -> Call {
        let mut call = Call::script(&RECALL, &[&self.request(request), &self.meta]);
        call.command.arg(u8::from(waits));
        call.is_acknowledged = waits;
        call
    }

    pub(super) fn read(
        &self,
        after: u64,
        limit: usize,
        known_digest: &str,
        may_be_replica: bool,
    ) -> Call {
        let mut call = Call::script(&READ, &[&self.meta, &self.log, &self.checkpoint]);
        call.command.arg(after).arg(limit).arg(PAGE_SIZE_BYTES).arg(known_digest);
        call.command.arg(u8::from(may_be_replica));
        call
    }

    /// Reads records without a view of the log.
    pub(super) fn records(&self, after: u64, limit: usize) -> Call {
        let mut command = redis::cmd("XRANGE");
        command.arg(&self.log).arg(format!("({after}-{}", u64::MAX)).arg("+");
        command.arg("COUNT").arg(limit);
        Call::plain(command)
    }

    pub(super) fn read_back(&self, before: u64, limit: usize) -> Call {
        let mut call = Call::script(&READ_BACK, &[&self.meta, &self.log]);
        call.command.arg(before).arg(limit).arg(PAGE_SIZE_BYTES);
        call
    }

    pub(super) fn end(&self) -> Call {
        let mut command = redis::cmd("HMGET");
        command.arg(&self.meta).arg("era").arg("seq").arg("mark");
        Call::plain(command)
    }

    pub(super) fn trim(&self, era: u64, checkpoint: &Checkpoint) -> Call {
        let mut call = Call::script(&TRIM, &[&self.meta, &self.log, &self.checkpoint]);
        let Checkpoint { seq, bytes } = checkpoint;
        call.command.arg(era).arg(seq).arg(bytes.as_slice()).arg(digest(bytes));
        call
    }

    pub(super) fn start_era(
        &self,
        expected: End,
        (era, mark): (u64, u64),
        checkpoint: &Checkpoint,
        nonce: &[u8],
        first_era: u64,
    ) -> Call {
        let mut call = Call::script(&START_ERA, &[&self.meta, &self.log, &self.checkpoint]);
        let Checkpoint { seq, bytes } = checkpoint;
        call.end(expected).arg(era).arg(seq).arg(bytes.as_slice()).arg(digest(bytes));
        call.command.arg(mark).arg(nonce).arg(first_era).arg(FORMAT);
        call
    }

    pub(super) fn load(&self, name: &str) -> Call {
        let mut command = redis::cmd("GET");
        command.arg(self.document(name));
        Call::plain(command)
    }

    pub(super) fn swap(
        &self,
        at: Option<Position>,
        name: &str,
        (from, to): (&[u8], &[u8]),
        expires_at: Option<u64>,
    ) -> Call {
        let mut call = Call::script(&SWAP, &[&self.document(name), &self.meta]);
        let text = |number: Option<u64>| number.map(|number| number.to_string());
        call.command.arg(from).arg(to).arg(text(expires_at).unwrap_or_default());
        call.command.arg(text(at.map(|at| at.era)).unwrap_or_default());
        call.command.arg(text(at.map(|at| at.seq)).unwrap_or_default());
        call
    }

    pub(super) fn scan(&self, prefix: &str, cursor: &str) -> Call {
        let mut command = redis::cmd("SCAN");
        let pattern = format!("{}*", escaped(&self.document(prefix)));
        command.arg(if cursor.is_empty() { "0" } else { cursor });
        command.arg("MATCH").arg(pattern).arg("COUNT").arg(SCANNED_AT_ONCE);
        Call::plain(command)
    }

    /// Reads documents by their keys, as returned by a scan.
    pub(super) fn load_all(&self, keys: &[Vec<u8>]) -> Call {
        let mut command = redis::cmd("MGET");
        command.arg(keys);
        Call::plain(command)
    }

    /// The name of the document under `key`.
    pub(super) fn name<'a>(&self, key: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(key).ok()?.strip_prefix(&self.document(""))
    }

    fn request(&self, request: &Request) -> String {
        format!("{}:request:{}", self.prefix, request.id)
    }

    fn document(&self, name: &str) -> String {
        format!("{}:doc:{name}", self.prefix)
    }
}

impl Call {
    /// A command without a script.
    pub(super) fn plain(command: Cmd) -> Self {
        Self { command, script: None, is_acknowledged: false }
    }

    /// True if an answer of an append, or of a recall, is about records in the log.
    pub(super) fn has_written(answer: &Value) -> bool {
        match answer {
            // Nothing is remembered; the log has moved.
            Value::Nil => false,
            Value::Array(parts) => parts.len() > 1,
            _ => true,
        }
    }

    fn script(script: &'static Script, keys: &[&str]) -> Self {
        let mut command = redis::cmd("EVALSHA");
        command.arg(script.get_hash()).arg(keys.len()).arg(keys);
        Self { command, script: Some(script), is_acknowledged: false }
    }

    fn end(&mut self, End { position, mark }: End) -> &mut Cmd {
        self.command.arg(position.era).arg(position.seq).arg(mark)
    }
}

/// A pattern that matches only `text`.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// The digest with which a request is remembered.
pub(super) fn digest_of(request: &Request) -> String {
    blake3::Hash::from_bytes(request.digest).to_hex().to_string()
}

/// Identifies the content of a checkpoint; empty for none.
pub(super) fn digest(bytes: &[u8]) -> String {
    if bytes.is_empty() { String::new() } else { blake3::hash(bytes).to_hex().to_string() }
}

/// A script that first refuses a store of a newer format than this version knows, in the same step as what it
/// does. Its key number `meta` is that of the meta data, where the format is; without one it is the first.
fn script(meta: u8, text: &str) -> Script {
    let refusal = format!(
        "local format = redis.call('HGET', KEYS[{meta}], 'format')\n\
         if format and tonumber(format) > {FORMAT} then\n\
         return redis.error_reply('{NEWER} ' .. format)\n\
         end\n"
    );
    Script::new(&(refusal + text))
}

static APPEND: LazyLock<Script> = LazyLock::new(|| script(1, include_str!("append.lua")));
static BEGIN: LazyLock<Script> = LazyLock::new(|| script(1, include_str!("begin.lua")));
static LEAVE_NOTE: LazyLock<Script> = LazyLock::new(|| script(1, include_str!("leave_note.lua")));
static NOTE_RIGHTS: LazyLock<Script> = LazyLock::new(|| script(1, include_str!("note_rights.lua")));
static READ: LazyLock<Script> = LazyLock::new(|| script(1, include_str!("read.lua")));
static READ_BACK: LazyLock<Script> = LazyLock::new(|| script(1, include_str!("read_back.lua")));
static RECALL: LazyLock<Script> = LazyLock::new(|| script(2, include_str!("recall.lua")));
static START_ERA: LazyLock<Script> = LazyLock::new(|| script(1, include_str!("start_era.lua")));
static SWAP: LazyLock<Script> = LazyLock::new(|| script(2, include_str!("swap.lua")));
static TRIM: LazyLock<Script> = LazyLock::new(|| script(1, include_str!("trim.lua")));

/// The code of the error with which a script refuses a newer format.
pub(super) const NEWER: &str = "NEWERFORMAT";
/// A page of smaller records has a few megabytes at most.
const LARGE_BYTES: usize = 1024;
/// Notes of many processes that answer often; more are of no use in the time that they last.
const MOST_NOTES: usize = 1000;
/// Those of processes with very many followers are large.
const MOST_NOTES_BYTES: usize = 64 << 20;
const FEWEST_NOTES: usize = 64;
const NOTES_AT_ONCE: usize = 64;
/// How many of the server's keys one step of a scan examines.
const SCANNED_AT_ONCE: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    // What is kept is bounded by bytes: large notes are few.
    #[test]
    fn fewer_notes_are_kept_where_they_are_large() {
        let kept = |bytes: usize| {
            let call = Keys::new("tokens").leave_note(&vec![0; bytes]);
            let arguments: Vec<_> = call.command.args_iter().collect();
            let kept = &arguments[arguments.len() - 2];
            let redis::Arg::Simple(kept) = kept else { panic!("not a plain argument") };
            String::from_utf8_lossy(kept).into_owned()
        };
        assert_eq!([0, 1000, 1 << 19, 1 << 21].map(kept), ["1000", "1000", "128", "64"]);
    }

    // R12: a cluster hashes only what is between the first braces.
    #[test]
    fn all_keys_of_every_script_have_the_same_hash_tag() {
        let keys = Keys::new("tokens");
        let id = "{other}".to_owned();
        let request = Request { id, digest: [0; 32], memory: Duration::from_secs(1) };
        let append = Append { request: request.clone(), record: vec![] };
        let checkpoint = Checkpoint::default();
        let calls = [
            keys.begin(Some(1), false),
            keys.append(&[append.clone(), append], Onto::default(), 0, false),
            keys.recall(&request, true),
            keys.read(0, 1, "", false),
            keys.read_back(9, 1),
            keys.trim(1, &checkpoint),
            keys.start_era(End::default(), (2, 0), &checkpoint, b"", 1),
            keys.swap(None, "{other}", (b"", b""), None),
            keys.leave_note(b""),
            keys.forbidden_for_notes(),
        ];
        for call in calls {
            let arguments: Vec<_> = call.command.args_iter().collect();
            let text = |index: usize| match &arguments[index] {
                redis::Arg::Simple(bytes) => String::from_utf8_lossy(bytes),
                _ => panic!("not a plain argument"),
            };
            let count: usize = text(2).parse().unwrap();
            for index in 3..3 + count {
                assert!(text(index).starts_with("{tokens}:"), "{}", text(index));
            }
        }
    }
}
