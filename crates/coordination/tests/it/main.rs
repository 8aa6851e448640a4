//! Locks and limits on a real Redis.
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
mod cluster;
mod fence;
mod handoff;
mod laravel;
mod children;
mod limits;
mod lock_batch;
mod lock_loss;
mod lock_release;
mod metrics;
mod operate;
mod pacer;
mod registry_page;
mod renewal;
mod sentinel;
mod stack;
