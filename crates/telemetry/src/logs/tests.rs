use std::io;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing::field::Empty;
use tracing::subscriber::with_default;
use tracing::{info, info_span, warn};
use tracing_subscriber::layer::SubscriberExt;

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn parsed(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn logged(work: impl FnOnce()) -> Vec<Value> {
    let lines = Lines::default();
    let writer = lines.clone();
    let process = Process { service: "test", version: "1.2.3", pod: "pod-1".to_owned() };
    let log = JsonLog::new(process, move || writer.clone());
    with_default(tracing_subscriber::registry().with(log), work);
    lines.parsed()
}

#[test]
fn a_line_tells_process_message_and_fields() {
    let lines = logged(|| {
        warn!(queue = "webhooks", delivery_count = 3_u64, outcome = ?Some(1), "left \"it\"\n");
    });
    let line = &lines[0];
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["msg"], "left \"it\"\n");
    assert_eq!(
        (&line["service"], &line["version"], &line["pod"]),
        (&Value::from("test"), &Value::from("1.2.3"), &Value::from("pod-1"))
    );
    assert_eq!(line["queue"], "webhooks");
    assert_eq!(line["delivery_count"], 3);
    assert_eq!(line["outcome"], "Some(1)");
    assert!(line["ts"].as_str().unwrap().ends_with('Z'), "{line}");
    assert!(line.get("trace_id").is_none(), "outside of a span there is no trace");
}

#[test]
fn a_line_has_the_fields_of_its_spans_and_the_inner_one_wins() {
    let lines = logged(|| {
        let outer = info_span!("outer", workspace = "ws_1", queue = "a", request_id = Empty);
        outer.record("request_id", "req_1");
        let _outer = outer.entered();
        let _inner = info_span!("inner", queue = "b", otel.kind = "consumer").entered();
        info!("in both");
        info!(queue = "c", "own");
    });
    let [both, own] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(both["workspace"], "ws_1");
    assert_eq!(both["request_id"], "req_1");
    assert_eq!(both["queue"], "b");
    assert_eq!(own["queue"], "c");
    assert_eq!(both.get("otel.kind"), None);
    assert_eq!(both["trace_id"], own["trace_id"]);
    assert_eq!(both["trace_id"].as_str().unwrap().len(), 32);
}
