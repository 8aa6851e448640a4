//! Imports of contacts: a file of people becomes contacts, all of it or nothing (D12).
//!
//! An upload goes to the file store and becomes a row; a worker reads it into a session's temporary table
//! and merges that into `contacts` in one transaction. See [`work`] and [`staging`] for what holds.

pub(crate) mod api;
mod columns;
mod options;
mod person;
mod phone;
pub(crate) mod read;
mod rejects;
mod shown;
mod staging;
pub(crate) mod store;
pub(crate) mod work;

pub(crate) use self::shown::Why;

use kernel::ids::ImportId;

/// Where uploads are among the files.
pub(crate) const FOLDER: &str = "imports";

/// Where the file of an import is.
pub(crate) fn path(id: ImportId) -> String {
    format!("{FOLDER}/{id}")
}
