//! How a refusal is told, and what becomes of a body that nobody wants.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use actix_web::web::Payload;
use bytes::Bytes;

use crate::refusal::Refusal;

/// Says why, as `application/problem+json`. A cause is never told.
///
/// `unread` is what was not read of the body: the connection is closed instead of reading on.
pub(crate) fn refuse(refusal: &Refusal, unread: Option<Payload>) -> HttpResponse {
    let (status, code) = (refusal.status(), refusal.code());
    // Code and detail are ours and hold nothing that JSON escapes.
    let text = format!(
        r#"{{"type":"/docs/errors/{code}","title":"{title}","status":{number},"code":"{code}","detail":"{refusal}.","retryable":{retryable}}}"#,
        title = status.canonical_reason().unwrap_or("Refused"),
        number = status.as_u16(),
        retryable = refusal.retry_after_seconds().is_some(),
    );
    let mut answer = HttpResponse::build(status);
    answer.insert_header((CONTENT_TYPE, HeaderValue::from_static("application/problem+json")));
    if let Some(seconds) = refusal.retry_after_seconds() {
        answer.insert_header((RETRY_AFTER, HeaderValue::from(seconds)));
    }
    answer.body(Closing { text: Some(Bytes::from(text)), _unread: unread })
}

/// An answer that keeps hold of what was not read. The server would read on and throw away a chunked
/// body, without end, if its reader were gone; with the reader there and idle, it closes.
struct Closing {
    text: Option<Bytes>,
    _unread: Option<Payload>,
}

impl MessageBody for Closing {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        let length = self.text.as_ref().map_or(0, Bytes::len);
        BodySize::Sized(u64::try_from(length).unwrap_or(u64::MAX))
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(self.text.take().map(Ok))
    }
}
