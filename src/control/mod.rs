//! What clients can ask of the daemon, however they ask: the requests and answers of its loop, and the state it shows.
//!
//! XML-RPC, REST, the page and the metrics are ways in. Each way translates its input into a request of [`ask`], and the
//! answer into its own format. [`request`] holds the requests and answers themselves, [`overview`] the state of the daemon
//! and its processes. [`orders`] carries out what takes several requests. [`audit`] writes the log line of each change,
//! [`facts`] what clients of XML-RPC get of the state.

pub mod ask;
pub mod audit;
pub mod facts;
pub mod orders;
pub mod overview;
pub mod programs;
pub mod request;
