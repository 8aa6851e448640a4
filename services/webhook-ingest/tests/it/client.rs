//! HTTP by hand, so that a request can be as wrong as it likes.

use std::net::SocketAddr;
use std::time::Duration;

use settings::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use whatsapp::signature::sign;

const PATIENCE: Duration = Duration::from_secs(20);

/// A request as bytes, made of parts that are right unless changed.
#[derive(Clone)]
pub(crate) struct Request {
    line: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        let host = ("Host".to_owned(), b"x".to_vec());
        Self { line: format!("{method} {path} HTTP/1.1"), headers: vec![host], body: Vec::new() }
    }

    /// A webhook with the signature of `secret`.
    pub(crate) fn signed(path: &str, secret: &str, body: impl AsRef<[u8]>) -> Self {
        let signature = sign(&SecretString::from(secret), body.as_ref()).unwrap();
        Self::new("POST", path).header("X-Hub-Signature-256", signature).body(body)
    }

    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Replaces the body, with its right length.
    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        let length = self.body.len().to_string();
        self.framed("Content-Length", length)
    }

    /// Replaces the way the body's length is told.
    pub(crate) fn framed(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.retain(|(name, _)| name != "Content-Length" && name != "Transfer-Encoding");
        self.header(name, value)
    }

    /// Sends these bytes instead of the body, whatever the head says of them.
    pub(crate) fn raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.body = bytes.as_ref().to_vec();
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.line).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: ").as_bytes());
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends it on a connection of its own and answers with what came back.
    pub(crate) async fn send(&self, to: SocketAddr) -> Answer {
        let mut socket = Socket::open(to).await;
        socket.write(&self.bytes()).await;
        socket.answer().await
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A connection to the door.
pub(crate) struct Socket {
    stream: TcpStream,
    read: Vec<u8>,
    /// An answer to HEAD tells the length of a body that does not come.
    is_head: bool,
}

impl Socket {
    pub(crate) async fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        Self { stream, read: Vec::new(), is_head: false }
    }

    /// Writes as much as the other side takes: it may have answered and closed already.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.is_head = bytes.starts_with(b"HEAD ");
        self.stream.write_all(bytes).await.ok();
    }

    /// Says that nothing more will come.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// The next answer.
    pub(crate) async fn answer(&mut self) -> Answer {
        timeout(PATIENCE, self.next_answer()).await.expect("an answer in time")
    }

    async fn next_answer(&mut self) -> Answer {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(self.more().await > 0, "closed without an answer: {:?}", self.read);
        };
        let head = String::from_utf8(self.read.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: String::new() };
        let length = answer.header("content-length").filter(|_| !self.is_head);
        let length = length.map_or(0, |text| text.parse().unwrap());
        while self.read.len() < length {
            assert!(self.more().await > 0, "closed within an answer");
        }
        answer.body = String::from_utf8(self.read.drain(..length).collect()).unwrap();
        answer
    }

    /// Waits until the other side closes the connection.
    pub(crate) async fn closed(&mut self) {
        let closed = async { while self.more().await > 0 {} };
        timeout(PATIENCE, closed).await.expect("closed in time");
    }

    async fn more(&mut self) -> usize {
        self.stream.read_buf(&mut self.read).await.unwrap_or(0)
    }
}
