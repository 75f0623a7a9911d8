//! What clients ask of the daemon, whichever way they come: the requests and answers of its loop, and what it shows.
//!
//! XML-RPC, REST, the page and the metrics are ways in; they turn what they were sent into a [`request::Request`] and the
//! [`request::Answer`] into what they send. [`overview`] is what there is to show.

pub mod overview;
pub mod request;
