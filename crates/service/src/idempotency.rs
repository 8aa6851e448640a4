//! `Idempotency-Key`: the same request, however often it comes, takes effect once and has one answer.
//!
//! A handler takes [`Keyed`], opens its transaction, asks [`Key::recall`] first and tells
//! [`Key::remember`] last. Invariants: answer and effect commit together, so that a 5xx means that
//! nothing happened, or that the same key brings the answer; what is refused is not remembered: mend
//! the body, keep the key.

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use kernel::ids::WorkspaceId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};
use storage::idempotency::{self, Recall};
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;

use crate::http::json;
use crate::{Code, Problem};

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Characters of a key at most.
const LONGEST_KEY: usize = 255;

/// A JSON body with the key of its request, as a handler's argument.
#[derive(Debug)]
pub struct Keyed<T> {
    /// What the request asks for.
    pub body: T,
    key: Option<Key>,
}

/// What a caller knows a request by, and what tells it from another request.
#[derive(Debug)]
pub struct Key {
    text: String,
    fingerprint: Vec<u8>,
}

/// An answer that is remembered, or was.
#[derive(Debug)]
pub struct Answer {
    stored: idempotency::Answer,
    is_replay: bool,
}

/// Why a transaction was rolled back.
#[derive(Debug)]
pub enum RolledBack {
    /// The database failed.
    Failed(StorageError),
    /// The request cannot be met.
    Refused(Problem),
}

impl<T> Keyed<T> {
    /// The request's key, which it must have.
    ///
    /// # Errors
    ///
    /// 400 `idempotency_key_missing`.
    pub fn required(self) -> Result<(Key, T), Problem> {
        let detail = "Send an Idempotency-Key, so that this request can be repeated without being done twice.";
        let missing = || Problem::new(Code::IdempotencyKeyMissing, detail);
        Ok((self.key.ok_or_else(missing)?, self.body))
    }
}

impl Key {
    /// The answer to this request, when it has taken effect before. First in the transaction.
    ///
    /// # Errors
    ///
    /// 409 `idempotency_in_progress` while the same request is being worked on, 422
    /// `idempotency_key_reused` when the key was used for another, and whatever PostgreSQL reports.
    pub async fn recall(
        &self,
        tx: &mut AsyncPgConnection,
        workspace: WorkspaceId,
        now: DateTime<Utc>,
    ) -> Result<Option<Answer>, RolledBack> {
        match idempotency::recall(tx, workspace, &self.text, &self.fingerprint, now).await? {
            Recall::New => Ok(None),
            Recall::Answered(stored) => Ok(Some(Answer { stored, is_replay: true })),
            Recall::Running => Err(in_progress().into()),
            Recall::Other => Err(Problem::new(
                Code::IdempotencyKeyReused,
                "This Idempotency-Key was used for another request. Use a new key for a new request.",
            )
            .into()),
        }
    }

    /// Remembers what the request made (`resource`) and was answered. Last in the transaction.
    ///
    /// # Errors
    ///
    /// 409 `idempotency_in_progress` when the same request was faster elsewhere, and whatever
    /// PostgreSQL reports.
    pub async fn remember(
        &self,
        tx: &mut AsyncPgConnection,
        workspace: WorkspaceId,
        answer: &Answer,
        resource: Uuid,
        now: DateTime<Utc>,
    ) -> Result<(), RolledBack> {
        let (key, fingerprint, stored) = (&self.text, &self.fingerprint, &answer.stored);
        let is_first =
            idempotency::remember(tx, workspace, key, fingerprint, stored, resource, now).await?;
        if is_first { Ok(()) } else { Err(in_progress().into()) }
    }

    fn read(request: &HttpRequest, body: &[u8]) -> Result<Option<Self>, Problem> {
        let Some(header) = request.headers().get(HEADER) else { return Ok(None) };
        let text = parse(header.to_str().unwrap_or_default())?;
        let fingerprint = fingerprint(request.method().as_str(), request.path(), body)?;
        Ok(Some(Self { text, fingerprint }))
    }
}

impl Answer {
    /// A new answer.
    ///
    /// # Errors
    ///
    /// 500 when `body` is no JSON.
    pub fn new(status: StatusCode, body: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_string(body).map_err(Problem::internal)?;
        let status = i16::try_from(status.as_u16()).unwrap_or(200);
        Ok(Self { stored: idempotency::Answer { status, body }, is_replay: false })
    }

    /// The answer as sent; one that was given before says so.
    pub fn respond(self) -> HttpResponse {
        let status = u16::try_from(self.stored.status).ok();
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        let mut response = HttpResponse::build(status.unwrap_or(StatusCode::OK));
        if self.is_replay {
            response.insert_header((REPLAYED, HeaderValue::from_static("true")));
        }
        response
            .insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")))
            .body(self.stored.body)
    }
}

fn in_progress() -> Problem {
    let detail =
        "The same request is being worked on. Send it again in a second to read its answer.";
    Problem::new(Code::IdempotencyInProgress, detail).retry_after_seconds(1)
}

impl<T: DeserializeOwned + 'static> FromRequest for Keyed<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        async move {
            json::check_headers(request.headers())?;
            let body: Bytes = json::read(payload).await?;
            let key = Key::read(&request, &body)?;
            Ok(Self { body: json::parse(&body)?, key })
        }
        .boxed_local()
    }
}

/// Bare or quoted, as both are in use.
fn parse(header: &str) -> Result<String, Problem> {
    let text = header.trim();
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-');
    if (1..=LONGEST_KEY).contains(&bare.len()) && bare.chars().all(is_fit) {
        return Ok(bare.to_owned());
    }
    Err(Problem::invalid(
        "Idempotency-Key",
        "invalid_value",
        "a key has 1 to 255 of A-Z, a-z, 0-9, `.`, `_`, `:` and `-`",
    ))
}

/// What two requests have in common that ask for the same thing: white space and the order of members
/// make no difference.
fn fingerprint(method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>, Problem> {
    // A map's members are sorted by their names.
    let body: Value = json::parse(body)?;
    let mut hash = Sha256::new();
    for part in [method, "\n", path, "\n", &body.to_string()] {
        hash.update(part.as_bytes());
    }
    Ok(hash.finalize().to_vec())
}

impl From<StorageError> for RolledBack {
    fn from(error: StorageError) -> Self {
        Self::Failed(error)
    }
}

impl From<diesel::result::Error> for RolledBack {
    fn from(error: diesel::result::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Problem> for RolledBack {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<RolledBack> for Problem {
    fn from(rolled_back: RolledBack) -> Self {
        match rolled_back {
            RolledBack::Failed(error) => error.into(),
            RolledBack::Refused(problem) => problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_bare_and_quoted() {
        assert_eq!(parse("\"a:1\"").unwrap(), "a:1");
        assert_eq!(parse(" a:1 ").unwrap(), "a:1");
        for key in ["", "\"\"", "a b", "ä", &"a".repeat(256)] {
            assert_eq!(parse(key).unwrap_err().code(), Code::ValidationFailed, "{key}");
        }
    }

    #[test]
    fn a_request_is_the_same_however_its_members_are_ordered_and_no_other_is() {
        let of = |method, path, body: &str| fingerprint(method, path, body.as_bytes()).unwrap();
        let one = of("POST", "/v1/messages", r#"{"a": 1, "b": {"c": [1, 2], "d": null}}"#);
        assert_eq!(one, of("POST", "/v1/messages", r#"{"b":{"d":null,"c":[1,2]},"a":1}"#));
        for (method, path, body) in [
            ("PUT", "/v1/messages", r#"{"a":1,"b":{"c":[1,2],"d":null}}"#),
            ("POST", "/v1/message", r#"{"a":1,"b":{"c":[1,2],"d":null}}"#),
            ("POST", "/v1/messages", r#"{"a":1,"b":{"c":[2,1],"d":null}}"#),
            ("POST", "/v1/messages", r#"{"a":1,"b":{"c":[1,2]}}"#),
        ] {
            assert_ne!(one, of(method, path, body), "{method} {path} {body}");
        }
    }
}
