//! Exports of contacts: those that a filter names become a file, CSV or XLSX.
//!
//! A worker reads contacts page by page into a temporary file, which goes to the file store when it is
//! whole. Each run has a file of its own: whoever ends the export names it (D13).

pub(crate) mod api;
mod columns;
pub(crate) mod csv;
mod filter;
mod link;
mod people;
pub(crate) mod store;
mod table;
pub(crate) mod work;

pub(crate) use self::table::TableError;

/// Where files of exports are among the files.
pub(crate) const FOLDER: &str = "exports";

/// Where a file of this name is.
pub(crate) fn path(file_name: &str) -> String {
    format!("{FOLDER}/{file_name}")
}
