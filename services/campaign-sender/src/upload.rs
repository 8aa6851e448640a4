//! A file of phone numbers, read line by line: CSV with a header, CSV without one, or one number a
//! line.
//!
//! Invariants: a line is a record, so a broken one costs itself and no more; memory holds one line,
//! whatever the file is; the header decides what a column means.

mod lines;

use std::collections::BTreeMap;

use kernel::WaId;
use thiserror::Error;

pub(crate) use self::lines::{Line, Lines};
use crate::audience::phone;
use crate::store::uploads::Person;

/// Columns that may name the number, in whatever case.
const PHONE_COLUMNS: [&str; 8] =
    ["phone", "phone_number", "number", "mobile", "whatsapp", "wa_id", "tel", "telephone"];
/// Columns that may name the person.
const NAME_COLUMNS: [&str; 2] = ["name", "full_name"];
/// Longer names are no names.
const LONGEST_NAME: usize = 200;
/// Columns of a file at most.
const MOST_COLUMNS: usize = 50;

/// Why a line is left out.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum BadLine {
    /// It is longer than any honest one.
    #[error("the line has more than {} bytes", lines::LONGEST)]
    TooLong,
    /// It holds a NUL, as binary files and UTF-16 do.
    #[error("the line holds a NUL; save the file as UTF-8")]
    Nul,
    /// It is no UTF-8.
    #[error("the line is not UTF-8")]
    Encoding,
    /// A quoted value does not end.
    #[error("a quote is not closed on its line")]
    Quote,
    /// There is no number where it should be.
    #[error("not a phone number; write +493055501200")]
    Phone,
    /// The name is too long.
    #[error("a name has at most {LONGEST_NAME} characters")]
    Name,
    /// It has more values than a file has columns.
    #[error("more than {MOST_COLUMNS} values")]
    Columns,
}

impl BadLine {
    /// For programs.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Nul => "nul",
            Self::Encoding => "encoding",
            Self::Quote => "quote_not_closed",
            Self::Phone => "invalid_phone",
            Self::Name => "name_too_long",
            Self::Columns => "too_many_columns",
        }
    }
}

/// What the columns of a file mean; learnt from its first line.
#[derive(Debug)]
struct Columns {
    delimiter: u8,
    phone: usize,
    name: Option<usize>,
    /// Kept as attributes of the person, by their header.
    others: Vec<(usize, String)>,
}

/// Reads the lines of one file.
#[derive(Debug, Default)]
pub(crate) struct Table {
    columns: Option<Columns>,
}

impl Table {
    /// Reads a line; `None` for a header or an empty one.
    pub(crate) fn read(&mut self, line: &Line) -> Result<Option<Person>, BadLine> {
        let bytes = line.bytes.as_deref().ok_or(BadLine::TooLong)?;
        if bytes.contains(&0) {
            return Err(BadLine::Nul);
        }
        let text = str::from_utf8(bytes).or(Err(BadLine::Encoding))?;
        let text = text.trim_matches(['\u{feff}', '\r', '\n']);
        if text.trim().is_empty() {
            return Ok(None);
        }
        if let Some(columns) = &self.columns {
            return columns.person(line.number, &cells(text, columns.delimiter)?).map(Some);
        }
        let (columns, is_header) = Columns::learn(text)?;
        let columns = self.columns.insert(columns);
        if is_header {
            return Ok(None);
        }
        columns.person(line.number, &cells(text, columns.delimiter)?).map(Some)
    }
}

impl Columns {
    /// From a file's first line; and whether that was a header.
    fn learn(text: &str) -> Result<(Self, bool), BadLine> {
        let delimiter = text.bytes().find(|byte| matches!(byte, b',' | b';' | b'\t'));
        let delimiter = delimiter.unwrap_or(b',');
        let headers: Vec<String> =
            cells(text, delimiter)?.iter().map(|cell| cell.trim().to_lowercase()).collect();
        let place = |known: &[&str]| {
            headers.iter().position(|header| known.contains(&header.replace(' ', "_").as_str()))
        };
        let Some(phone) = place(&PHONE_COLUMNS) else {
            let name = (headers.len() > 1).then_some(1);
            return Ok((Self { delimiter, phone: 0, name, others: Vec::new() }, false));
        };
        let name = place(&NAME_COLUMNS);
        let others = headers.into_iter().enumerate().filter(|(position, header)| {
            *position != phone && Some(*position) != name && !header.is_empty()
        });
        Ok((Self { delimiter, phone, name, others: others.collect() }, true))
    }

    fn person(&self, line: i32, cells: &[String]) -> Result<Person, BadLine> {
        let cell = |position: usize| cells.get(position).map(|cell| cell.trim());
        let given = |position| cell(position).filter(|text| !text.is_empty()).map(str::to_owned);
        let wa_id: WaId = cell(self.phone).and_then(number).ok_or(BadLine::Phone)?;
        let name = self.name.and_then(given);
        if name.as_ref().is_some_and(|name| name.chars().count() > LONGEST_NAME) {
            return Err(BadLine::Name);
        }
        let attributes: BTreeMap<String, String> = self
            .others
            .iter()
            .filter_map(|(position, header)| Some((header.clone(), given(*position)?)))
            .collect();
        Ok(Person { line, wa_id, name, attributes })
    }
}

/// A cell's number. The apostrophe that keeps a spreadsheet from counting with it is left out.
fn number(cell: &str) -> Option<WaId> {
    phone(cell.trim_start_matches('\'')).map(WaId::new)
}

/// The values of a line. A value that begins with a quote ends with one, and a quote inside of it is
/// written twice (RFC 4180).
fn cells(text: &str, delimiter: u8) -> Result<Vec<String>, BadLine> {
    let delimiter = char::from(delimiter);
    let (mut cells, mut rest) = (Vec::new(), Some(text));
    while let Some(text) = rest {
        let mut value = String::new();
        let mut tail = text;
        if let Some(mut inside) = text.strip_prefix('"') {
            loop {
                let (part, behind) = inside.split_once('"').ok_or(BadLine::Quote)?;
                value.push_str(part);
                let Some(more) = behind.strip_prefix('"') else {
                    tail = behind;
                    break;
                };
                value.push('"');
                inside = more;
            }
        }
        let (plain, next) = match tail.split_once(delimiter) {
            Some((plain, next)) => (plain, Some(next)),
            None => (tail, None),
        };
        value.push_str(plain);
        cells.push(value);
        if cells.len() > MOST_COLUMNS {
            return Err(BadLine::Columns);
        }
        rest = next;
    }
    Ok(cells)
}

#[cfg(test)]
mod tests;
