//! What clients ask of the daemon, whichever way they come: the requests and answers of its loop, and what it shows.
//!
//! XML-RPC, REST, the page and the metrics are ways in. Each turns what it received into one of the requests of [`ask`], and
//! the answer into what it sends. [`orders`] holds what takes several requests, [`audit`] the line that each change leaves
//! in the activity log. [`request`] is what travels to the loop and back; [`overview`] is what there is to show.

pub mod ask;
pub mod audit;
pub mod orders;
pub mod overview;
pub mod request;
