//! The rows of a workbook, one after the other.

use std::fs::File;
use std::io::{BufReader, Seek};
use std::sync::atomic::{AtomicU64, Ordering};

use calamine::{Cell, DataRef, Reader as _, Xlsx, XlsxError};

use super::sheet::{Record, Sheet};
use super::{FileError, LONGEST, Reject, Sink, Understood, guard};
use crate::import::options::Options;
use crate::import::person::Unfit;

/// Columns of a sheet at most.
const MOST_COLUMNS: u32 = 500;

pub(super) fn read(
    mut file: File,
    options: &Options,
    read: &AtomicU64,
    sink: &mut Sink<'_>,
) -> Result<(), FileError> {
    guard::check(&file)?;
    let size = file.metadata()?.len();
    file.rewind()?;
    let mut book = Xlsx::new(BufReader::new(file)).map_err(damaged)?;
    let name = sheet_name(&book.sheet_names(), options.sheet.as_deref())?;
    let mut cells = book.worksheet_cells_reader(&name).map_err(damaged)?;
    let mut sheet = Sheet::new(options);
    let how = |columns| Understood {
        format: "xlsx",
        sheet: Some(name.clone()),
        columns,
        ..Understood::default()
    };
    let mut row = Row::default();
    let last = u64::from(cells.dimensions().end.0) + 1;
    while let Some(cell) = cells.next_cell().map_err(damaged)? {
        if let Some(ended) = row.put(&cell) {
            read.store(size.saturating_mul(ended.line) / last.max(ended.line), Ordering::Relaxed);
            sheet.take(ended.record(), how, sink)?;
        }
    }
    if !row.cells.is_empty() {
        sheet.take(row.record(), how, sink)?;
    }
    read.store(size, Ordering::Relaxed);
    sheet.end()
}

fn sheet_name(names: &[String], wanted: Option<&str>) -> Result<String, FileError> {
    let found = match wanted {
        Some(wanted) => names.iter().find(|name| name.as_str() == wanted),
        None => names.first(),
    };
    found.cloned().ok_or_else(|| {
        let detail = match wanted {
            Some(wanted) => {
                format!("the workbook has no sheet '{wanted}'; it has {}", names.join(", "))
            }
            None => "the workbook has no sheet".to_owned(),
        };
        FileError::unfit("no_such_sheet", detail)
    })
}

/// The cells of a row so far. Cells that were merged have their value in the first one; the others
/// look empty.
#[derive(Default)]
struct Row {
    line: u64,
    cells: Vec<String>,
    unfit: Option<Unfit>,
}

impl Row {
    /// Takes a cell; answers with the row before when it begins the next one.
    fn put(&mut self, cell: &Cell<DataRef<'_>>) -> Option<Self> {
        let (row, column) = cell.get_position();
        let line = u64::from(row) + 1;
        let ended = (line != self.line && self.line > 0).then(|| std::mem::take(self));
        self.line = line;
        if matches!(cell.get_value(), DataRef::Empty) {
            return ended;
        }
        if column >= MOST_COLUMNS {
            self.unfit.get_or_insert(Unfit::TooManyCells);
            return ended;
        }
        let text = text(cell.get_value());
        if text.len() > LONGEST {
            self.unfit.get_or_insert(Unfit::TooLong);
            return ended;
        }
        let place = usize::try_from(column).unwrap_or(0);
        if self.cells.len() <= place {
            self.cells.resize(place + 1, String::new());
        }
        if let Some(here) = self.cells.get_mut(place) {
            *here = text;
        }
        ended
    }

    fn record(self) -> Result<Record, Reject> {
        let Self { line, cells, unfit } = self;
        match unfit {
            Some(unfit) => Err(Reject::new(line, &unfit, &cells.join(","))),
            None => Ok(Record { line, last: line, cells }),
        }
    }
}

/// A cell as text: a number without exponent, a date as a date.
fn text(value: &DataRef<'_>) -> String {
    match value {
        DataRef::Int(number) => number.to_string(),
        // `{}` never writes an exponent, and a whole number without fraction.
        DataRef::Float(number) => format!("{number}"),
        DataRef::String(text) => text.clone(),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Bool(truth) => truth.to_string(),
        DataRef::DateTime(date) => {
            let date = date.as_datetime().map(|date| date.format("%Y-%m-%d %H:%M:%S").to_string());
            date.unwrap_or_default()
        }
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.clone(),
        DataRef::Error(error) => error.to_string(),
        DataRef::Empty => String::new(),
    }
}

fn damaged(error: XlsxError) -> FileError {
    FileError::unfit("workbook_damaged", format!("the workbook cannot be read: {error}"))
}
