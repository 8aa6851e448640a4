//! A server that misbehaves in one way, and knows how many complete requests it received.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What is wrong with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    CloseOnAccept,
    ResetOnAccept,
    CloseAfterHeaders,
    ResetAfterHeaders,
    CloseAfterRequest,
    ResetAfterRequest,
    Hang,
    HeadersOnly,
    HalfAnswer,
    SlowAnswer,
    HugeAnswer,
    EmptySuccess,
    Html502,
    Redirect,
    Graph500,
    Graph429,
    /// Resets its first connection when it was idle for this long after an answer.
    ResetWhenIdle(Duration),
}

/// Runs until dropped.
pub(crate) struct Server {
    address: SocketAddr,
    seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    complete: AtomicUsize,
    connections: AtomicUsize,
    last: Mutex<String>,
}

impl Server {
    pub(crate) async fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, fault, Arc::clone(&seen)));
        Self { address, seen, _tasks: tasks }
    }

    pub(crate) fn root(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests arrived with all of their body.
    pub(crate) fn complete_requests(&self) -> usize {
        self.seen.complete.load(Ordering::SeqCst)
    }

    /// The last complete request, as received.
    pub(crate) fn last_request(&self) -> String {
        self.seen.last.lock().unwrap().clone()
    }
}

async fn accept(listener: TcpListener, fault: Fault, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(serve(stream, fault, Arc::clone(&seen)));
    }
}

async fn serve(mut stream: TcpStream, fault: Fault, seen: Arc<Seen>) {
    let is_first = seen.connections.fetch_add(1, Ordering::SeqCst) == 0;
    match fault {
        Fault::CloseOnAccept => return,
        Fault::ResetOnAccept => return reset(&stream),
        _ => {}
    }
    loop {
        let Some(request) = receive(&mut stream, fault).await else { return };
        *seen.last.lock().unwrap() = request;
        seen.complete.fetch_add(1, Ordering::SeqCst);
        if answer(&mut stream, fault).await.is_none() {
            return;
        }
        if let Fault::ResetWhenIdle(after) = fault
            && is_first
        {
            tokio::time::sleep(after).await;
            return reset(&stream);
        }
    }
}

/// Reads one whole request; `None` when the client or the fault ended it before.
async fn receive(stream: &mut TcpStream, fault: Fault) -> Option<String> {
    let mut received = Vec::new();
    let mut part = [0; 4096];
    let mut expected = None;
    loop {
        let bytes = stream.read(&mut part).await.ok().filter(|bytes| *bytes > 0)?;
        received.extend_from_slice(&part[..bytes]);
        if expected.is_none()
            && let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n")
        {
            let head = String::from_utf8_lossy(&received[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            expected = Some(end + 4 + length.map_or(0, |length| length.parse::<usize>().unwrap()));
            match fault {
                Fault::CloseAfterHeaders => return None,
                Fault::ResetAfterHeaders => {
                    reset(stream);
                    return None;
                }
                _ => {}
            }
        }
        if expected.is_some_and(|expected| received.len() >= expected) {
            return Some(String::from_utf8_lossy(&received).into_owned());
        }
    }
}

/// Answers as the fault has it; `None` ends the connection.
async fn answer(stream: &mut TcpStream, fault: Fault) -> Option<()> {
    const ACCEPTED: &str = r#"{"messages":[{"id":"wamid.X"}]}"#;
    let whole = |status: &str, more: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\n{more}content-length: {}\r\n\r\n{body}", body.len())
    };
    let error =
        |code: u32| format!(r#"{{"error":{{"message":"x","code":{code},"fbtrace_id":"A"}}}}"#);
    let text = match fault {
        Fault::CloseAfterRequest => return None,
        Fault::ResetAfterRequest => {
            reset(stream);
            return None;
        }
        Fault::Hang => std::future::pending().await,
        Fault::HeadersOnly => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n".to_owned(),
        Fault::HalfAnswer => {
            "HTTP/1.1 200 OK\r\ncontent-length: 31\r\n\r\n{\"messages\":[{\"id\":".to_owned()
        }
        Fault::SlowAnswer => {
            slowly(stream, &whole("200 OK", "", ACCEPTED)).await?;
            String::new()
        }
        Fault::HugeAnswer => whole("200 OK", "", &format!("{ACCEPTED}{}", " ".repeat(70_000))),
        Fault::EmptySuccess => whole("200 OK", "", "{}"),
        Fault::Html502 => whole("502 Bad Gateway", "content-type: text/html\r\n", "<html>"),
        Fault::Redirect => whole("307 Temporary Redirect", "location: /elsewhere\r\n", ""),
        Fault::Graph500 => whole("500 Oops", "", &error(131_000)),
        Fault::Graph429 => whole("429 Slow Down", "retry-after: 7\r\n", &error(130_429)),
        _ => whole("200 OK", "", ACCEPTED),
    };
    stream.write_all(text.as_bytes()).await.ok()?;
    (!matches!(fault, Fault::HeadersOnly | Fault::HalfAnswer)).then_some(())
}

/// One byte at a time: alive, and never done in time.
async fn slowly(stream: &mut TcpStream, text: &str) -> Option<()> {
    for byte in text.bytes() {
        stream.write_all(&[byte]).await.ok()?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Some(())
}

fn reset(stream: &TcpStream) {
    stream.set_zero_linger().unwrap();
}
