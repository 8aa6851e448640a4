//! The W3C `traceparent` header, version 00: `00-<trace id>-<span id>-<flags>`.

use std::fmt;

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Length of version 00's text.
const LENGTH: usize = 55;

/// A trace, the span in it that causes work, and whether the trace is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceParent {
    trace: u128,
    span: u64,
    flags: u8,
}

impl TraceParent {
    /// Reads a header; `None` for anything the specification tells to ignore.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = u8::try_from(hex(version, 2)?).ok()?;
        // Later versions may append parts; version 00 may not, and ff is forbidden.
        if version == 0xff || (version == 0 && text.len() != LENGTH) {
            return None;
        }
        let parent = Self {
            trace: hex(trace, 32)?,
            span: u64::try_from(hex(span, 16)?).ok()?,
            flags: u8::try_from(hex(flags, 2)?).ok()?,
        };
        (parent.trace != 0 && parent.span != 0).then_some(parent)
    }

    /// A new trace that nobody keeps.
    pub(crate) fn fresh() -> Self {
        Self { trace: rand::random_range(1..=u128::MAX), span: some_span(), flags: 0 }
    }

    /// Another span in the same trace.
    pub(crate) fn child(self) -> Self {
        Self { span: some_span(), ..self }
    }

    /// 32 hex digits.
    pub(crate) fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }

    /// 16 hex digits.
    pub(crate) fn span_id(self) -> String {
        format!("{:016x}", self.span)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl From<TraceParent> for SpanContext {
    fn from(parent: TraceParent) -> Self {
        Self::new(
            TraceId::from_bytes(parent.trace.to_be_bytes()),
            SpanId::from_bytes(parent.span.to_be_bytes()),
            TraceFlags::new(parent.flags),
            true,
            TraceState::NONE,
        )
    }
}

impl From<&SpanContext> for TraceParent {
    fn from(context: &SpanContext) -> Self {
        Self {
            trace: u128::from_be_bytes(context.trace_id().to_bytes()),
            span: u64::from_be_bytes(context.span_id().to_bytes()),
            flags: context.trace_flags().to_u8(),
        }
    }
}

fn some_span() -> u64 {
    rand::random_range(1..=u64::MAX)
}

/// Exactly `digits` lower-case hex digits: the specification forbids upper case.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let fits = text.len() == digits
        && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if fits { u128::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_both_ways() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = TraceParent::parse(text).unwrap();
        assert_eq!(parent.to_string(), text);
        assert_eq!(TraceParent::from(&SpanContext::from(parent)), parent);
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert_eq!(TraceParent::parse(later), Some(parent));
        let fresh = TraceParent::fresh();
        assert_eq!(TraceParent::parse(&fresh.to_string()), Some(fresh));
        assert_eq!((fresh.trace_id().len(), fresh.span_id().len()), (32, 16));
    }

    #[test]
    fn what_the_specification_tells_to_ignore_is_ignored() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473+-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceParent::parse(text), None, "{text}");
        }
    }
}
