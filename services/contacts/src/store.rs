//! The statements of tables that only this service writes.

pub(crate) mod notes;
