//! XML-RPC: the wire (names, faults, structs; once for both sides), the daemon's methods, the client.

pub mod client;
pub mod server;
pub mod wire;
