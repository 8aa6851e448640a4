//! NDJSON: one object a line, `{"phone": "+49…", "name": "…", "tags": […], "attributes": {…}}`.

use std::collections::BTreeMap;
use std::io::Read;

use serde::Deserialize;
use serde_json::Value;

use super::encoding::Text;
use super::lines::{Line, Lines};
use super::{FileError, Item, Reject, Sink, Understood};
use crate::import::options::{Options, Tags};
use crate::import::person::{self, AttributeName, Person, Unfit};
use crate::import::phone;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    phone: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    tags: Tags,
    #[serde(default)]
    attributes: BTreeMap<AttributeName, Value>,
}

pub(super) fn read<R: Read>(
    text: Text<R>,
    options: &Options,
    sink: &mut Sink<'_>,
) -> Result<(), FileError> {
    let encoding = Some(text.encoding.name());
    sink(Item::Understood(Understood { format: "ndjson", encoding, ..Understood::default() }))?;
    let mut lines = Lines::new(text.input);
    while let Some(Line { number, bytes }) = lines.next()? {
        let Some(bytes) = bytes else {
            sink(Item::Reject(Reject::new(number, &Unfit::TooLong, "")))?;
            continue;
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        sink(match row(number, &bytes, options) {
            Ok(person) => Item::Person(Box::new(person)),
            Err(unfit) => {
                Item::Reject(Reject::new(number, &unfit, &String::from_utf8_lossy(&bytes)))
            }
        })?;
    }
    Ok(())
}

fn row(line: u64, bytes: &[u8], options: &Options) -> Result<Person, Unfit> {
    let text = str::from_utf8(bytes).or(Err(Unfit::Encoding))?;
    if text.contains('\0') {
        return Err(Unfit::Nul);
    }
    let row: Row = serde_json::from_str(text).map_err(|error| Unfit::Json(error.to_string()))?;
    let wa_id = phone::read(&row.phone, options.default_country)?;
    let name = row.name.as_deref().map_or(Ok(None), person::name)?;
    let mut attributes = BTreeMap::new();
    for (name, value) in row.attributes {
        let kept = match value {
            Value::String(text) => person::value(&name, &text)?.map(Value::String),
            Value::Number(_) | Value::Bool(_) => Some(value),
            Value::Null => None,
            Value::Array(_) | Value::Object(_) => {
                let why = "an attribute is a text, a number, true or false";
                return Err(Unfit::Json(why.to_owned()));
            }
        };
        attributes.extend(kept.map(|kept| (name, kept)));
    }
    Ok(Person { line, wa_id, name, tags: row.tags.0, attributes })
}
