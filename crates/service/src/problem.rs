//! The one way a request fails: `application/problem+json` (RFC 9457) with a stable code.
//!
//! Invariant: the cause goes to the log and never into the body.

mod code;

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use kernel::Retryable;
use serde::Serialize;
use serde_json::{Map, Value};

pub use self::code::Code;
use crate::http::request_id::REQUEST_ID;

/// Why a request failed, as its caller is told.
pub struct Problem(Box<Parts>);

struct Parts {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    extensions: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<anyhow::Error>,
    place: Place,
}

/// One value of the request that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// JSON pointer into the body, or the name of a query parameter.
    pub pointer: String,
    /// A stable word.
    pub code: String,
    /// A sentence.
    pub detail: String,
}

/// Which request failed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub(crate) request_id: Option<String>,
    pub(crate) instance: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    retryable: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(flatten)]
    extensions: &'a Map<String, Value>,
}

impl Problem {
    /// A problem with what its caller should know, in a sentence.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            extensions: Map::new(),
            headers: Vec::new(),
            cause: None,
            place: Place::default(),
        }))
    }

    /// Nothing is there, or it belongs to another workspace, which looks the same.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "There is nothing at this address, or it is not yours.")
    }

    /// One value of the request is wrong; `pointer` is a JSON pointer or a parameter's name.
    pub fn invalid(
        pointer: impl Into<String>,
        code: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(Code::ValidationFailed, "The request has values that cannot be used.")
            .and_invalid(pointer, code, detail)
    }

    /// A failure of ours; nothing was committed.
    pub fn internal(cause: impl Into<anyhow::Error>) -> Self {
        Self::new(
            Code::Internal,
            "Something failed on our side and nothing was changed. Try again with the same key.",
        )
        .caused_by(cause)
    }

    /// `dependency` (`PostgreSQL`, `RabbitMQ`, `Redis`) does not answer.
    pub fn unavailable(dependency: &'static str, cause: impl Into<anyhow::Error>) -> Self {
        let detail = format!("{dependency} does not answer. Try again with the same key.");
        Self::new(Code::DependencyUnavailable, detail)
            .with("dependency", dependency)
            .retry_after_seconds(1)
            .caused_by(cause)
    }

    /// Adds one more wrong value.
    #[must_use]
    pub fn and_invalid(
        mut self,
        pointer: impl Into<String>,
        code: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        let error =
            FieldError { pointer: pointer.into(), code: code.into(), detail: detail.into() };
        self.0.errors.push(error);
        self
    }

    /// Adds a member of its own to the body, such as `existing`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// Tells when trying again makes sense.
    #[must_use]
    pub fn retry_after_seconds(self, seconds: u64) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Keeps why, for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<anyhow::Error>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The cause and its causes on one line, for the log.
    pub(crate) fn cause(&self) -> Option<String> {
        self.0.cause.as_ref().map(|cause| format!("{cause:#}"))
    }

    /// The same without its cause, which has been logged.
    pub(crate) fn again(&self) -> Self {
        let Parts { code, detail, errors, extensions, headers, .. } = &*self.0;
        Self(Box::new(Parts {
            code: *code,
            detail: detail.clone(),
            errors: errors.clone(),
            extensions: extensions.clone(),
            headers: headers.clone(),
            cause: None,
            place: Place::default(),
        }))
    }

    /// Remembers which request failed, for an answer rendered later.
    pub(crate) fn at(mut self, place: Place) -> Self {
        self.0.place = place;
        self
    }

    /// The answer to the request at `place`.
    pub(crate) fn render(&self, place: &Place) -> HttpResponse<BoxBody> {
        let Parts { code, detail, errors, extensions, headers, .. } = &*self.0;
        let body = Body {
            r#type: format!("/docs/errors/{code}"),
            title: code.title(),
            status: code.status().as_u16(),
            code: code.as_str(),
            detail,
            instance: place.instance.as_deref(),
            request_id: place.request_id.as_deref(),
            retryable: code.is_retryable(),
            errors,
            extensions,
        };
        let mut response = HttpResponse::build(code.status());
        for header in headers {
            response.append_header(header.clone());
        }
        if let Some(id) = &place.request_id {
            response.insert_header((REQUEST_ID, id.as_str()));
        }
        response
            .insert_header((CONTENT_TYPE, HeaderValue::from_static("application/problem+json")));
        // Strings and JSON values always serialise.
        response.body(serde_json::to_vec(&body).unwrap_or_default())
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.code.status()
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        self.render(&self.0.place)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.detail)
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Problem")
            .field("code", &self.0.code)
            .field("detail", &self.0.detail)
            .field("errors", &self.0.errors)
            .field("cause", &self.0.cause)
            .finish_non_exhaustive()
    }
}

impl Error for Problem {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.cause.as_ref().map(|cause| cause.as_ref())
    }
}

/// A failure of layer 1: 503 when it passes, else 500. [`Problem::unavailable`] can name the server.
impl<E: Retryable + Send + Sync + 'static> From<E> for Problem {
    fn from(error: E) -> Self {
        if !error.is_transient() {
            return Self::internal(error);
        }
        let detail = "Something we depend on does not answer. Try again with the same key.";
        Self::new(Code::DependencyUnavailable, detail).retry_after_seconds(1).caused_by(error)
    }
}
