//! Templates on a real PostgreSQL, Redis and RabbitMQ, and a simulated Meta.

// The futures of a test nest deeply: the service, its listener, the simulated Meta.
#![recursion_limit = "256"]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a failed step fails the test, and a measured one is reported"
)]

mod access;
mod campaigns;
mod faults;
mod news;
mod rendering;
mod schedules;
mod syncs;
mod world;
mod writing;
