//! The page: plain HTML, CSS and JavaScript, compiled in. `assets` lists its files and answers requests for them.

pub(crate) mod assets;
