//! What a record says about a person: what can be made is fit to be kept.

use std::collections::{BTreeMap, BTreeSet};

use kernel::WaId;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::phone::NoNumber;

/// Characters of a name at most, as in the API.
const LONGEST_NAME: usize = 100;
/// Characters of a tag or an attribute's name at most: what a column of a table can show.
const LONGEST_WORD: usize = 64;
/// Characters of an attribute at most: the longest body of a template (Meta, "Templates", 1,024).
const LONGEST_TEXT: usize = 1024;
/// Tags of a person at most.
const MOST_TAGS: usize = 50;

/// Somebody of a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Person {
    /// Where in the file, counted from 1.
    pub(crate) line: u64,
    pub(crate) wa_id: WaId,
    pub(crate) name: Option<String>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) attributes: BTreeMap<AttributeName, serde_json::Value>,
}

/// Why a record is left out.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It is longer than any honest one.
    #[error("the line has more than {} bytes", super::read::LONGEST)]
    TooLong,
    /// It has more values than a file has columns.
    #[error("the line has more values than a file has columns; is the delimiter right?")]
    TooManyCells,
    /// It has values behind the last column.
    #[error("the line has {found} values for {columns} columns; put values with a comma in quotes")]
    Surplus {
        /// Values that are there.
        found: usize,
        /// Columns that have a name.
        columns: usize,
    },
    /// It holds a NUL, as binary files and UTF-16 do.
    #[error("the line holds a NUL; save the file as UTF-8")]
    Nul,
    /// It is no UTF-8.
    #[error("the line is not UTF-8; save the file as UTF-8, or say its encoding")]
    Encoding,
    /// A quoted value does not end.
    #[error("a quote is not closed")]
    Quote,
    /// A line of NDJSON that is no object of the right shape.
    #[error("not a JSON object of a person: {0}")]
    Json(String),
    /// Its number is none.
    #[error(transparent)]
    Phone(#[from] NoNumber),
    /// Its name is none.
    #[error("a name has at most {LONGEST_NAME} characters on one line")]
    Name,
    /// A tag is none.
    #[error("a tag has 1 to {LONGEST_WORD} characters, and a person at most {MOST_TAGS} tags")]
    Tag,
    /// A value is too long.
    #[error("{column}: a value has at most {LONGEST_TEXT} characters")]
    Value {
        /// The attribute.
        column: String,
    },
    /// A cell shows an error instead of a value.
    #[error("the spreadsheet shows {0} instead of a phone number; correct its formula")]
    Formula(String),
}

impl Unfit {
    /// For programs.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "line_too_long",
            Self::TooManyCells | Self::Surplus { .. } => "too_many_values",
            Self::Nul => "nul",
            Self::Encoding => "encoding",
            Self::Quote => "quote_not_closed",
            Self::Json(_) => "invalid_json",
            Self::Phone(why) => why.code(),
            Self::Name => "invalid_name",
            Self::Tag => "invalid_tag",
            Self::Value { .. } => "value_too_long",
            Self::Formula(_) => "formula_error",
        }
    }
}

/// What people are grouped by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub(crate) struct Tag(String);

impl Tag {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Tag {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let tag = text.trim();
        let is_fit = (1..=LONGEST_WORD).contains(&tag.chars().count());
        match is_fit && !tag.contains(|c: char| c.is_control() || c == ',') {
            true => Ok(Self(tag.to_owned())),
            false => Err("a tag has 1 to 64 characters on one line, and no comma"),
        }
    }
}

/// What an attribute is called: a word that can stand in a template's `{{placeholder}}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub(crate) struct AttributeName(String);

impl AttributeName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Made of a header: `Post code` becomes `post_code`. `None` when nothing is left.
    pub(crate) fn of_header(header: &str) -> Option<Self> {
        let header = header.trim().to_lowercase();
        let header = header.strip_prefix("attributes.").unwrap_or(&header);
        let words =
            header.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let name = words.collect::<Vec<_>>().join("_");
        Self::try_from(name).ok()
    }
}

impl TryFrom<String> for AttributeName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, &'static str> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match (1..=LONGEST_WORD).contains(&name.len()) && name.chars().all(is_word) {
            true => Ok(Self(name)),
            false => Err("an attribute's name has 1 to 64 of a-z, A-Z, 0-9 and `_`"),
        }
    }
}

/// A name, if there is one.
pub(crate) fn name(text: &str) -> Result<Option<String>, Unfit> {
    let name = text.trim();
    if name.chars().count() > LONGEST_NAME || name.contains(char::is_control) {
        return Err(Unfit::Name);
    }
    Ok((!name.is_empty()).then(|| name.to_owned()))
}

/// The tags of a cell: between commas, semicolons or bars.
pub(crate) fn tags(text: &str) -> Result<Vec<Tag>, Unfit> {
    let words = text.split([',', ';', '|']).filter(|word| !word.trim().is_empty());
    let tags = words.map(|word| Tag::try_from(word.to_owned())).collect::<Result<BTreeSet<_>, _>>();
    let tags = tags.ok().filter(|tags| tags.len() <= MOST_TAGS);
    tags.map(|tags| tags.into_iter().collect()).ok_or(Unfit::Tag)
}

/// A value of an attribute, if there is one.
pub(crate) fn value(column: &AttributeName, text: &str) -> Result<Option<String>, Unfit> {
    let text = text.trim();
    if text.chars().count() > LONGEST_TEXT || text.contains('\0') {
        return Err(Unfit::Value { column: column.as_str().to_owned() });
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_becomes_a_word() {
        for (header, expected) in [
            ("City", Some("city")),
            (" Post code ", Some("post_code")),
            ("attributes.plan", Some("plan")),
            ("E-mail 1 - Value", Some("e_mail_1_value")),
            ("Straße", Some("stra_e")),
            ("住所", None),
            ("", None),
        ] {
            let name = AttributeName::of_header(header);
            assert_eq!(name.as_ref().map(AttributeName::as_str), expected, "{header}");
        }
    }
}
