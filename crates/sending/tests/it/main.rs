//! Senders on a real PostgreSQL, Redis and RabbitMQ, counted at Meta's double.

#![expect(
    clippy::unwrap_used,
    clippy::needless_question_mark,
    reason = "a failed step fails the test; `?` turns a closure's error into the one it names"
)]

mod campaigns;
mod turns;
mod world;
