//! Reads a file of people: CSV, XLSX or NDJSON, one record after the other.
//!
//! Invariants: memory holds one record and what the format insists on, whatever the file is; a record
//! that cannot be used costs itself and is named by its line; a file that cannot be read at all says
//! why, and what to do.

mod csv;
mod encoding;
mod guard;
mod lines;
mod ndjson;
mod sheet;
mod xlsx;

use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use super::options::{Format, Options};
use super::person::{Person, Unfit};

/// Bytes of a record, and of a cell, at most: a number, a name and some fifty values.
pub(super) const LONGEST: usize = 64 * 1024;

/// What comes out of a file, in its order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    /// How the file is read; comes first.
    Understood(Understood),
    /// Somebody.
    Person(Box<Person>),
    /// A record that is left out.
    Reject(Reject),
}

/// A record that is left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reject {
    /// Counted from 1; the first one of a record that has several.
    pub(crate) line: u64,
    /// For programs.
    pub(crate) code: &'static str,
    /// For people.
    pub(crate) detail: String,
    /// The beginning of the record, as it was read.
    pub(crate) record: String,
}

/// How a file is read: what was found out and what was said.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Understood {
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delimiter: Option<char>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sheet: Option<String>,
    #[serde(flatten)]
    columns: super::columns::Shown,
}

/// Nothing of the file can be used.
#[derive(Debug, Error)]
pub(crate) enum FileError {
    /// Something is wrong with it.
    #[error("{detail}")]
    Unfit {
        /// For programs.
        code: &'static str,
        /// For people.
        detail: String,
    },
    /// It could not be read from the disk.
    #[error("the file cannot be read")]
    Disk(#[from] io::Error),
    /// Nobody wants to know any more.
    #[error("reading was stopped")]
    Stopped,
}

impl FileError {
    pub(crate) fn unfit(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Unfit { code, detail: detail.into() }
    }
}

/// Takes what is read.
pub(crate) type Sink<'a> = dyn FnMut(Item) -> Result<(), FileError> + 'a;

/// Reads `file` from its beginning to its end; `read` counts its bytes.
pub(crate) fn read(
    mut file: File,
    options: &Options,
    read: Arc<AtomicU64>,
    sink: &mut Sink<'_>,
) -> Result<(), FileError> {
    let mut head = vec![0; encoding::HEAD];
    let length = fill(&mut file, &mut head)?;
    head.truncate(length);
    file.rewind()?;
    if head.iter().all(u8::is_ascii_whitespace) {
        return Err(FileError::unfit("empty_file", "the file is empty"));
    }
    match options.format.map_or_else(|| recognise(&head), Ok)? {
        Format::Xlsx => xlsx::read(file, options, &read, sink),
        Format::Csv => {
            let text = encoding::decode(Counted { file, read }, &head, options.encoding)?;
            csv::read(text, options, sink)
        }
        Format::Ndjson => {
            let text = encoding::decode(Counted { file, read }, &head, options.encoding)?;
            ndjson::read(text, options, sink)
        }
    }
}

/// Tells the format by how the file begins.
fn recognise(head: &[u8]) -> Result<Format, FileError> {
    const ZIP: &[u8] = b"PK\x03\x04";
    /// Of OLE files: `.xls`, and `.xlsx` with a password.
    const OLE: &[u8] = &[0xd0, 0xcf, 0x11, 0xe0];
    const REFUSED: [(&[u8], &str); 4] = [
        (OLE, "it is an old .xls file or has a password; save it as .xlsx without one, or as CSV"),
        (&[0x1f, 0x8b], "it is compressed with gzip; unpack it first"),
        (b"%PDF", "it is a PDF; save the list as CSV or .xlsx"),
        (b"Rar!", "it is a RAR archive; unpack it first"),
    ];
    if let Some((_, detail)) = REFUSED.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(FileError::unfit(
            "unknown_format",
            format!("the file cannot be read: {detail}"),
        ));
    }
    let first = head
        .iter()
        .find(|byte| !byte.is_ascii_whitespace() && !matches!(**byte, 0xef | 0xbb | 0xbf));
    Ok(match first {
        _ if head.starts_with(ZIP) => Format::Xlsx,
        Some(b'{') => Format::Ndjson,
        _ => Format::Csv,
    })
}

fn fill(file: &mut File, head: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = head.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

/// A file whose bytes are counted.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(into)?;
        self.read.fetch_add(u64::try_from(length).unwrap_or(0), Ordering::Relaxed);
        Ok(length)
    }
}

/// What a reject shows of its record: enough to find it again.
fn excerpt(record: &str) -> String {
    const MOST: usize = 300;
    record.chars().filter(|c| *c != '\0').take(MOST).collect()
}

impl Reject {
    fn new(line: u64, unfit: &Unfit, record: &str) -> Self {
        Self { line, code: unfit.code(), detail: unfit.to_string(), record: excerpt(record) }
    }

    /// A record of several lines says how many went with it.
    fn through(mut self, last: u64) -> Self {
        if last > self.line {
            self.detail = format!("{} (lines {} to {last})", self.detail, self.line);
        }
        self
    }
}

#[cfg(test)]
mod tests;
