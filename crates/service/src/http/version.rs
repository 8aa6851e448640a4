//! `ETag` and `If-Match` of things that tell the time of their last change: a change that was prepared
//! on an old reading is refused.
//!
//! A version is the time of the last change, which storage never gives out twice for one thing.

use std::convert::Infallible;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{ETAG, HeaderName, IF_MATCH};
use actix_web::{FromRequest, HttpRequest};
use chrono::{DateTime, Utc};

use crate::{Code, Problem};

/// The header that names the version of what is shown.
pub fn etag(updated_at: DateTime<Utc>) -> (HeaderName, String) {
    (ETAG, format!("\"{:x}\"", updated_at.timestamp_micros()))
}

/// The versions a change may be made to, as a handler's argument.
#[derive(Debug)]
pub enum IfMatch {
    /// Whatever is there.
    Any,
    /// One of these; a tag that we never gave out matches nothing.
    OneOf(Vec<DateTime<Utc>>),
}

impl IfMatch {
    /// The versions, for storage; `None` means any.
    pub fn versions(&self) -> Option<&[DateTime<Utc>]> {
        match self {
            Self::Any => None,
            Self::OneOf(versions) => Some(versions),
        }
    }

    /// Why nothing was changed, when the thing may (`is_there`) still be there.
    pub fn refusal(&self, is_there: bool) -> Problem {
        match self {
            Self::OneOf(_) if is_there => Problem::new(
                Code::EtagMismatch,
                "It has changed since it was read. Read it again, then decide.",
            ),
            Self::OneOf(_) | Self::Any => Problem::not_found(),
        }
    }

    fn read(request: &HttpRequest) -> Self {
        let mut values = request.headers().get_all(IF_MATCH).peekable();
        if values.peek().is_none() {
            return Self::Any;
        }
        let texts = values.filter_map(|value| value.to_str().ok());
        let tags: Vec<&str> = texts.flat_map(|text| text.split(',')).map(str::trim).collect();
        if tags.contains(&"*") {
            return Self::Any;
        }
        Self::OneOf(tags.into_iter().filter_map(version).collect())
    }
}

impl FromRequest for IfMatch {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::read(request)))
    }
}

fn version(tag: &str) -> Option<DateTime<Utc>> {
    let micros = tag.strip_prefix('"')?.strip_suffix('"')?;
    DateTime::from_timestamp_micros(i64::from_str_radix(micros, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn read(tags: &[&str]) -> IfMatch {
        let mut request = TestRequest::default();
        for tag in tags {
            request = request.append_header((IF_MATCH, *tag));
        }
        IfMatch::read(&request.to_http_request())
    }

    #[test]
    fn a_tag_we_gave_out_is_recognised_among_others() {
        let moment = DateTime::from_timestamp_micros(1_795_000_000_123_456).unwrap();
        let (_, tag) = etag(moment);
        for tags in [&[tag.as_str()][..], &["\"x\"", &tag], &[&format!("\"y\", {tag} ,W/\"z\"")]] {
            assert_eq!(read(tags).versions(), Some(&[moment][..]), "{tags:?}");
        }
    }

    #[test]
    fn only_a_star_or_nothing_at_all_means_any_version() {
        assert!(read(&[]).versions().is_none() && read(&["*"]).versions().is_none());
        for tag in ["", "\"\"", "x", "W/\"5\"", "\"zz\"", "\"ffffffffffffffffff\""] {
            assert_eq!(read(&[tag]).versions(), Some(&[][..]), "{tag}");
        }
    }
}
