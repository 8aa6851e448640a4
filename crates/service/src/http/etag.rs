//! `ETag` and `If-Match` of things that count their versions: a change based on an old reading is
//! refused.

use crate::{Code, Problem};
use actix_web::dev::Payload;
use actix_web::http::header::{ETAG, HeaderName, IF_MATCH};
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::{Ready, ready};

/// The version a caller expects to change; `None` when they don't care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IfMatch(pub Option<i64>);

impl FromRequest for IfMatch {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let header = request.headers().get(IF_MATCH);
        ready(parse(header.map(|value| value.to_str().unwrap_or_default())))
    }
}

fn parse(header: Option<&str>) -> Result<IfMatch, Problem> {
    let Some(text) = header.map(str::trim).filter(|text| *text != "*") else {
        return Ok(IfMatch(None));
    };
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match quoted.and_then(|version| version.parse().ok()) {
        Some(version) => Ok(IfMatch(Some(version))),
        None => Err(Problem::new(
            Code::EtagMismatch,
            "If-Match takes one ETag as this API gave it out, such as \"7\".",
        )),
    }
}

/// The header that tells a thing's version.
pub fn etag(version: i64) -> (HeaderName, String) {
    (ETAG, format!("\"{version}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_is_read_and_anything_else_matches_nothing() {
        assert_eq!(parse(None).unwrap(), IfMatch(None));
        assert_eq!(parse(Some("*")).unwrap(), IfMatch(None));
        assert_eq!(parse(Some(" \"7\" ")).unwrap(), IfMatch(Some(7)));
        for text in ["", "7", "W/\"7\"", "\"7\", \"8\"", "\"x\""] {
            assert_eq!(parse(Some(text)).unwrap_err().code(), Code::EtagMismatch, "{text}");
        }
    }
}
