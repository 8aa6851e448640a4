//! Reading JSON of which little is certain.
//!
//! Invariant: one level is read at a time and everything below it stays raw text, so neither depth
//! nor an odd value deep inside can make a well-formed document unreadable, or overflow the stack.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Ids, tokens and references longer than this are not believed: our indexes could not hold them.
/// The longest documented one is a business-scoped user id of about 140 characters.
const ID_MAX_BYTES: usize = 512;

/// The members of one JSON object, in the order received.
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, Member<'a>)>);

enum Member<'a> {
    Raw(&'a RawValue),
    List(Vec<&'a RawValue>),
}

impl<'a> Object<'a> {
    /// Reads `json` when it is an object.
    pub(crate) fn read(json: &'a str) -> Option<Self> {
        Self::with_lists(json, &[])
    }

    /// Reads `json` when it is an object whose members named in `lists` are arrays (or null); taking
    /// them apart at once saves scanning them twice.
    pub(crate) fn with_lists(json: &'a str, lists: &'static [&'static str]) -> Option<Self> {
        let mut reader = serde_json::Deserializer::from_str(json);
        let object = Members(lists).deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        Some(object)
    }

    /// The elements of a member named in `lists`; empty when absent.
    pub(crate) fn list(&self, key: &str) -> &[&'a RawValue] {
        match self.find(key) {
            Some(Member::List(list)) => list,
            _ => &[],
        }
    }

    /// A member's raw text; `None` when absent or null. Of equal keys the last one counts.
    pub(crate) fn raw(&self, key: &str) -> Option<&'a RawValue> {
        match self.find(key) {
            Some(Member::Raw(raw)) if raw.get() != "null" => Some(raw),
            _ => None,
        }
    }

    /// A member that is an object.
    pub(crate) fn object(&self, key: &str) -> Option<Object<'a>> {
        Self::read(self.raw(key)?.get())
    }

    /// The elements of a member that is an array; empty otherwise.
    pub(crate) fn array(&self, key: &str) -> Vec<&'a RawValue> {
        self.raw(key).and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    /// The elements of an array member that are objects.
    pub(crate) fn objects(&self, key: &str) -> Vec<Object<'a>> {
        self.array(key).into_iter().filter_map(|raw| Self::read(raw.get())).collect()
    }

    /// A member that is a string or a number: Meta sends many fields both ways.
    pub(crate) fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        text(self.raw(key)?)
    }

    /// Like [`Self::text`], as an owned string, and `None` when empty.
    pub(crate) fn string(&self, key: &str) -> Option<String> {
        self.text(key).filter(|text| !text.is_empty()).map(Cow::into_owned)
    }

    /// Like [`Self::text`], for something that will be a key: not empty, not absurdly long.
    pub(crate) fn id(&self, key: &str) -> Option<Cow<'a, str>> {
        self.text(key).filter(|id| !id.is_empty() && id.len() <= ID_MAX_BYTES)
    }

    /// A member that is a number or a string of one.
    pub(crate) fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.text(key)?.trim().parse().ok()
    }

    /// Whether a member is `true`.
    pub(crate) fn is_true(&self, key: &str) -> bool {
        self.raw(key).is_some_and(|raw| raw.get() == "true")
    }

    /// Whether there is a member that is not in `known`, or one of them twice.
    pub(crate) fn has_more_than(&self, known: &[&str]) -> bool {
        let expected = known.iter().filter(|key| self.find(key).is_some()).count();
        self.0.len() > expected
    }

    fn find(&self, key: &str) -> Option<&Member<'a>> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, member)| member)
    }
}

/// Reads a string or a number as text.
pub(crate) fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let json = raw.get();
    match json.as_bytes().first()? {
        b'"' => match json.strip_prefix('"')?.strip_suffix('"')? {
            plain if !plain.contains('\\') => Some(Cow::Borrowed(plain)),
            _ => serde_json::from_str::<Text<'_>>(json).ok().map(|text| text.0),
        },
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(json)),
        _ => None,
    }
}

/// Makes `json` understandable to every reader and storable by PostgreSQL: escaped U+0000 and escaped
/// surrogates without their other half become U+FFFD, as do bytes that are no UTF-8.
pub(crate) fn clean(json: &[u8]) -> Cow<'_, str> {
    match String::from_utf8_lossy(json) {
        Cow::Borrowed(text) => clean_escapes(text),
        Cow::Owned(text) => Cow::Owned(clean_escapes(&text).into_owned()),
    }
}

fn clean_escapes(json: &str) -> Cow<'_, str> {
    let mut cleaned = String::new();
    let (mut done, mut at) = (0, 0);
    while let Some(found) = json.get(at..).and_then(|rest| rest.find('\\')) {
        let escape = at + found;
        match escaped_unit(json, escape) {
            Some(0xD800..=0xDBFF)
                if matches!(escaped_unit(json, escape + 6), Some(0xDC00..=0xDFFF)) =>
            {
                at = escape + 12;
            }
            Some(0 | 0xD800..=0xDFFF) => {
                cleaned.push_str(json.get(done..escape).unwrap_or_default());
                cleaned.push_str("\\ufffd");
                at = escape + 6;
                done = at;
            }
            // The next byte belongs to the escape: in `\\u0000` the second `\` starts nothing.
            _ => at = escape + 2,
        }
    }
    if done == 0 {
        return Cow::Borrowed(json);
    }
    cleaned.push_str(json.get(done..).unwrap_or_default());
    Cow::Owned(cleaned)
}

/// The UTF-16 unit that a `\uXXXX` at `start` stands for.
fn escaped_unit(json: &str, start: usize) -> Option<u16> {
    let digits = json.get(start..start + 6)?.strip_prefix("\\u")?;
    u16::from_str_radix(digits, 16).ok()
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads one object, the members named here as lists.
struct Members(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Members {
    type Value = Object<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Object<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut members = Vec::with_capacity(8);
        while let Some(Text(key)) = map.next_key()? {
            let member = if self.0.contains(&key.as_ref()) {
                Member::List(map.next_value::<Option<Vec<&RawValue>>>()?.unwrap_or_default())
            } else {
                Member::Raw(map.next_value()?)
            };
            members.push((key, member));
        }
        Ok(Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_and_lone_surrogates_become_the_replacement_character() {
        for (dirty, cleaned) in [
            (r#""a\u0000b""#, r#""a\ufffdb""#),
            (r#""\ud800""#, r#""\ufffd""#),
            (r#""\udc00x""#, r#""\ufffdx""#),
            (r#""\ud800\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\uD83D\uDE00""#, r#""\uD83D\uDE00""#),
            (r#""\\u0000""#, r#""\\u0000""#),
            (r#""\\\u0000""#, r#""\\\ufffd""#),
            (r#""\ud800\\""#, r#""\ufffd\\""#),
            (r#""plain""#, r#""plain""#),
        ] {
            assert_eq!(clean(dirty.as_bytes()), cleaned);
        }
    }

    #[test]
    fn a_repeated_or_unknown_member_is_noticed() {
        let twice = Object::read(r#"{"a":1,"a":2}"#).unwrap();
        assert_eq!(twice.text("a").as_deref(), Some("2"));
        assert!(twice.has_more_than(&["a"]));
        let other = Object::read(r#"{"a":1,"b":2}"#).unwrap();
        assert!(other.has_more_than(&["a", "c"]));
        assert!(!other.has_more_than(&["a", "b", "c"]));
    }

    #[test]
    fn what_is_no_object_is_not_read() {
        for json in ["[]", "1", "null", r#"{"a":1} x"#, r#"{"a":"#, "", r#"{"\ud800":1}"#] {
            assert!(Object::read(json).is_none(), "{json}");
        }
    }
}
