//! The HTTP API of the real binary, over real connections.

mod access;
mod api_keys;
mod applied;
mod bad_input;
mod bulk_stream;
mod client_address;
mod connection_limits;
mod doctor;
mod entry_limits;
mod feed_parts;
mod follower_limit;
mod global_revocation;
mod headers;
mod hostile_clients;
mod https;
mod issuers;
mod key_life;
mod lifecycle;
mod listing;
mod oauth;
mod page;
mod polling;
mod receipts;
mod receivers;
mod relying_parties;
mod request_limits;
mod revoking;
mod security_events;
mod slow_readers;
mod snapshot_command;
mod streams;
#[path = "../support/mod.rs"]
mod support;
