//! What the crate promises, on bodies as Meta sends them and against servers that misbehave.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test that fails should stop"
)]

mod error_codes;
mod fixtures;
mod graph_faults;
mod graph_requests;
mod graph_telemetry;
mod hostile;
mod signature;
mod splitting;
