//! Phone numbers as people, spreadsheets and other programs write them.
//!
//! What countries' numbers look like comes from Google's libphonenumber (`rlibphonenumber`), which
//! nothing else of the product touches. A number that is written with its country code need only be
//! possible: the lists of valid ranges are always behind.

use kernel::WaId;
use rlibphonenumber::{
    NumberLengthType, PHONE_NUMBER_UTIL, ParseError, PhoneNumber, PhoneNumberFormat,
    PhoneNumberType, Region, ValidationError,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A country, by two letters of ISO 3166-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Country(Region);

/// Why a text is no phone number.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum NoNumber {
    /// There is nothing.
    #[error("there is no phone number")]
    Missing,
    /// Excel has counted with it.
    #[error("a spreadsheet has shortened the phone number to '{0}'; format the column as text")]
    Scientific(String),
    /// Excel took it for a date.
    #[error("'{0}' is a date, not a phone number; format the column as text")]
    Date(String),
    /// There are letters or signs in it.
    #[error("'{0}' is not a phone number; write +493055501200")]
    Letters(String),
    /// There are several.
    #[error("'{0}' is more than one phone number; give each a line of its own")]
    Several(String),
    /// Nobody knows the country.
    #[error("'{0}' has no country code; write +493055501200, or give the import a default_country")]
    Country(String),
    /// No country has this code.
    #[error("'{0}' begins with no country's code")]
    Code(String),
    /// It is too short for its country.
    #[error("'{0}' is too short for a phone number of its country")]
    Short(String),
    /// It is too long for its country.
    #[error("'{0}' is too long for a phone number of its country")]
    Long(String),
    /// It has a length that no number of its country has.
    #[error("'{0}' is not a phone number of its country")]
    Invalid(String),
}

impl NoNumber {
    /// For programs.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "phone_missing",
            Self::Scientific(_) => "phone_scientific",
            Self::Date(_) => "phone_is_date",
            Self::Letters(_) => "phone_invalid",
            Self::Several(_) => "phone_several",
            Self::Country(_) => "phone_country_missing",
            Self::Code(_) => "phone_country_unknown",
            Self::Short(_) => "phone_too_short",
            Self::Long(_) => "phone_too_long",
            Self::Invalid(_) => "phone_invalid",
        }
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.0.to_string()
    }
}

impl TryFrom<String> for Country {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let region = Region::from_code(text.trim()).ok();
        let mut regions = PHONE_NUMBER_UTIL.get_supported_regions();
        let known = region.filter(|region| regions.any(|other| other == *region)).map(Self);
        known.ok_or("a country is written as two letters (ISO 3166-1), for instance DE")
    }
}

/// Reads a phone number; one without a country code is from `default`.
pub(crate) fn read(text: &str, default: Option<Country>) -> Result<WaId, NoNumber> {
    let text = bare(text);
    if text.is_empty() {
        return Err(NoNumber::Missing);
    }
    let digits = match (digits(text)?, default) {
        (Written::International(digits), _) => international(&digits, text)?,
        (Written::Plain(digits), Some(country)) => national(&digits, country, text)?,
        (Written::Plain(digits), None) if digits.starts_with('0') => {
            return Err(NoNumber::Country(shown(text)));
        }
        (Written::Plain(digits), None) => international(&digits, text)?,
    };
    Ok(WaId::new(digits))
}

/// A number's digits, and whether a country code is among them for certain.
enum Written {
    International(String),
    Plain(String),
}

/// Without what surrounds a number: blanks, marks of direction, the apostrophe or the formula that keeps
/// a spreadsheet from counting with it.
fn bare(text: &str) -> &str {
    let is_blank = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let text = text.trim_matches(is_blank).trim_start_matches('\'');
    let text = text.strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let lower =
        text.get(..9).map(str::to_ascii_lowercase).unwrap_or_else(|| text.to_ascii_lowercase());
    let scheme = ["whatsapp:", "tel:"].into_iter().find(|scheme| lower.starts_with(scheme));
    let text = scheme.and_then(|scheme| text.get(scheme.len()..)).unwrap_or(text);
    text.trim_matches(is_blank)
}

fn digits(text: &str) -> Result<Written, NoNumber> {
    if is_date(text) {
        return Err(NoNumber::Date(shown(text)));
    }
    if is_scientific(text) {
        return Err(NoNumber::Scientific(shown(text)));
    }
    // A number that a program has taken for one with a fraction.
    let text = text
        .strip_suffix(".0")
        .filter(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
        .unwrap_or(text);
    let (mut digits, mut has_plus) = (String::with_capacity(16), false);
    // The zero that is dialled within the country only.
    for c in text.replace("(0)", "").chars() {
        match c {
            '+' | '\u{ff0b}' if digits.is_empty() && !has_plus => has_plus = true,
            ' ' | '-' | '.' | '/' | '(' | ')' | '\u{a0}' | '\u{2010}'..='\u{2015}' | '\u{202f}' => {
            }
            '+' | ',' | ';' | '|' if digits.len() > 6 => {
                return Err(NoNumber::Several(shown(text)));
            }
            c => digits.push(digit(c).ok_or_else(|| NoNumber::Letters(shown(text)))?),
        }
    }
    if digits.is_empty() {
        return Err(NoNumber::Letters(shown(text)));
    }
    if has_plus {
        return Ok(Written::International(digits));
    }
    Ok(match digits.strip_prefix("00") {
        Some(rest) => Written::International(rest.to_owned()),
        None => Written::Plain(digits),
    })
}

/// A digit of whatever script, as ASCII.
fn digit(c: char) -> Option<char> {
    const ZEROS: [char; 5] = ['0', '\u{660}', '\u{6f0}', '\u{966}', '\u{ff10}'];
    let value = |zero: char| u32::from(c).checked_sub(u32::from(zero)).filter(|value| *value < 10);
    ZEROS.into_iter().find_map(value).and_then(|value| char::from_digit(value, 10))
}

/// `2024-01-31`, `31.01.2024`, `1/31/24`, with or without a time.
fn is_date(text: &str) -> bool {
    let day = text.split([' ', 'T']).next().unwrap_or_default();
    ['-', '.', '/'].into_iter().any(|between| {
        let parts: Vec<&str> = day.split(between).collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        let is_shaped = matches!(lengths.as_slice(), [4, 1 | 2, 1 | 2] | [1 | 2, 1 | 2, 2 | 4]);
        is_shaped && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

/// `4.91756E+11`, as spreadsheets show long numbers.
fn is_scientific(text: &str) -> bool {
    let Some((number, exponent)) = text.split_once(['e', 'E']) else { return false };
    let exponent = exponent.trim_start_matches(['+', '-']);
    let has_digits = |text: &str, also: &[char]| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || also.contains(&c))
    };
    has_digits(number, &['.', ',']) && has_digits(exponent, &[])
}

fn international(digits: &str, text: &str) -> Result<String, NoNumber> {
    if digits.starts_with('0') {
        return Err(NoNumber::Code(shown(text)));
    }
    // As it is dialled today: the lists do not know the old ways.
    let digits = WaId::new(digits).into_string();
    let number = PhoneNumber::parse(format!("+{digits}"), None);
    let number = number.map_err(|error| unread(&error, text))?;
    possible(&number, text)
}

/// As dialled within the country; or with the country code, but without anything that says so, as
/// spreadsheets keep numbers. What can be read both ways is the mobile number of the two.
fn national(digits: &str, country: Country, text: &str) -> Result<String, NoNumber> {
    let written_out = PhoneNumber::parse(format!("+{digits}"), None).ok();
    let written_out = written_out.filter(|number| !digits.starts_with('0') && number.is_valid());
    match (PhoneNumber::parse(digits, Some(country.0)), written_out) {
        (Ok(number), Some(other)) if number.is_valid() && !is_mobile(&other) => Ok(e164(&number)),
        (Ok(number), Some(_)) if number.is_valid() && is_mobile(&number) => Ok(e164(&number)),
        (Ok(_) | Err(_), Some(other)) => Ok(e164(&other)),
        (Ok(number), None) => possible(&number, text),
        (Err(error), None) => Err(unread(&error, text)),
    }
}

fn is_mobile(number: &PhoneNumber) -> bool {
    matches!(number.get_type(), PhoneNumberType::Mobile | PhoneNumberType::FixedLineOrMobile)
}

fn possible(number: &PhoneNumber, text: &str) -> Result<String, NoNumber> {
    match number.is_possible_with_reason() {
        Ok(NumberLengthType::IsPossible) => Ok(e164(number)),
        Ok(_) => Err(NoNumber::Short(shown(text))),
        Err(ValidationError::InvalidCountryCode) => Err(NoNumber::Code(shown(text))),
        Err(ValidationError::TooShort) => Err(NoNumber::Short(shown(text))),
        Err(ValidationError::TooLong) => Err(NoNumber::Long(shown(text))),
        Err(ValidationError::InvalidLength) => Err(NoNumber::Invalid(shown(text))),
    }
}

fn unread(error: &ParseError, text: &str) -> NoNumber {
    match error {
        ParseError::InvalidCountryCode => NoNumber::Code(shown(text)),
        // Of digits alone, those are no number that are too few.
        ParseError::TooShortAfterIdd | ParseError::TooShortNsn | ParseError::NotANumber(_) => {
            NoNumber::Short(shown(text))
        }
        ParseError::TooLongNsn => NoNumber::Long(shown(text)),
    }
}

fn e164(number: &PhoneNumber) -> String {
    number.format_as(PhoneNumberFormat::E164).trim_start_matches('+').to_owned()
}

/// What an error shows of a cell.
fn shown(text: &str) -> String {
    const MOST: usize = 40;
    text.chars().filter(|c| !c.is_control()).take(MOST).collect()
}

#[cfg(test)]
mod tests;
