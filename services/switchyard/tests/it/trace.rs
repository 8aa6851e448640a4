//! F16: from Meta's POST to the reply, one trace.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use graph_simulator::{InboundMessage, Repeat};
use testkit::eventually_within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::installation::{Installation, PHONE};

/// The spans that one message leaves behind, by the names they are exported under.
const SPANS: &[&str] = &[
    "POST /webhooks/whatsapp",
    "process inbound",
    "lock acquire",
    "ratelimit",
    "tx inbound",
    "bot turn",
    "send message",
    "POST graph messages",
];

#[tokio::test(flavor = "multi_thread")]
async fn one_message_and_its_reply_are_one_trace() {
    let collector = Collector::start().await;
    let mut installation = Installation::new().await;
    installation.set("SWITCHYARD__TELEMETRY__OTLP_ENDPOINT", &collector.endpoint);
    installation.set("SWITCHYARD__TELEMETRY__LOG", "info");
    installation.run("all").await;
    installation.connect_echo_bot().await;
    let message = InboundMessage::text(PHONE, "4915755512345", "Lena", "hello");
    installation.meta.deliver(vec![message], 1, Repeat::ONCE);
    installation.wait_quiet(Duration::from_secs(30)).await;

    eventually_within(Duration::from_secs(30), "one trace has every span", async || {
        let spans = collector.spans();
        let reply = spans.iter().find(|span| span.name == "POST graph messages")?;
        let of_trace: Vec<&str> = spans
            .iter()
            .filter(|span| span.trace == reply.trace)
            .map(|span| span.name.as_str())
            .collect();
        SPANS.iter().all(|name| of_trace.contains(name)).then_some(())
    })
    .await;
}

/// A collector that keeps the bodies it is sent.
struct Collector {
    endpoint: String,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

struct Span {
    trace: Vec<u8>,
    name: String,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let bodies: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let kept = Arc::clone(&bodies);
        tokio::task::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::task::spawn(serve(stream, Arc::clone(&kept)));
            }
        });
        Self { endpoint, bodies }
    }

    fn spans(&self) -> Vec<Span> {
        self.bodies.lock().unwrap().iter().flat_map(|body| spans_in(body)).collect()
    }
}

async fn serve(mut stream: TcpStream, kept: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut buffer = Vec::new();
    loop {
        let Some(body) = next_body(&mut stream, &mut buffer).await else { return };
        kept.lock().unwrap().push(body);
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

async fn next_body(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut chunk = [0; 8192];
    loop {
        if let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&buffer[..head]).to_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
            if buffer.len() >= head + 4 + length {
                let rest = buffer.split_off(head + 4 + length);
                let body = std::mem::replace(buffer, rest).split_off(head + 4);
                return Some(body);
            }
        }
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        buffer.extend_from_slice(&chunk[..read]);
    }
}

/// Reads an `ExportTraceServiceRequest`: `resource_spans`(1) → `scope_spans`(2) → `spans`(2), of
/// which `trace_id`(1) and `name`(5).
fn spans_in(body: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource in fields(body, 1) {
        for scope in fields(resource, 2) {
            for span in fields(scope, 2) {
                let trace = fields(span, 1).first().map(|trace| trace.to_vec());
                let name = fields(span, 5).first().map(|name| String::from_utf8_lossy(name).into());
                if let (Some(trace), Some(name)) = (trace, name) {
                    spans.push(Span { trace, name });
                }
            }
        }
    }
    spans
}

/// The length-delimited fields `number` of a protobuf message.
fn fields(mut message: &[u8], number: u64) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some(tag) = varint(&mut message) {
        match tag & 7 {
            0 => drop(varint(&mut message)),
            1 => message = message.get(8..).unwrap_or_default(),
            5 => message = message.get(4..).unwrap_or_default(),
            _ => {
                let length = usize::try_from(varint(&mut message).unwrap_or(0)).unwrap();
                let Some((value, rest)) = message.split_at_checked(length) else { break };
                if tag >> 3 == number {
                    found.push(value);
                }
                message = rest;
            }
        }
    }
    found
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
