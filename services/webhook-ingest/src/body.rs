//! Reads a webhook's body without trusting its sender.
//!
//! Invariants: never more than the limit is kept; bodies over [`LARGE_BYTES`] need a seat, so that
//! all of them together have a bound, too.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use whatsapp::signature::{self, Signature};

use crate::refusal::Refusal;

/// Above this, checking and splitting takes milliseconds (3 MB: about 30 ms) and leaves the thread
/// that serves requests.
pub(crate) const LARGE_BYTES: usize = 256 * 1024;
/// Large bodies in memory at once: 256 MiB at the largest allowed size.
const SEATS: usize = 64;
/// What is set aside before anything has arrived; a claimed length proves nothing.
const FIRST_BYTES: usize = 2 * 1024;

/// What a POST claims to be signed with; its head is checked before any of its body is read.
pub(crate) fn signature_of(request: &HttpRequest, limit: usize) -> Result<Signature, Refusal> {
    let headers = request.headers();
    // Of two signatures nobody knows which one a proxy on the way has looked at.
    let mut given = headers.get_all(signature::HEADER);
    let signature = match (given.next(), given.next()) {
        (Some(one), None) => Signature::parse(one.as_bytes()),
        _ => None,
    };
    let signature = signature.ok_or(Refusal::NoSignature)?;
    // The signature is over the bytes as sent, and what a few of them inflate to has no bound.
    if headers
        .get_all(CONTENT_ENCODING)
        .any(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
    {
        return Err(Refusal::Encoded);
    }
    let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let declared: Option<u64> = declared.and_then(|length| length.parse().ok());
    let is_too_large = |length: u64| usize::try_from(length).map_or(true, |length| length > limit);
    if declared.is_some_and(is_too_large) {
        return Err(Refusal::TooLarge);
    }
    Ok(signature)
}

/// A body, with its seat if it needs one.
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) seat: Option<OwnedSemaphorePermit>,
}

/// Reads bodies up to a limit.
pub(crate) struct Reader {
    limit: usize,
    seats: Arc<Semaphore>,
}

impl Reader {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, seats: Arc::new(Semaphore::new(SEATS)) }
    }

    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Reads to the end, until `deadline` at most: a sender that drips must not hold memory.
    pub(crate) async fn read(
        &self,
        payload: &mut Payload,
        deadline: Instant,
    ) -> Result<Body, Refusal> {
        let mut seat = None;
        let mut bytes = BytesMut::with_capacity(FIRST_BYTES);
        while let Some(chunk) =
            timeout_at(deadline, payload.next()).await.or(Err(Refusal::TooSlow))?
        {
            let chunk = chunk.map_err(Refusal::Unreadable)?;
            let length = bytes.len().saturating_add(chunk.len());
            if length > self.limit {
                return Err(Refusal::TooLarge);
            }
            if length > LARGE_BYTES && seat.is_none() {
                seat = Some(permit(&self.seats, deadline).await?);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Body { bytes: bytes.freeze(), seat })
    }
}

/// Waits for one of `permits`; the sender is told to come again when none is free in time.
pub(crate) async fn permit(
    permits: &Arc<Semaphore>,
    deadline: Instant,
) -> Result<OwnedSemaphorePermit, Refusal> {
    let waited = timeout_at(deadline, Arc::clone(permits).acquire_owned()).await;
    waited.ok().and_then(Result::ok).ok_or(Refusal::Crowded)
}
