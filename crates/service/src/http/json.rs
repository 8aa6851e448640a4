//! A JSON body, read strictly: a member nobody knows is refused when the type says so
//! (`#[serde(deny_unknown_fields)]`), and the answer points at what is wrong.

use actix_web::dev::Payload;
use actix_web::http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
};
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt, StreamExt};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::{Code, Problem};

/// The largest body of an API request, in bytes.
pub const LIMIT_BYTES: usize = 1024 * 1024;

/// The body of a request, as a handler's argument.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let checked = check_headers(request.headers());
        let payload = payload.take();
        async move {
            checked?;
            parse(&read(payload).await?).map(Self)
        }
        .boxed_local()
    }
}

/// A body that may be left out, as a handler's argument: an empty one is `None`.
#[derive(Clone, Copy, Debug)]
pub struct MaybeJson<T>(pub Option<T>);

impl<T: DeserializeOwned + 'static> FromRequest for MaybeJson<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let checked = check_headers(request.headers());
        let payload = payload.take();
        async move {
            let body = read(payload).await?;
            if body.is_empty() {
                return Ok(Self(None));
            }
            checked?;
            parse(&body).map(|body| Self(Some(body)))
        }
        .boxed_local()
    }
}

pub(crate) fn check_headers(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let kind = text(CONTENT_TYPE).and_then(|kind| kind.split(';').next()).unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(Code::UnsupportedMedia, "Send Content-Type: application/json."));
    }
    if text(CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(Problem::new(Code::UnsupportedMedia, "Send the body uncompressed."));
    }
    match text(CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok()) {
        Some(length) if length > LIMIT_BYTES => Err(too_large()),
        _ => Ok(()),
    }
}

pub(crate) async fn read(mut payload: Payload) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| {
            Problem::new(Code::BadRequest, "The body broke off.").caused_by(error)
        })?;
        if body.len() + chunk.len() > LIMIT_BYTES {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut source = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut source).map_err(|error| {
        match error.inner().classify() {
            Category::Data => invalid(error.path(), error.inner()),
            Category::Syntax | Category::Eof | Category::Io => not_json(error.inner()),
        }
    })?;
    source.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::new(Code::InvalidJson, format!("The body is not JSON: {error}."))
}

fn invalid(path: &Path, error: &serde_json::Error) -> Problem {
    let message = error.to_string();
    // The position in the text says less than the pointer.
    let message = message.split(" at line ").next().unwrap_or_default();
    let code = if message.starts_with("unknown field") {
        "unknown_field"
    } else if message.starts_with("missing field") {
        "missing_field"
    } else {
        "invalid_value"
    };
    Problem::invalid(pointer(path), code, message)
}

/// RFC 6901; empty for the whole body.
fn pointer(path: &Path) -> String {
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            // A variant is not in the text, and an unknown place cannot be pointed at.
            Segment::Enum { .. } | Segment::Unknown => String::new(),
        })
        .collect()
}

fn too_large() -> Problem {
    Problem::new(Code::TooLarge, format!("A body may have {LIMIT_BYTES} bytes."))
}
