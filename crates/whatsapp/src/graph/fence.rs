//! The write fence: decides at the last moment whether a request may go out, and remembers it.
//!
//! Invariant: the body is handed to the transport at most once, only before the deadline, and never
//! after [`Fence::close`] said that it was not. So "not handed over" means "not sent", and a process
//! that wakes up late sends nothing.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;
use tokio::time::Instant;

use super::outcome::HeldBack;

/// What became of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// Handed to the transport: from here on anything may have happened.
    HandedOver,
    /// Refused by the fence.
    Held(HeldBack),
    /// The transport never asked for it, and never will.
    Unasked,
}

/// The sender's view of the fence.
#[derive(Clone, Debug, Default)]
pub(super) struct Fence(Arc<OnceLock<Passage>>);

impl Fence {
    /// Says what became of the body; one that is still here stays here.
    pub(super) fn close(&self) -> Passage {
        *self.0.get_or_init(|| Passage::Unasked)
    }
}

/// The body's view of the fence.
pub(super) struct FencedBody {
    data: Option<Bytes>,
    deadline: Instant,
    cancelled: Option<Arc<AtomicBool>>,
    fence: Fence,
}

/// The fence refused: breaks the request off before its first byte.
#[derive(Debug, Error)]
#[error("held back by the write fence")]
pub(super) struct Refused;

impl FencedBody {
    /// Puts `data` behind a fence that opens only before `deadline` and unless `cancelled`.
    pub(super) fn new(
        data: Bytes,
        deadline: Instant,
        cancelled: Option<Arc<AtomicBool>>,
    ) -> (Self, Fence) {
        let fence = Fence::default();
        (Self { data: Some(data), deadline, cancelled, fence: fence.clone() }, fence)
    }

    fn decide(&self) -> Passage {
        let is_cancelled =
            self.cancelled.as_ref().is_some_and(|cancelled| cancelled.load(Ordering::Acquire));
        if is_cancelled {
            Passage::Held(HeldBack::Cancelled)
        } else if Instant::now() >= self.deadline {
            Passage::Held(HeldBack::TooLate)
        } else {
            Passage::HandedOver
        }
    }
}

impl Body for FencedBody {
    type Data = Bytes;
    type Error = Refused;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Refused>>> {
        let Some(data) = self.data.take() else { return Poll::Ready(None) };
        let decided = self.decide();
        // `set` fails when the sender closed the fence a moment ago.
        let may_pass = self.fence.0.set(decided).is_ok() && decided == Passage::HandedOver;
        Poll::Ready(Some(if may_pass { Ok(Frame::data(data)) } else { Err(Refused) }))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let bytes = self.data.as_ref().map_or(0, Bytes::len);
        u64::try_from(bytes)
            .map_or_else(|_: std::num::TryFromIntError| SizeHint::new(), SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn body(deadline: Duration, cancelled: bool) -> (FencedBody, Fence) {
        let flag = Arc::new(AtomicBool::new(cancelled));
        FencedBody::new(Bytes::from_static(b"{}"), Instant::now() + deadline, Some(flag))
    }

    fn is_handed_out(body: &mut FencedBody) -> bool {
        let mut context = Context::from_waker(std::task::Waker::noop());
        matches!(Pin::new(body).poll_frame(&mut context), Poll::Ready(Some(Ok(_))))
    }

    #[test]
    fn a_body_is_handed_out_once_before_its_deadline() {
        let (mut body, fence) = body(Duration::from_secs(60), false);
        assert_eq!(body.size_hint().exact(), Some(2));
        assert!(is_handed_out(&mut body));
        assert!(!is_handed_out(&mut body));
        assert_eq!(fence.close(), Passage::HandedOver);
    }

    #[test]
    fn a_late_or_cancelled_body_stays() {
        let (mut late, fence) = body(Duration::ZERO, false);
        assert!(!is_handed_out(&mut late));
        assert_eq!(fence.close(), Passage::Held(HeldBack::TooLate));
        let (mut cancelled, fence) = body(Duration::from_secs(60), true);
        assert!(!is_handed_out(&mut cancelled));
        assert_eq!(fence.close(), Passage::Held(HeldBack::Cancelled));
    }

    #[test]
    fn a_body_that_was_called_unsent_is_never_handed_out_afterwards() {
        let (mut body, fence) = body(Duration::from_secs(60), false);
        assert_eq!(fence.close(), Passage::Unasked);
        assert!(!is_handed_out(&mut body));
        assert_eq!(fence.close(), Passage::Unasked);
    }
}
