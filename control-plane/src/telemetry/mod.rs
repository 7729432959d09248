//! What operators see of a process: the log, its audit lines, and the metrics.

pub mod audit;
mod log;
mod metrics;

pub use log::{LogFormat, filter, start_log};
pub use metrics::install_metrics;
