//! What operators see of a process: the log, the metrics and the traces.

mod metrics;
mod traces;

pub use metrics::{install_metrics, show_counters};
pub use traces::Traces;

pub use offswitch_server::log::{LogFormat, filter, start_log};
