//! Everything the product remembers: tables, queries, transactions.
//!
//! A query takes `&mut AsyncPgConnection`, so the caller decides which queries share a transaction.
//! Every query on tenant data takes its tenant's id; only services open transactions.
//!
//! Invariants:
//! - "exactly once" is decided here, by a unique key or a conditional update, never by a lock;
//! - the sets handled by one statement are sorted by key, so that two batches never deadlock.

pub mod api_keys;
pub mod audit;
pub mod bot_turns;
pub mod campaigns;
pub mod connections;
pub mod contacts;
pub mod conversations;
mod database;
mod error;
pub mod events;
pub mod idempotency;
pub mod inbound_ledger;
pub mod message_requests;
pub mod messages;
pub mod meta_apps;
pub mod migrations;
pub mod outbox;
pub mod schema;
pub mod sealed;
pub mod send_ledger;
pub mod status_pipeline;
pub mod statuses;
pub mod templates;
pub mod timeline;
pub mod webhook_records;
pub mod workspaces;

pub use self::database::{Database, DatabaseOptions, Pooled};
pub use self::error::StorageError;
pub use diesel_async::AsyncPgConnection;
