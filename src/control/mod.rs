//! What clients ask of the daemon, whichever way they come: the requests and answers of its loop, and what it shows.
//!
//! XML-RPC, REST, the page and the metrics are ways in; they turn what they were sent into one of the requests of [`ask`],
//! and its answer into what they send. [`orders`] are what takes several of them, [`audit`] the line that each change leaves in the log.
//! [`request`] is what travels to the loop and back, [`overview`] what there is to show.

pub mod ask;
pub mod audit;
pub mod orders;
pub mod overview;
pub mod request;
