//! Protects what other processes and users must not read: the memory, and the files it makes.

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, setrlimit, umask};

/// Keeps the master key out of core dumps and away from other processes of the same user, and every
/// new file, whichever code creates it, from other users.
pub(crate) fn keep_private() {
    umask(Mode::RWXG | Mode::RWXO);
    // If one call is refused, the other one still has an effect.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}
