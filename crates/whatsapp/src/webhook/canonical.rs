//! A hash of JSON that does not care for key order, white space or the spelling of escapes.
//!
//! Invariant: works on any depth in time proportional to the text. Each object is replaced by the hash
//! of its sorted members as soon as it ends, so nothing is copied twice and nothing recurses.

use std::borrow::Cow;

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Appends to `out` a form of `json` that equal documents share. `json` must be well-formed.
///
/// Numbers are kept as spelled: `1.0` and `1` are different documents.
pub(super) fn append(json: &str, out: &mut Vec<u8>) {
    let mut writer = Writer { out, open: Vec::new() };
    let mut rest = json;
    while let Some((token, after)) = next_token(rest) {
        writer.take(token);
        rest = after;
    }
}

/// An array or object that has not ended.
struct Open {
    /// Where the object's first member starts in the output.
    start: usize,
    /// Where each member starts; empty for arrays.
    members: Vec<usize>,
    /// Whether the next token of an object is a key.
    expects_key: bool,
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
    open: Vec<Open>,
}

impl Writer<'_> {
    fn take(&mut self, token: &str) {
        match token.as_bytes().first() {
            Some(b'{') => {
                self.out.push(b'{');
                let start = self.out.len();
                self.open.push(Open { start, members: Vec::new(), expects_key: true });
            }
            Some(b'[') => {
                self.out.push(b'[');
                self.open.push(Open { start: 0, members: Vec::new(), expects_key: false });
            }
            Some(b'}') => self.end_object(),
            Some(b']') => {
                self.out.push(b']');
                self.open.pop();
                self.end_value();
            }
            Some(b'"') => self.string(token),
            _ => {
                self.out.extend_from_slice(token.as_bytes());
                self.out.push(b';');
                self.end_value();
            }
        }
    }

    fn string(&mut self, token: &str) {
        let at = self.out.len();
        let (mark, content) = unescaped(token);
        // The length in front makes the content unmistakable, whatever it holds.
        self.out.push(mark);
        self.out.extend_from_slice(&content.len().to_be_bytes());
        self.out.extend_from_slice(&content);
        match self.open.last_mut() {
            Some(object) if object.expects_key => {
                object.members.push(at);
                object.expects_key = false;
            }
            _ => self.end_value(),
        }
    }

    /// A value inside an object is followed by a key.
    fn end_value(&mut self) {
        if let Some(parent) = self.open.last_mut() {
            parent.expects_key = !parent.members.is_empty();
        }
    }

    fn end_object(&mut self) {
        let Some(object) = self.open.pop() else { return };
        let ends = object.members.iter().skip(1).copied().chain([self.out.len()]);
        let mut members: Vec<&[u8]> = object
            .members
            .iter()
            .zip(ends)
            .filter_map(|(start, end)| self.out.get(*start..end))
            .collect();
        members.sort_unstable();
        let mut hash = Sha256::new();
        for member in members {
            hash.update(member.len().to_be_bytes());
            hash.update(member);
        }
        self.out.truncate(object.start);
        self.out.extend_from_slice(&hash.finalize());
        self.end_value();
    }
}

/// The next token and what follows it; white space, commas and colons say nothing.
fn next_token(json: &str) -> Option<(&str, &str)> {
    let json = json.trim_start_matches([' ', '\t', '\n', '\r', ',', ':']);
    let length = match json.as_bytes().first()? {
        b'{' | b'}' | b'[' | b']' => 1,
        b'"' => string_length(json.as_bytes()),
        _ => json.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(json.len()),
    };
    json.split_at_checked(length)
}

/// Bytes from the opening quote to the closing one, both included.
fn string_length(json: &[u8]) -> usize {
    let mut at = 1;
    loop {
        match json.get(at) {
            Some(b'\\') => at += 2,
            Some(b'"') | None => return (at + 1).min(json.len()),
            Some(_) => at += 1,
        }
    }
}

/// What the string stands for; its raw text, marked as such, when its escapes stand for no character.
fn unescaped(token: &str) -> (u8, Cow<'_, [u8]>) {
    if !token.contains('\\') {
        let content = token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        return (b'"', Cow::Borrowed(content.unwrap_or(token).as_bytes()));
    }
    match serde_json::from_str::<Text>(token) {
        Ok(Text(text)) => (b'"', Cow::Owned(text.into_bytes())),
        Err(_) => (b'\\', Cow::Borrowed(token.as_bytes())),
    }
}

#[derive(Deserialize)]
struct Text(String);

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Vec<u8> {
        let mut out = Vec::new();
        append(json, &mut out);
        out
    }

    #[test]
    fn order_space_and_escapes_do_not_matter() {
        let one = of(r#"{"b":[1,{"y":"ä\/","x":null}],"a":"/"}"#);
        let other = of("{ \"a\" : \"\\/\" ,\n\"b\":[ 1 , {\"x\":null,\"y\":\"\\u00e4/\"} ] }");
        assert_eq!(one, other);
    }

    #[test]
    fn different_documents_differ() {
        let documents = [
            "{}",
            "[]",
            "null",
            "\"\"",
            "0",
            "[{}]",
            "[[]]",
            "[0,0]",
            "[00]",
            "[\"0\"]",
            "[1,2]",
            "[2,1]",
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":{"a":1}}"#,
            r#"{"a":1,"b":2}"#,
            r#"{"a":2,"b":1}"#,
            r#"{"a":"b"}"#,
            r#"{"b":"a"}"#,
            r#"[{"a":1},{"b":1}]"#,
            r#"[{"a":1,"b":1}]"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":[],"b":[]}"#,
            r#"{"a":["b",[]]}"#,
            r#""\ud800""#,
            r#""\udc00""#,
            "true",
            "false",
            r#"{"a":[1],"b":2}"#,
            r#"{"a":[1,{"b":2}]}"#,
        ];
        let mut forms: Vec<_> = documents.iter().map(|json| of(json)).collect();
        forms.sort();
        forms.dedup();
        assert_eq!(forms.len(), documents.len());
    }

    #[test]
    fn depth_costs_neither_stack_nor_more_than_linear_time() {
        let deep = format!("{}1{}", r#"{"b":0,"a":"#.repeat(50_000), "}".repeat(50_000));
        assert_eq!(of(&deep).len(), 33);
    }
}
