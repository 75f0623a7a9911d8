//! XML-RPC: the text format for both sides (`wire`), the daemon's methods (`server`), and the client's calls (`client`).

pub mod client;
pub mod server;
pub mod wire;
