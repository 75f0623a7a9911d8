//! HTTP as it goes over the wire: requests in, answers out.

pub(crate) mod input;

pub(crate) mod body;
pub(crate) mod query;
pub(crate) mod request;

pub(crate) mod problem;
pub(crate) mod response;
pub(crate) mod send;
