//! One trace across HTTP, AMQP, SQL and the Graph API (F16), by W3C `traceparent`.
//!
//! OpenTelemetry is hidden here. With a collector configured, ids are those of the exported spans.
//! Without one no span data is built; a trace id is made for the outermost span the first time
//! something asks for it, so that logs and stored rows still tell which work belongs together. Such
//! ids are marked as not sampled.

mod export;
mod parent;

use opentelemetry::Context as OtelContext;
use opentelemetry::trace::TraceContextExt;
use tracing::Span;
use tracing_opentelemetry::{OpenTelemetrySpanExt, SetParentError};
use tracing_subscriber::Registry;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

pub(crate) use self::export::{layer, provider};
pub(crate) use self::parent::TraceParent;

/// The `traceparent` to send with work that this span causes; `None` outside of any span.
pub fn current_traceparent() -> Option<String> {
    exported().or_else(unexported).map(|parent| parent.to_string())
}

/// Makes `span` part of the trace that a caller's `traceparent` names; a malformed one is ignored.
///
/// Takes effect only before `span` is entered for the first time.
pub fn set_parent(span: &Span, traceparent: &str) {
    let Some(parent) = TraceParent::parse(traceparent) else { return };
    let remote = OtelContext::new().with_remote_span_context(parent.into());
    match span.set_parent(remote) {
        Ok(()) | Err(SetParentError::SpanDisabled) => (),
        Err(SetParentError::LayerNotFound) => adopt(span, parent),
        Err(SetParentError::AlreadyStarted) => tracing::debug!("a parent came too late"),
    }
}

/// Says that `span` works on what another trace caused, without being part of it: a batch does so
/// for each of its messages. Only exported spans know links.
pub fn link(span: &Span, traceparent: &str) {
    if let Some(parent) = TraceParent::parse(traceparent) {
        span.add_link(parent.into());
    }
}

/// The ids of the innermost exported span this thread is in.
pub(crate) fn exported() -> Option<TraceParent> {
    OtelContext::map_current(|context| {
        context.has_active_span().then(|| TraceParent::from(context.span().span_context()))
    })
}

fn unexported() -> Option<TraceParent> {
    Span::current()
        .with_subscriber(|(id, dispatch)| {
            dispatch.downcast_ref::<Registry>()?.span(id).map(|span| of_span(&span))
        })
        .flatten()
}

/// The ids that were given to `span` or the nearest span around it; if there are none, the
/// outermost one gets new ones.
pub(crate) fn of_span<R: for<'a> LookupSpan<'a>>(span: &SpanRef<'_, R>) -> TraceParent {
    let known = span.scope().find_map(|span| span.extensions().get::<TraceParent>().copied());
    if let Some(known) = known {
        return known;
    }
    let fresh = TraceParent::fresh();
    let Some(outermost) = span.scope().from_root().next() else { return fresh };
    let mut extensions = outermost.extensions_mut();
    match extensions.get_mut::<TraceParent>() {
        Some(meanwhile) => *meanwhile,
        None => {
            extensions.insert(fresh);
            fresh
        }
    }
}

fn adopt(span: &Span, parent: TraceParent) {
    span.with_subscriber(|(id, dispatch)| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        registry.span(id)?.extensions_mut().replace(parent.child());
        Some(())
    });
}

#[cfg(test)]
mod tests {
    use tracing::info_span;
    use tracing::subscriber::with_default;

    use super::*;

    const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn trace_id() -> Option<String> {
        current_traceparent().and_then(|parent| parent.get(3..35).map(str::to_owned))
    }

    #[test]
    fn without_a_collector_everything_inside_a_span_shares_one_trace() {
        with_default(tracing_subscriber::registry(), || {
            assert_eq!(current_traceparent(), None);
            let outer = info_span!("outer").entered();
            let inside = info_span!("inside").in_scope(trace_id);
            assert!(inside.is_some());
            assert_eq!(info_span!("another").in_scope(trace_id), inside);
            drop(outer);
            assert_ne!(info_span!("other").in_scope(trace_id), inside);
        });
    }

    #[test]
    fn without_a_collector_a_callers_trace_is_continued() {
        with_default(tracing_subscriber::registry(), || {
            let span = info_span!("request");
            set_parent(&span, CALLER);
            link(&span, CALLER);
            let sent =
                span.in_scope(|| info_span!("inside").in_scope(current_traceparent)).unwrap();
            assert!(sent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{sent}");
            assert!(sent.ends_with("-01") && sent != CALLER, "{sent}");

            let span = info_span!("request");
            set_parent(&span, "00-nonsense");
            assert_ne!(span.in_scope(trace_id).unwrap(), "4bf92f3577b34da6a3ce929d0e0e4736");
        });
    }

    #[test]
    fn without_any_subscriber_nothing_happens() {
        let span = info_span!("request");
        set_parent(&span, CALLER);
        link(&span, CALLER);
        assert_eq!(span.in_scope(current_traceparent), None);
    }
}
