//! What operators see of a process: the log, its audit lines, and the metrics.

pub mod audit;
mod metrics;

pub use metrics::{install_metrics, show_counters};
pub use offswitch_server::log::{LogFormat, filter, start_log};
