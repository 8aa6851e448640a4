//! What CSV and XLSX share: a header, and records below it.

use super::{FileError, Item, Reject, Sink, Understood};
use crate::import::columns::{Columns, Shown};
use crate::import::options::Options;

/// The values of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Where it begins, counted from 1.
    pub(super) line: u64,
    /// Where it ends.
    pub(super) last: u64,
    pub(super) cells: Vec<String>,
}

/// A table that is being read.
pub(super) struct Sheet<'a> {
    options: &'a Options,
    columns: Option<Columns>,
}

impl<'a> Sheet<'a> {
    pub(super) const fn new(options: &'a Options) -> Self {
        Self { options, columns: None }
    }

    /// Takes a record. The first one says what the columns mean; `how` tells the rest of how the file
    /// is read.
    pub(super) fn take(
        &mut self,
        record: Result<Record, Reject>,
        how: impl FnOnce(Shown) -> Understood,
        sink: &mut Sink<'_>,
    ) -> Result<(), FileError> {
        let record = match record {
            Ok(record) => record,
            Err(reject) if self.columns.is_some() => return sink(Item::Reject(reject)),
            Err(reject) => {
                let detail = format!("line {}, the header: {}", reject.line, reject.detail);
                return Err(FileError::unfit("header_unreadable", detail));
            }
        };
        if record.cells.iter().all(|cell| cell.trim().is_empty()) {
            return Ok(());
        }
        if let Some(columns) = &self.columns {
            return self.person(columns, &record, sink);
        }
        let (columns, is_header) = Columns::learn(&record.cells, record.line, self.options)?;
        sink(Item::Understood(how(columns.shown())))?;
        let columns = self.columns.insert(columns).clone();
        if is_header { Ok(()) } else { self.person(&columns, &record, sink) }
    }

    fn person(
        &self,
        columns: &Columns,
        record: &Record,
        sink: &mut Sink<'_>,
    ) -> Result<(), FileError> {
        match columns.person(record.line, &record.cells, self.options) {
            Ok(person) => sink(Item::Person(Box::new(person))),
            Err(unfit) => {
                let reject = Reject::new(record.line, &unfit, &record.cells.join(","));
                sink(Item::Reject(reject.through(record.last)))
            }
        }
    }

    /// There is nothing more.
    pub(super) fn end(&self) -> Result<(), FileError> {
        match self.columns {
            Some(_) => Ok(()),
            None => Err(FileError::unfit("empty_file", "the file has no header and no record")),
        }
    }
}
