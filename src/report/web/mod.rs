//! HTML for the page in the browser: the document of the first paint ([`page`]), and the fragments of its
//! views, which the worker fills in. Pure, as all of [`crate::report`].

pub mod features;
pub mod footer;
pub mod model;
pub mod names;
pub mod page;
pub mod patch;
pub mod read;
pub mod start;
pub mod steer;
pub mod train;
