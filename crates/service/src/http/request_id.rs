//! The id of one request: in the answer's `Request-Id`, in every error body, on every log line.

use std::fmt;

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use futures_util::future::{Ready, ready};
use uuid::Uuid;

use crate::Problem;

/// The header that carries it, both ways.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const PREFIX: &str = "req_";
/// What a caller may send behind the prefix.
const LENGTHS: std::ops::RangeInclusive<usize> = 8..=64;

/// The id of the request at hand; a handler's argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The caller's id if it is well-formed (`req_` and 8 to 64 letters or digits), else a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        headers
            .get(REQUEST_ID)
            .and_then(|value| value.to_str().ok())
            .filter(|text| is_well_formed(text))
            .map_or_else(Self::fresh, |text| Self(text.to_owned()))
    }

    fn fresh() -> Self {
        Self(format!("{PREFIX}{}", Uuid::now_v7().simple()))
    }

    /// The id as shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromRequest for RequestId {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request.extensions().get::<Self>().cloned();
        ready(Ok(id.unwrap_or_else(Self::fresh)))
    }
}

fn is_well_formed(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|rest| {
        LENGTHS.contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}
