//! The report of `mosaec reproduce`: the paper's claims, one by one, beside what was found here.

pub mod results;
