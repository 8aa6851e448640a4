//! Sends spans to an OTLP/HTTP collector, from a thread of its own.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::Subscriber;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::logs::Process;

/// How long one export may take; the next ones wait in a bounded queue and are dropped beyond it.
const EXPORT: Duration = Duration::from_secs(5);
/// What the exporter itself uses: its spans would cause spans for ever.
const OF_THE_EXPORTER: [&str; 5] = ["hyper", "reqwest", "opentelemetry", "h2", "rustls"];

/// Connects spans to the collector at `endpoint`; nothing is sent yet.
pub(crate) fn provider(
    endpoint: &str,
    process: &Process,
) -> Result<SdkTracerProvider, ExporterBuildError> {
    // The HTTP client panics without one. An error says that the process has chosen already.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::trace!("a TLS provider is there already");
    }
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(traces_url(endpoint))
        .with_timeout(EXPORT)
        .build()?;
    let resource = Resource::builder_empty()
        .with_service_name(process.service)
        .with_attribute(KeyValue::new("service.version", process.version))
        .with_attribute(KeyValue::new("service.instance.id", process.pod.clone()))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
        .with_resource(resource)
        .build())
}

/// Turns `tracing` spans into exported ones.
pub(crate) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let foreign = |target: &str| OF_THE_EXPORTER.iter().any(|name| target.starts_with(name));
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("switchyard"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(filter_fn(move |metadata| !foreign(metadata.target())))
}

/// Collectors are named by their root; a path is taken as it is.
fn traces_url(endpoint: &str) -> String {
    let root = endpoint.trim_end_matches('/');
    match root.split_once("://") {
        Some((_, host)) if !host.contains('/') => format!("{root}/v1/traces"),
        _ => root.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Instant;

    use tracing::info_span;
    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::trace::{current_traceparent, link, set_parent};

    const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn process() -> Process {
        Process { service: "test", version: "0.0.0", pod: "pod-1".to_owned() }
    }

    /// Answers one export with 200 and hands over what was sent.
    fn collector() -> (String, mpsc::Receiver<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, received) = mpsc::channel();
        thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
            while let Ok(read @ 1..) = socket.read(&mut chunk) {
                request.extend_from_slice(&chunk[..read]);
            }
            sender.send(request).unwrap();
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        });
        (format!("http://{address}"), received)
    }

    #[test]
    fn spans_reach_the_collector_in_the_trace_of_the_caller() {
        let (endpoint, received) = collector();
        let provider = provider(&endpoint, &process()).unwrap();
        let sent = with_default(tracing_subscriber::registry().with(layer(&provider)), || {
            let request = info_span!("request");
            set_parent(&request, CALLER);
            link(&request, "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01");
            request.in_scope(current_traceparent).unwrap()
        });
        assert!(sent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && sent != CALLER);

        provider.shutdown_with_timeout(Duration::from_secs(5)).unwrap();
        let request = received.recv_timeout(Duration::from_secs(5)).unwrap();
        assert!(request.starts_with(b"POST /v1/traces HTTP/1.1"));
        let contains = |wanted: &[u8]| request.windows(wanted.len()).any(|bytes| bytes == wanted);
        assert!(contains(b"request") && contains(b"pod-1"));
        assert!(contains(&0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes()));
        assert!(contains(&[0xaa; 16]), "the link is missing");
    }

    #[test]
    fn a_collector_that_is_down_neither_blocks_nor_breaks_anything() {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let provider = provider(&format!("http://{nobody}"), &process()).unwrap();
        let begin = Instant::now();
        with_default(tracing_subscriber::registry().with(layer(&provider)), || {
            for _ in 0..5_000 {
                info_span!("request").in_scope(|| ());
            }
        });
        // Only that it comes back matters; the spans are lost either way.
        drop(provider.shutdown_with_timeout(Duration::from_secs(2)));
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    }

    #[test]
    fn a_root_gets_the_standard_path_and_a_path_is_kept() {
        assert_eq!(traces_url("http://c:4318"), "http://c:4318/v1/traces");
        assert_eq!(traces_url("http://c:4318/"), "http://c:4318/v1/traces");
        assert_eq!(traces_url("https://c/otlp/v1/traces"), "https://c/otlp/v1/traces");
    }
}
