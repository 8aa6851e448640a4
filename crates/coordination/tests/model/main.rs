//! Models of the two protocols whose interleavings no test can force, explored completely.
//!
//! Each is checked twice: as it is built, where every property holds, and in variants with one rule
//! left out, where the checker must find what that rule is for.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and a model's arrays have one entry for each client"
)]

mod explore;
mod hand_off;
mod switch;
