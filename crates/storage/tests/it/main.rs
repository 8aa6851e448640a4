//! Storage against a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod contacts;
mod conversations;
mod inbound_ledger;
mod outbox;
mod schema;
mod send_ledger;
mod status_pipeline;
mod statuses;
mod world;
