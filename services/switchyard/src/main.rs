//! `switchyard`: every service in one binary, and the operator's tool.
//!
//! Invariants: data goes to stdout, talk to stderr; every error ends with one line that says how to
//! mend it; exit codes mean the same for every command ([`exit::Exit`]).

mod cli;
mod command;
mod exit;
mod parts;
mod screen;
mod services;

use std::process::ExitCode;

/// Half of the CPU a message costs is spent near the allocator; this one is faster than libc's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    whatsapp::graph::install_tls();
    cli::main()
}
