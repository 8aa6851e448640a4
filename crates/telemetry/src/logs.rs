//! One JSON object per log line, with the fields of the spans it was written in.
//!
//! An inner span's field hides an outer one's of the same name, so no name comes twice in a line.

mod fields;

use std::io::Write;

use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use self::fields::Fields;
use crate::trace::{self, TraceParent};

/// Which process writes: on every line.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) service: &'static str,
    pub(crate) version: &'static str,
    /// The machine's name, which is the pod's in Kubernetes.
    pub(crate) pod: String,
}

impl Process {
    pub(crate) fn this(service: &'static str, version: &'static str) -> Self {
        let pod = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self { service, version, pod: pod.trim().to_owned() }
    }
}

/// The layer that writes the lines.
pub(crate) struct JsonLog<W> {
    process: Process,
    writer: W,
}

impl<W> JsonLog<W> {
    pub(crate) fn new(process: Process, writer: W) -> Self {
        Self { process, writer }
    }
}

impl<S, W> Layer<S> for JsonLog<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if !fields.is_empty() {
            span.extensions_mut().replace(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        match extensions.get_mut::<Fields>() {
            Some(fields) => values.record(fields),
            None => {
                let mut fields = Fields::default();
                values.record(&mut fields);
                extensions.insert(fields);
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let span = context.event_span(event);
        let parent = trace::exported().or_else(|| span.as_ref().map(trace::of_span));
        for span in span.iter().flat_map(tracing_subscriber::registry::SpanRef::scope) {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.add_missing(outer);
            }
        }
        let Ok(line) = self.line(event, parent, fields) else { return };
        // Nobody is left to tell when the log itself cannot be written.
        drop(self.writer.make_writer_for(event.metadata()).write_all(&line));
    }
}

impl<W> JsonLog<W> {
    fn line(
        &self,
        event: &Event<'_>,
        parent: Option<TraceParent>,
        mut fields: Fields,
    ) -> serde_json::Result<Vec<u8>> {
        let Process { service, version, pod } = &self.process;
        let message = fields.take("message").unwrap_or(Value::Null);
        let mut line = Vec::with_capacity(512);
        let mut json = serde_json::Serializer::new(&mut line);
        let mut map = json.serialize_map(None)?;
        map.serialize_entry("ts", &timestamp())?;
        map.serialize_entry("level", event.metadata().level().as_str())?;
        map.serialize_entry("msg", &message)?;
        map.serialize_entry("service", service)?;
        map.serialize_entry("version", version)?;
        map.serialize_entry("pod", pod)?;
        let target = fields.take("log.target");
        map.serialize_entry(
            "target",
            target.as_ref().and_then(Value::as_str).unwrap_or(event.metadata().target()),
        )?;
        if let Some(parent) = parent {
            map.serialize_entry("trace_id", &parent.trace_id())?;
            map.serialize_entry("span_id", &parent.span_id())?;
        }
        for (name, value) in fields.shown() {
            map.serialize_entry(name, value)?;
        }
        map.end()?;
        line.push(b'\n');
        Ok(line)
    }
}

/// RFC 3339 in UTC.
fn timestamp() -> String {
    let mut text = String::with_capacity(32);
    match SystemTime.format_time(&mut Writer::new(&mut text)) {
        Ok(()) => text,
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests;
