//! Campaigns on a real PostgreSQL, Redis and RabbitMQ.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed step fails the test")]

mod api;
mod engine;
