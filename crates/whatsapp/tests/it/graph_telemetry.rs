//! What operators see of a send, and what they must not see.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kernel::{PhoneNumberId, WaId};
use metrics_exporter_prometheus::PrometheusBuilder;
use secrecy::SecretString;
use tokio::runtime::Builder;
use tokio::time::Instant;
use tracing_subscriber::fmt::format::FmtSpan;
use whatsapp::graph::{Content, Recipient, SendRequest};

use crate::graph_faults::{Fault, Server, client};

const SECRETS: [&str; 3] = ["EAAG-secret-token", "4915755512345", "your code is 8841"];

/// Sends once to a server with each fault, in one thread, so that thread-local recorders see it.
fn send_to(faults: &[Fault]) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for fault in faults {
            let server = Server::start(*fault).await;
            let outcome = client(&server.root())
                .send(SendRequest {
                    phone_number_id: &PhoneNumberId::new("290184457761305"),
                    token: &SecretString::from(SECRETS[0]),
                    to: Recipient::Phone(&WaId::new(SECRETS[1])),
                    content: Content::Text { body: SECRETS[2], preview_url: false, reply_to: None },
                    callback_data: "sw1.test",
                    deadline: Instant::now() + Duration::from_secs(1),
                    cancelled: None,
                })
                .await;
            tracing::info!(?outcome, "sent");
        }
    });
}

#[test]
fn every_error_code_is_counted_and_starts_at_zero() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        send_to(&[Fault::None, Fault::Graph429, Fault::Hang])
    });
    let page = handle.render();
    for line in [
        r#"switchyard_send_upstream_errors_total{code="130429"} 1"#,
        r#"switchyard_send_upstream_errors_total{code="131056"} 0"#,
        r#"switchyard_send_upstream_errors_total{code="other"} 0"#,
        r#"http_client_request_duration_seconds_count{server_address="127.0.0.1",status="200"} 1"#,
        r#"http_client_request_duration_seconds_count{server_address="127.0.0.1",status="429"} 1"#,
        r#"http_client_request_duration_seconds_count{server_address="127.0.0.1",status="none"} 1"#,
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_span_tells_the_code_and_neither_token_nor_number_nor_text() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        send_to(&[Fault::None, Fault::Graph429, Fault::Hang, Fault::CloseAfterRequest]);
    });
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for told in
        ["POST graph messages", "meta.code=130429", "meta.fbtrace_id=\"A\"", "status_code=429"]
    {
        assert!(log.contains(told), "{told} is not in\n{log}");
    }
    for secret in SECRETS {
        assert!(!log.contains(secret), "{secret} is in\n{log}");
    }
}
