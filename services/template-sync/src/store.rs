//! The tables of templates and of the runs that fetch them.
//!
//! Lock order of rows: account → run → template → campaign → message.

pub(crate) mod accounts;
pub(crate) mod contacts;
pub(crate) mod merge;
pub(crate) mod news;
pub(crate) mod pages;
pub(crate) mod runs;
pub(crate) mod schedules;
pub(crate) mod telling;
pub(crate) mod templates;
