//! Work that may keep a thread busy for long.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{JoinError, spawn_blocking};

/// Does `work` on a thread that may block, so that other tasks go on.
///
/// A runtime of one thread, as tests and the simulation have it, does it in place: when it is done
/// compared with other tasks then depends on nothing but the order of the tasks.
///
/// # Errors
///
/// If the work panics, where it has a thread of its own.
pub(crate) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => Ok(work()),
        _ => spawn_blocking(work).await,
    }
}
