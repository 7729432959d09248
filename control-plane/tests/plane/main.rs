//! What the control plane promises beyond one request: publication, several processes, outages.

mod crashes;
mod folding;
mod key_rotation;
mod outages;
mod refreshing;
mod session_rules;
mod several_processes;
#[path = "../support/mod.rs"]
mod support;
