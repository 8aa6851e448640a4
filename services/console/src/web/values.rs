//! The values in requests and answers.

use std::convert::Infallible;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{ETAG, HeaderName, IF_MATCH};
use actix_web::{FromRequest, HttpRequest};
use serde::{Deserialize, Deserializer};
use service::{Cursor, Limit, Page};

use crate::limits::Version;

/// The query of a request that takes no parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// The query of a request for one thing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shown {
    /// Whether people's numbers and message ids are shown in full.
    #[serde(default)]
    pub(super) unmask: bool,
}

/// Reads a member that must be there and may be `null`.
pub(super) fn nullable<'de, T, D>(source: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(source)
}

/// One page of what was found just now. The cursor is a place in the list; as the list is looked up
/// anew for each page, a thing that moved meanwhile is shown twice or not at all.
pub(super) fn page<T>(found: Vec<T>, limit: Limit, cursor: Option<Cursor<usize>>) -> Page<T> {
    let from = cursor.map_or(0, |Cursor(from)| from);
    let rows = found.into_iter().enumerate().skip(from).take(limit.get() + 1).collect();
    Page::new(rows, limit, |(place, _): &(usize, T)| place + 1, |(_, row)| row)
}

/// The header that names the version of what is shown.
pub(super) fn etag(Version(version): Version) -> (HeaderName, String) {
    (ETAG, format!("\"{version:x}\""))
}

/// The version a change may be made to, as a handler's argument; `None`: any.
#[derive(Debug)]
pub(super) struct IfMatch(pub(super) Option<Version>);

impl FromRequest for IfMatch {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let tag = request.headers().get(IF_MATCH).and_then(|value| value.to_str().ok());
        ready(Ok(Self(tag.filter(|tag| tag.trim() != "*").map(version))))
    }
}

/// A tag that we never gave out matches nothing.
fn version(tag: &str) -> Version {
    let digits = tag.trim().strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    let number = digits.and_then(|digits| i64::from_str_radix(digits, 16).ok());
    Version(number.unwrap_or(-1))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_tag_we_gave_out_is_read_back_and_another_matches_nothing() {
        let read = |tag: &str| {
            let request = TestRequest::default().insert_header((IF_MATCH, tag)).to_http_request();
            IfMatch::from_request(&request, &mut Payload::None).into_inner().unwrap().0
        };
        let (_, tag) = etag(Version(1_795_000_000_123_456));
        assert_eq!(read(&tag), Some(Version(1_795_000_000_123_456)));
        assert_eq!(read("*"), None);
        assert_eq!(read("W/\"5\""), Some(Version(-1)));
    }
}
