//! Storage against a real PostgreSQL.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::needless_question_mark,
    reason = "a test may panic and spawn; `?` turns a closure's error into the one it names"
)]

mod broken_connections;
mod campaign_news;
mod campaigns;
mod campaigns_mix;
mod contacts;
mod conversations;
mod inbound_ledger;
mod outbox;
mod schema;
mod send_ledger;
mod status_pipeline;
mod statuses;
mod world;
