//! Collects what is wrong with a message, each with its place.

use std::fmt::{Display, Write as _};
use std::ops::RangeInclusive;

use serde_json::Value;
use url::Url;

/// Characters of a link at most: what servers on the way take for certain.
const LONGEST_LINK: usize = 2_000;

/// One value that Meta would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// JSON pointer (RFC 6901).
    pub pointer: String,
    /// What would be taken.
    pub detail: String,
}

/// The flaws found so far, and the place that is being looked at.
#[derive(Debug)]
pub struct Flaws {
    at: String,
    found: Vec<Flaw>,
}

impl Flaws {
    /// Begins at a member of the request.
    pub(super) fn at(member: &str) -> Self {
        Self { at: format!("/{member}"), found: Vec::new() }
    }

    pub(super) fn into_found(self) -> Vec<Flaw> {
        self.found
    }

    /// Looks at what is below the present place.
    pub(super) fn below(&mut self, member: impl Display, look: impl FnOnce(&mut Self)) {
        let length = self.at.len();
        // Writing to a String cannot fail.
        write!(self.at, "/{member}").ok();
        look(self);
        self.at.truncate(length);
    }

    /// Notes that the value at `member` (empty: the present place) is not `what` it has to be.
    pub(super) fn require(&mut self, member: impl Display, is_fine: bool, what: impl Display) {
        if is_fine {
            return;
        }
        let member = member.to_string();
        let pointer =
            if member.is_empty() { self.at.clone() } else { format!("{}/{member}", self.at) };
        self.found.push(Flaw { pointer, detail: format!("Meta takes {what} here.") });
    }

    /// A text of so many characters.
    pub(super) fn length(
        &mut self,
        member: impl Display,
        text: &str,
        range: RangeInclusive<usize>,
    ) {
        let (least, most) = range.into_inner();
        let length = text.chars().count();
        let is_blank = least > 0 && text.trim().is_empty();
        let what = format!("a text of {least} to {most} characters");
        self.require(member, !is_blank && (least..=most).contains(&length), what);
    }

    /// A text that may be left out.
    pub(super) fn optional(&mut self, member: &str, text: Option<&String>, most: usize) {
        if let Some(text) = text {
            self.length(member, text, 1..=most);
        }
    }

    /// So many things.
    pub(super) fn count(&mut self, member: &str, count: usize, range: RangeInclusive<usize>) {
        let what = format!("{} to {} of these", range.start(), range.end());
        self.require(member, range.contains(&count), what);
    }

    /// A link that Meta can open.
    pub(super) fn link(&mut self, member: &str, link: &str) {
        let is_web = Url::parse(link)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        self.require(
            member,
            is_web && link.len() <= LONGEST_LINK,
            "a link that begins with https://",
        );
    }

    /// No text has U+0000 in it, which neither PostgreSQL nor a phone can show.
    pub(super) fn refuse_nul(&mut self, value: &Value) {
        if has_nul(value) {
            self.require("", false, "texts without U+0000");
        }
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(members) => {
            members.iter().any(|(name, value)| name.contains('\0') || has_nul(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
