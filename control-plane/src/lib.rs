//! The control plane: records every revocation durably and publishes it immediately, signed.

pub mod api_keys;
pub mod audit;
pub mod backup;
mod blocking;
pub mod client_address;
pub mod clock;
pub mod config;
pub mod credential;
pub mod doctor;
pub mod http;
pub mod keyring;
pub mod master_key;
pub mod plane;
pub mod private_files;
pub mod relying_parties;
pub mod remote;
pub mod request_limits;
pub mod sealing;
pub mod shared_files;
pub mod store;
pub mod telemetry;

pub use offswitch_server as server;
pub use offswitch_server::problem;
