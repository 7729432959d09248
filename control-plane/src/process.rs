//! What the process does not let others have: its memory, and the files that it makes.

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, setrlimit, umask};

/// Keeps the master key out of core dumps and away from other processes of the same user, and every
/// new file from other users, whatever makes it.
pub(crate) fn keep_private() {
    umask(Mode::RWXG | Mode::RWXO);
    // Where one is refused, the other one is still there.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}
