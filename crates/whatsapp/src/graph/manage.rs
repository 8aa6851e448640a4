//! Calls that manage an account: everything that sends nothing.
//!
//! Invariant: no address, and so no token in one, is in any error; a body that is longer than
//! [`ANSWER_MAX_BYTES`] is not read to its end.

use std::time::Duration;

use kernel::Retryable;
use reqwest::{Method, Response};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

use super::answer::refused;
use super::client::{GraphClient, below, retry_after};
use super::outcome::GraphError;
use crate::ErrorClass;
use crate::json::{self, Object};

/// A page of 100 templates with long components has some hundred KiB.
const ANSWER_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Meta's "reduce the amount of data you're asking for", and other moods of its servers.
const TOO_MUCH: i32 = 1;
/// The place in a list is not known any more.
const CURSOR_EXPIRED: i32 = 131_059;

/// A call did not do what it should.
#[derive(Debug, Error)]
pub enum CallError {
    /// Meta said no.
    #[error("Meta refused the call with code {}", .0.error.code)]
    Refused(Box<Refusal>),
    /// There was no answer, or it broke off. A call that changes something may have done so.
    #[error("Meta did not answer")]
    NoAnswer(#[source] reqwest::Error),
    /// The answer is not the Graph API's.
    #[error("an unreadable answer with HTTP status {http_status}")]
    Unreadable {
        /// The HTTP status.
        http_status: u16,
    },
}

/// Meta's no, with what it says to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What programs go by.
    pub error: GraphError,
    /// A few words for people; empty when Meta says nothing.
    pub title: String,
    /// A sentence for people; empty when Meta says nothing.
    pub text: String,
}

impl CallError {
    /// Meta's error code, if it gave one.
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Refused(refusal) => Some(refusal.error.code),
            Self::NoAnswer(_) | Self::Unreadable { .. } => None,
        }
    }

    /// Whether a smaller page may go well.
    pub fn wants_less(&self) -> bool {
        self.code() == Some(TOO_MUCH)
    }

    /// Whether the list has to be read from its beginning.
    pub fn is_cursor_expired(&self) -> bool {
        self.code() == Some(CURSOR_EXPIRED)
    }

    /// Whether too many calls were made; how long Meta asks to wait, if it does.
    pub fn throttled(&self) -> Option<Option<Duration>> {
        match self {
            Self::Refused(refusal) => {
                let error = &refusal.error;
                let is_throttled =
                    error.class == ErrorClass::SlowConnection || error.http_status == 429;
                is_throttled.then_some(error.retry_after)
            }
            Self::Unreadable { http_status: 429 } => Some(None),
            Self::NoAnswer(_) | Self::Unreadable { .. } => None,
        }
    }
}

impl Retryable for CallError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Refused(refusal) => {
                let GraphError { class, http_status, .. } = &refusal.error;
                class.is_retryable() || *class == ErrorClass::Ambiguous || *http_status == 429
            }
            Self::NoAnswer(_) | Self::Unreadable { .. } => true,
        }
    }
}

/// What is called.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// The path below the version.
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
    /// A JSON document.
    pub(super) body: Option<String>,
}

impl GraphClient {
    /// Makes one call; answers with the body of a success, cleaned as every JSON of Meta's.
    pub(super) async fn call(
        &self,
        token: &SecretString,
        call: Call<'_>,
    ) -> Result<String, CallError> {
        let span = info_span!(
            "graph management call",
            otel.kind = "client",
            http.request.method = %call.method,
            http.response.status_code = Empty,
            meta.code = Empty,
        );
        let started = Instant::now();
        let answer = self.ask(token, call).instrument(span.clone()).await;
        let status = match &answer {
            Ok(_) => Some(200),
            Err(CallError::Refused(refusal)) => Some(refusal.error.http_status),
            Err(CallError::Unreadable { http_status }) => Some(*http_status),
            Err(CallError::NoAnswer(_)) => None,
        };
        self.metrics.request(status, started.elapsed());
        record(&span, status, answer.as_ref().err());
        answer
    }

    async fn ask(&self, token: &SecretString, call: Call<'_>) -> Result<String, CallError> {
        let mut request = self
            .http
            .request(call.method, below(&self.root, call.path))
            .query(call.query)
            .bearer_auth(token.expose_secret());
        if let Some(body) = call.body {
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body);
        }
        let response = request.send().await.map_err(no_answer)?;
        let (http_status, wait) = (response.status().as_u16(), retry_after(&response));
        let body = read(response).await?;
        let text = json::clean(&body).into_owned();
        if (200..300).contains(&http_status) {
            return Ok(text);
        }
        Err(refusal(&text, http_status, wait).unwrap_or(CallError::Unreadable { http_status }))
    }
}

fn record(span: &Span, status: Option<u16>, error: Option<&CallError>) {
    if let Some(status) = status {
        span.record("http.response.status_code", status);
    }
    if let Some(code) = error.and_then(CallError::code) {
        span.record("meta.code", code);
    }
}

fn no_answer(error: reqwest::Error) -> CallError {
    CallError::NoAnswer(error.without_url())
}

async fn read(mut response: Response) -> Result<Vec<u8>, CallError> {
    let http_status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(no_answer)? {
        if body.len() + part.len() > ANSWER_MAX_BYTES {
            return Err(CallError::Unreadable { http_status });
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

fn refusal(text: &str, http_status: u16, wait: Option<Duration>) -> Option<CallError> {
    let answer = Object::read(text)?;
    let said = answer.object("error")?;
    let data = said.object("error_data");
    let details = data.and_then(|data| data.string("details"));
    let refusal = Refusal {
        error: refused(&said, http_status, wait)?,
        title: said.string("error_user_title").unwrap_or_default(),
        text: said
            .string("error_user_msg")
            .or(details)
            .or_else(|| said.string("message"))
            .unwrap_or_default(),
    };
    Some(CallError::Refused(Box::new(refusal)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_meta_says_to_people_is_kept() {
        let text = include_str!("../../tests/fixtures/api_error_template_create.json");
        let Some(CallError::Refused(refusal)) = refusal(text, 400, None) else {
            unreachable!("the fixture is a refusal");
        };
        assert_eq!(refusal.title, "Message template language is being deleted");
        assert!(refusal.text.starts_with("New English (US) content can't be added"));
        assert_eq!((refusal.error.code, refusal.error.subcode), (100, Some(2_388_023)));
    }

    #[test]
    fn what_to_do_follows_from_the_code() {
        let error = |code: i32| {
            let text = format!(r#"{{"error":{{"code":{code},"message":"(#{code}) x"}}}}"#);
            refusal(&text, 400, Some(Duration::from_secs(7))).unwrap()
        };
        assert!(error(131_059).is_cursor_expired() && !error(131_059).is_transient());
        assert!(error(1).wants_less() && error(1).is_transient());
        assert_eq!(error(80_008).throttled(), Some(Some(Duration::from_secs(7))));
        assert_eq!(error(190).throttled(), None);
        assert!(!error(190).is_transient() && !error(100).is_transient());
    }
}
