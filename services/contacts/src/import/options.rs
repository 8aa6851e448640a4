//! How somebody wants a file to be imported.

use std::collections::BTreeMap;

use encoding_rs::Encoding;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::person::{AttributeName, Tag};
use super::phone::Country;

/// The member `options` of an import; everything may be left out.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Options {
    /// What the columns mean, where their names do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mapping: Option<Mapping>,
    /// What to do with people who are known.
    pub(crate) on_conflict: OnConflict,
    /// Everybody of the file gets these.
    pub(crate) tags: Tags,
    /// Where numbers without a country code are from, e.g. `DE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default_country: Option<Country>,
    /// Read everything, change nothing.
    pub(crate) dry_run: bool,
    /// What the file is, where its beginning does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<Format>,
    /// E.g. `windows-1252`; any label of the WHATWG Encoding Standard.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "encoding",
        serialize_with = "encoding_name"
    )]
    pub(crate) encoding: Option<&'static Encoding>,
    /// What stands between values.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "delimiter")]
    pub(crate) delimiter: Option<char>,
    /// The sheet of a workbook; else the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sheet: Option<String>,
}

/// Columns by what stands in their header.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Mapping {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) phone: Option<String>,
    /// Several are joined, e.g. first and last name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<OneOrMore>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tags: Option<String>,
    /// Attributes by the column that has them; given, no other column becomes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attributes: Option<BTreeMap<AttributeName, String>>,
}

/// A text or a list of texts.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub(crate) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(all) => all,
        }
    }
}

/// What to do with people who are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnConflict {
    /// The file knows better; what it does not say stays.
    #[default]
    Update,
    /// They stay as they are.
    Skip,
    /// The file adds what is not known yet.
    FillEmpty,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// Values between commas, semicolons, tabs or bars.
    Csv,
    /// A workbook of Excel.
    Xlsx,
    /// One JSON object a line.
    Ndjson,
}

/// Tags in order, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "std::collections::BTreeSet<Tag>")]
pub(crate) struct Tags(pub(crate) Vec<Tag>);

impl TryFrom<std::collections::BTreeSet<Tag>> for Tags {
    type Error = &'static str;

    fn try_from(tags: std::collections::BTreeSet<Tag>) -> Result<Self, &'static str> {
        const MOST: usize = 50;
        match tags.len() <= MOST {
            true => Ok(Self(tags.into_iter().collect())),
            false => Err("an import adds at most 50 tags"),
        }
    }
}

fn encoding<'de, D: Deserializer<'de>>(source: D) -> Result<Option<&'static Encoding>, D::Error> {
    let label = String::deserialize(source)?;
    let found = Encoding::for_label(label.as_bytes());
    let unfit = "no such encoding; write utf-8, utf-16le, windows-1252 or another label of the web";
    found.map(Some).ok_or_else(|| serde::de::Error::custom(unfit))
}

fn encoding_name<S: Serializer>(
    encoding: &Option<&'static Encoding>,
    target: S,
) -> Result<S::Ok, S::Error> {
    encoding.map(|encoding| encoding.name()).serialize(target)
}

fn delimiter<'de, D: Deserializer<'de>>(source: D) -> Result<Option<char>, D::Error> {
    match char::deserialize(source)? {
        c @ (',' | ';' | '\t' | '|') => Ok(Some(c)),
        _ => Err(serde::de::Error::custom("a delimiter is , or ; or | or a tab")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn options_survive_being_stored() {
        let given = json!({
            "mapping": { "phone": "Mobile", "name": ["First", "Last"], "attributes": { "city": "Stadt" } },
            "on_conflict": "fill_empty", "tags": ["vip"], "default_country": "DE", "dry_run": true,
            "format": "csv", "encoding": "UTF-16LE", "delimiter": ";", "sheet": "People",
        });
        let options: Options = from_value(given.clone()).unwrap();
        assert_eq!(to_value(&options).unwrap(), given);
        let nothing: Options = from_value(json!({})).unwrap();
        from_value::<Options>(to_value(&nothing).unwrap()).unwrap();
    }

    #[test]
    fn options_that_mean_nothing_are_refused() {
        for options in [
            json!({ "on_conflit": "skip" }),
            json!({ "on_conflict": "replace" }),
            json!({ "tags": ["a,b"] }),
            json!({ "default_country": "XX" }),
            json!({ "default_country": "Germany" }),
            json!({ "encoding": "latin-99" }),
            json!({ "delimiter": "x" }),
            json!({ "mapping": { "phnoe": "Mobile" } }),
            json!({ "mapping": { "attributes": { "a b": "City" } } }),
        ] {
            assert!(from_value::<Options>(options.clone()).is_err(), "{options}");
        }
    }
}
