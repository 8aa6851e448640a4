//! What the columns of a table mean: said by the import, or guessed from the header.

mod names;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use self::names::Meaning;
use super::options::{Mapping, Options};
use super::person::{self, AttributeName, Person, Unfit};
use super::phone;
use super::read::FileError;
use crate::export::csv;

/// What each column means.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    headers: Vec<String>,
    phone: usize,
    names: Vec<usize>,
    tags: Option<usize>,
    attributes: Vec<(usize, AttributeName)>,
}

/// What the columns mean, as the import's answer shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Shown {
    columns: BTreeMap<String, String>,
    ignored: Vec<String>,
}

impl Columns {
    /// From the first record of a table; and whether that was a header.
    pub(super) fn learn(
        cells: &[String],
        line: u64,
        options: &Options,
    ) -> Result<(Self, bool), FileError> {
        let headers: Vec<String> = cells.iter().map(|cell| cell.trim().to_owned()).collect();
        let mapping = options.mapping.clone().unwrap_or_default();
        let Some(phone) = phone_column(&headers, line, &mapping)? else {
            return without_header(&headers, line, options);
        };
        let place = |wanted: &String| place(&headers, line, wanted);
        let names = match &mapping.name {
            Some(wanted) => wanted.as_slice().iter().map(place).collect::<Result<_, _>>()?,
            None => names::name_columns(&headers),
        };
        let tags = match &mapping.tags {
            Some(wanted) => Some(place(wanted)?),
            None => names::column(&headers, Meaning::Tags),
        };
        let attributes = match &mapping.attributes {
            Some(wanted) => {
                let named = wanted.iter().map(|(name, column)| Ok((place(column)?, name.clone())));
                named.collect::<Result<_, FileError>>()?
            }
            None => others(&headers, line, |column| {
                column == phone || names.contains(&column) || tags == Some(column)
            })?,
        };
        Ok((Self { headers, phone, names, tags, attributes }, true))
    }

    /// Who a record is about.
    pub(super) fn person(
        &self,
        line: u64,
        cells: &[String],
        options: &Options,
    ) -> Result<Person, Unfit> {
        let surplus = cells.iter().skip(self.headers.len()).any(|cell| !cell.trim().is_empty());
        if surplus {
            return Err(Unfit::Surplus { found: cells.len(), columns: self.headers.len() });
        }
        let cell =
            |column: usize| cells.get(column).map_or("", |cell| without_apostrophe(cell.trim()));
        let phone = cell(self.phone);
        if names::is_error(phone) {
            return Err(Unfit::Formula(phone.to_owned()));
        }
        let wa_id = phone::read(phone, options.default_country)?;
        let parts = self.names.iter().map(|column| cell(*column)).filter(|part| !part.is_empty());
        let name = person::name(&parts.collect::<Vec<_>>().join(" "))?;
        let tags = self.tags.map_or(Ok(Vec::new()), |column| person::tags(cell(column)))?;
        let mut attributes = BTreeMap::new();
        for (column, attribute) in &self.attributes {
            if let Some(text) = person::value(attribute, cell(*column))? {
                attributes.insert(attribute.clone(), Value::String(text));
            }
        }
        Ok(Person { line, wa_id, name, tags, attributes })
    }

    pub(super) fn shown(&self) -> Shown {
        let mut shown = Shown::default();
        for (column, header) in self.headers.iter().enumerate() {
            let attribute = self.attributes.iter().find(|(place, _)| *place == column);
            let meaning = match attribute {
                _ if column == self.phone => "phone".to_owned(),
                _ if self.names.contains(&column) => "name".to_owned(),
                _ if self.tags == Some(column) => "tags".to_owned(),
                Some((_, name)) => format!("attributes.{}", name.as_str()),
                None => {
                    shown.ignored.push(header.clone());
                    continue;
                }
            };
            shown.columns.insert(header.clone(), meaning);
        }
        shown
    }
}

/// The column that has the numbers: `None` when no header says so.
fn phone_column(
    headers: &[String],
    line: u64,
    mapping: &Mapping,
) -> Result<Option<usize>, FileError> {
    match &mapping.phone {
        Some(wanted) => place(headers, line, wanted).map(Some),
        None => match names::column(headers, Meaning::Phone) {
            Some(column) => {
                let header = headers.get(column).map_or("", String::as_str);
                place(headers, line, header).map(Some)
            }
            None => Ok(None),
        },
    }
}

/// The one column with this header.
fn place(headers: &[String], line: u64, wanted: &str) -> Result<usize, FileError> {
    let is_it = |header: &String| names::normal(header) == names::normal(wanted);
    let mut places = headers.iter().enumerate().filter(|(_, header)| is_it(header));
    let Some((place, _)) = places.next() else {
        let detail =
            format!("line {line}: no column is called '{wanted}'; there are {}", list(headers));
        return Err(FileError::unfit("no_such_column", detail));
    };
    match places.next() {
        None => Ok(place),
        Some(_) => Err(twice(line, wanted)),
    }
}

/// Columns that become attributes.
fn others(
    headers: &[String],
    line: u64,
    is_taken: impl Fn(usize) -> bool,
) -> Result<Vec<(usize, AttributeName)>, FileError> {
    let mut found: Vec<(usize, AttributeName)> = Vec::new();
    let is_export = headers.iter().any(|header| header == names::OF_EXPORTS[0]);
    let is_ours = |header: &str| is_export && names::OF_EXPORTS.contains(&header);
    for (column, header) in headers.iter().enumerate() {
        if is_taken(column) || is_ours(header) {
            continue;
        }
        let Some(name) = AttributeName::of_header(header) else { continue };
        if found.iter().any(|(_, other)| *other == name) {
            return Err(twice(line, header));
        }
        found.push((column, name));
    }
    Ok(found)
}

/// The apostrophe that an export put in front of what a spreadsheet would take for a formula.
fn without_apostrophe(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if csv::is_formula(rest) => rest,
        _ => cell,
    }
}

fn twice(line: u64, header: &str) -> FileError {
    let detail = format!("line {line}: the column '{header}' is there twice; rename one of them");
    FileError::unfit("duplicate_column", detail)
}

/// A list of numbers needs no header; anything else does.
fn without_header(
    headers: &[String],
    line: u64,
    options: &Options,
) -> Result<(Columns, bool), FileError> {
    let is_number = |cell: &String| phone::read(cell, options.default_country).is_ok();
    if let [only] = headers
        && is_number(only)
    {
        let headers = vec![String::new()];
        let columns = Columns { headers, phone: 0, names: vec![], tags: None, attributes: vec![] };
        return Ok((columns, false));
    }
    if headers.iter().any(is_number) {
        let detail = format!("line {line} is no header; put one above it, such as phone,name");
        return Err(FileError::unfit("no_header", detail));
    }
    let detail = format!(
        "line {line}: none of the columns {} is known to hold phone numbers; call it 'phone', or say \
         which one does by the option \"mapping\": {{\"phone\": \"…\"}}",
        list(headers)
    );
    Err(FileError::unfit("no_phone_column", detail))
}

fn list(headers: &[String]) -> String {
    const MOST: usize = 20;
    let shown = headers.iter().take(MOST).map(|header| {
        let short: String = header.chars().take(40).collect();
        format!("'{short}'")
    });
    let more = if headers.len() > MOST { ", …" } else { "" };
    format!("{}{more}", shown.collect::<Vec<_>>().join(", "))
}
