//! The whole product, as real processes against real servers and the simulator.
//!
//! What is promised is counted on the far side: what the simulator really received.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test may panic, spawn and report"
)]

mod campaign;
mod campaign_chaos;
mod campaigns;
mod chaos;
mod cli;
mod clicks;
mod contact_runs;
mod first_contact;
mod fixtures;
mod installation;
mod once;
mod ops;
mod poison;
mod private_stack;
mod replies;
mod sending;
mod templates;
mod tenants;
mod trace;
