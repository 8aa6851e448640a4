//! What whoever moves a campaign's messages must know of it: whether it may send, and how many
//! recipients ended how. Everything else about campaigns belongs to service campaign-sender.
//!
//! Invariants (ADR-0014):
//! - a campaign's row is locked before its messages, its counts after them;
//! - counts change in the transaction that changes the messages they count.

pub mod counts;
pub mod expiry;
mod numbers;
pub mod standing;

pub use self::numbers::{Numbers, numbers, recount};
