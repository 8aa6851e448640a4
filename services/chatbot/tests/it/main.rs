//! Chatbots on a real PostgreSQL, Redis and RabbitMQ; the sender stands still, so that what would be
//! sent can be counted in the send ledger.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed step fails the test")]

mod bots_api;
mod client;
mod crowd;
mod freshness;
mod limits;
mod once;
mod rules_api;
mod trace;
mod world;
