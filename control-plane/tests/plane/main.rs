//! What the control plane promises beyond one request: publication, several processes, outages.

mod folding;
mod outages;
mod several_processes;
#[path = "../support/mod.rs"]
mod support;
