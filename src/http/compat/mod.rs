//! Addresses of other programs, for the scripts and bookmarks that use them: Supervisor's page, and the REST paths of the Go
//! reimplementations.

pub(crate) mod bare_names;
pub(crate) mod compat_go;
pub(crate) mod legacy_page;
