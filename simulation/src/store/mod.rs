//! The simulated store: the server's state, the network to it with its faults, and what each process
//! holds of it, which implements the product's trait.

mod connection;
mod network;
mod server;

pub use connection::Connection;
pub use network::{Conditions, Network};
pub use server::Server;
