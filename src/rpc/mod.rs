//! XML-RPC: the wire format (names, faults and structs, once for both sides), the daemon's methods, and the client.

pub mod client;
pub mod server;
pub mod wire;
