//! What operators see of a process: the log and the metrics.

mod metrics;

pub use metrics::{install_metrics, show_counters};
pub use offswitch_server::log::{LogFormat, filter, start_log};
