//! Locks and limits on a real Redis and a real PostgreSQL.
//!
//! Most tests share the stack's Redis under a namespace of their own, whose keys expire by
//! themselves; those that break Redis start one for themselves with `redis-server`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic"
)]
#![expect(clippy::disallowed_methods, reason = "a test may spawn, and reads where its servers are")]

mod away;
mod children;
mod cluster;
mod database;
mod fence;
mod handoff;
mod laravel;
mod limits;
mod lock_batch;
mod lock_loss;
mod lock_release;
mod memory;
mod metrics;
mod operate;
mod overrides;
mod pacer;
mod postgres_limits;
mod postgres_locks;
mod proxy;
mod registry_page;
mod renewal;
mod sentinel;
mod stack;
mod switch;
