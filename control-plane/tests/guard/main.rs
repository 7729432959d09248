//! The guard of the real binary: what it answers gateways, and what it relays.

mod answers;
mod envoy;
mod floods;
mod heads;
mod lifecycle;
mod odd_requests;
mod relay;
mod relay_pace;
mod relay_reports;
mod several_feeds;
#[path = "../support/mod.rs"]
mod support;
mod watching;
