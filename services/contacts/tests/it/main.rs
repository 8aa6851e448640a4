//! The service against real servers.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed step fails the test")]

mod access;
mod consent;
mod contacts;
mod details;
mod erase;
mod merge;
mod runs;
mod search;
mod together;
mod world;
