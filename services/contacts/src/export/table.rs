//! Writes a table into a temporary file: CSV or XLSX.

use std::fs::File;
use std::io::{BufWriter, Write as _};

use kernel::Retryable;
use rust_xlsxwriter::{Workbook, XlsxError};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::csv;

/// Rows of a sheet at most, the header included (Excel).
const MOST_ROWS: u32 = 1_048_576;

/// What a file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// Values between commas, UTF-8.
    #[default]
    Csv,
    /// A workbook of Excel.
    Xlsx,
}

impl Format {
    /// As stored, and as a file's name ends.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Xlsx => "xlsx",
        }
    }

    pub(crate) fn read(text: &str) -> Self {
        if text == "xlsx" { Self::Xlsx } else { Self::Csv }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        }
    }
}

/// The file could not be written.
#[derive(Debug, Error)]
pub(crate) enum TableError {
    /// The disk is full, or away.
    #[error("a temporary file cannot be written")]
    Disk(#[from] std::io::Error),
    /// A cell or a sheet is none.
    #[error("the workbook cannot be written")]
    Workbook(#[from] XlsxError),
}

impl Retryable for TableError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Disk(_) | Self::Workbook(XlsxError::IoError(_)))
    }
}

/// A table that is being written. Memory holds a row of it.
pub(super) enum Table {
    Csv { file: BufWriter<File>, line: Vec<u8> },
    Xlsx { book: Box<Workbook>, header: Vec<String>, sheets: usize, row: u32 },
}

impl Table {
    pub(super) fn new(
        format: Format,
        has_bom: bool,
        header: Vec<String>,
    ) -> Result<Self, TableError> {
        match format {
            Format::Csv => {
                let mut file = BufWriter::new(tempfile::tempfile()?);
                if has_bom {
                    file.write_all("\u{feff}".as_bytes())?;
                }
                let mut table = Self::Csv { file, line: Vec::new() };
                table.add(&header)?;
                Ok(table)
            }
            Format::Xlsx => {
                let mut book = Box::new(Workbook::new());
                add_sheet(&mut book, &header)?;
                Ok(Self::Xlsx { book, header, sheets: 1, row: 1 })
            }
        }
    }

    pub(super) fn add(&mut self, cells: &[String]) -> Result<(), TableError> {
        match self {
            Self::Csv { file, line } => {
                line.clear();
                csv::line(line, cells.iter().map(String::as_str));
                file.write_all(line)?;
            }
            Self::Xlsx { book, header, sheets, row } => {
                if *row == MOST_ROWS {
                    add_sheet(book, header)?;
                    (*sheets, *row) = (*sheets + 1, 1);
                }
                write_row(book, *sheets - 1, *row, cells)?;
                *row += 1;
            }
        }
        Ok(())
    }

    /// The whole file.
    pub(super) fn finish(self) -> Result<File, TableError> {
        match self {
            Self::Csv { file, .. } => Ok(file.into_inner().map_err(|error| error.into_error())?),
            Self::Xlsx { mut book, .. } => {
                let file = tempfile::tempfile()?;
                book.save_to_writer(BufWriter::new(file.try_clone()?))?;
                Ok(file)
            }
        }
    }
}

fn add_sheet(book: &mut Workbook, header: &[String]) -> Result<(), TableError> {
    let sheet = book.add_worksheet_with_constant_memory()?;
    for (column, cell) in (0_u16..).zip(header) {
        sheet.write_string(0, column, cell)?;
    }
    Ok(())
}

/// Texts only: nothing in a cell is a formula.
fn write_row(
    book: &mut Workbook,
    sheet: usize,
    row: u32,
    cells: &[String],
) -> Result<(), TableError> {
    let sheet = book.worksheet_from_index(sheet)?;
    for (column, cell) in (0_u16..).zip(cells).filter(|(_, cell)| !cell.is_empty()) {
        sheet.write_string(row, column, cell)?;
    }
    Ok(())
}
