//! The tables that only this service writes.
