//! The door against a real broker, a real database and hostile senders.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test stops at the first surprise"
)]

mod alone;
mod bodies;
mod client;
mod fixtures;
mod handshake;
mod hostile;
mod limits;
mod outages;
mod proxy;
mod sizes;
mod stand;
mod stopping;
mod tenants;
