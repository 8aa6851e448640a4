//! The HTTP API, called in process, against a database of its own.

mod access;
mod connections;
mod events;
mod inbox;
mod limits;
mod messages;
mod meta_apps;
mod secrets;
mod sending;
mod threads;
pub(crate) mod world;
