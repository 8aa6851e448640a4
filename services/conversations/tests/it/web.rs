//! The HTTP API, called in process, against a database of its own.

mod access;
mod connections;
mod events;
mod limits;
mod meta_apps;
mod secrets;
mod threads;
pub(crate) mod world;
