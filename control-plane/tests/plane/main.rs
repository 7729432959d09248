//! What the control plane promises beyond one request: publication, several processes, outages.

mod crashes;
mod folding;
mod outages;
mod refreshing;
mod rotation;
mod several_processes;
#[path = "../support/mod.rs"]
mod support;
