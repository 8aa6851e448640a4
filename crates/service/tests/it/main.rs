//! What callers see of the HTTP kit, and how a process lives and ends.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed step fails the test"
)]

mod api;
mod bodies;
mod front;
mod health;
mod listener;
mod lists;
mod process;
mod registry;
