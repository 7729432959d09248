//! What tests need around the code: real servers, the real binary and faulty networks.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod audit;
pub(crate) mod certificates;
pub(crate) mod cluster;
pub(crate) mod collector;
pub(crate) mod fault_proxy;
pub(crate) mod follower;
pub(crate) mod gated_store;
pub(crate) mod guard;
pub(crate) mod head_reader;
pub(crate) mod in_process;
pub(crate) mod local_server;
pub(crate) mod oauth;
pub(crate) mod polled;
pub(crate) mod process;
pub(crate) mod provider;
pub(crate) mod raw_follower;
pub(crate) mod raw_http2;
pub(crate) mod redis_server;
pub(crate) mod redis_user;
pub(crate) mod relying_party;
pub(crate) mod sentinels;
pub(crate) mod shelf;
pub(crate) mod small_disk;
pub(crate) mod transmitter;
