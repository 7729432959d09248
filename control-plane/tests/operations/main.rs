//! The operator's view: flags, files, logs, metrics, and how a process starts.

mod audit;
mod audit_files;
mod command_line;
mod files;
mod guides;
mod health;
mod logs;
mod metrics;
mod starting;
#[path = "../support/mod.rs"]
mod support;
mod traces;
