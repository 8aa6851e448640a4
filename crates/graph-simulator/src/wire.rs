//! A small HTTP/1.1 client: one keep-alive connection, requests given as bytes.
//!
//! Written by hand because the simulator shares a machine with what it measures: a POST costs one
//! write and one read.

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

/// The most an answer's head may hold.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// A webhook address that cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TargetError {
    /// Webhooks are sent over plain HTTP on loopback or a private network.
    #[error("a webhook target must be an http address with a host")]
    NotHttp,
}

/// An address taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The value of the `Host` header.
    authority: String,
    path: String,
}

impl Target {
    pub(crate) fn parse(url: &Url) -> Result<Self, TargetError> {
        let host = url.host_str().filter(|_| url.scheme() == "http").ok_or(TargetError::NotHttp)?;
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or(80);
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            authority: format!("{host}:{port}"),
            path: format!("{}{query}", url.path()),
        })
    }

    /// Writes a signed POST of `body` into `request`, replacing what it held.
    pub(crate) fn request(&self, signature: &str, body: &[u8], request: &mut Vec<u8>) {
        request.clear();
        for part in [
            "POST ",
            &self.path,
            " HTTP/1.1\r\nHost: ",
            &self.authority,
            "\r\nUser-Agent: facebookexternalua\r\nAccept: */*\r\nContent-Type: application/json\r\n\
             X-Hub-Signature-256: ",
            signature,
            "\r\nContent-Length: ",
            &body.len().to_string(),
            "\r\n\r\n",
        ] {
            request.extend_from_slice(part.as_bytes());
        }
        request.extend_from_slice(body);
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What an answer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Whether the connection can carry another request.
    pub(crate) reusable: bool,
}

impl Wire {
    pub(crate) async fn connect(target: &Target) -> io::Result<Self> {
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(1024) })
    }

    /// Whether the other side has kept the connection open and silent.
    pub(crate) fn is_idle(&self) -> bool {
        let unread = self.stream.try_read(&mut [0; 1]);
        matches!(unread, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends `request` and reads its whole answer.
    pub(crate) async fn exchange(&mut self, request: &[u8], limit: Duration) -> io::Result<Reply> {
        match tokio::time::timeout(limit, self.exchange_unbounded(request)).await {
            Ok(reply) => reply,
            Err(elapsed) => Err(io::Error::new(io::ErrorKind::TimedOut, elapsed)),
        }
    }

    async fn exchange_unbounded(&mut self, request: &[u8]) -> io::Result<Reply> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(head) = Head::parse(&self.buffer) {
                break head;
            }
            if self.buffer.len() > MAX_HEAD_BYTES {
                return Err(io::Error::from(io::ErrorKind::InvalidData));
            }
            self.read_more().await?;
        };
        let Some(body_length) = head.body_length else {
            // A chunked or endless body: the answer is known, the connection is given up.
            return Ok(Reply { status: head.status, reusable: false });
        };
        while self.buffer.len() < head.length + body_length {
            self.read_more().await?;
        }
        Ok(Reply { status: head.status, reusable: head.keep_alive })
    }

    async fn read_more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            _ => Ok(()),
        }
    }
}

/// The head of an answer, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Bytes of the head, the blank line included.
    length: usize,
    body_length: Option<usize>,
    keep_alive: bool,
}

impl Head {
    /// Reads the head once it is complete. A line that makes no sense reads as status 0.
    fn parse(buffer: &[u8]) -> Option<Self> {
        let end = buffer.windows(4).position(|window| window == b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(buffer.get(..end)?);
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|status| status.parse().ok())
            .unwrap_or(0);
        let mut head = Self { status, length: end + 4, body_length: None, keep_alive: true };
        if status == 204 || status == 304 {
            head.body_length = Some(0);
        }
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.body_length = value.parse().ok();
            } else if name.eq_ignore_ascii_case("connection") {
                head.keep_alive = !value.eq_ignore_ascii_case("close");
            }
        }
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_complete() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 2\r\n\r\nok";
        assert_eq!(Head::parse(&whole[..30]), None);
        let head = Head { status: 200, length: 38, body_length: Some(2), keep_alive: true };
        assert_eq!(Head::parse(whole), Some(head));
    }

    #[test]
    fn only_http_addresses_are_taken() {
        let target = Target::parse(&"http://[::1]:81/a?b=c".parse().unwrap()).unwrap();
        assert_eq!((target.host.as_str(), target.port), ("::1", 81));
        let mut request = Vec::new();
        target.request("s", b"{}", &mut request);
        let request = String::from_utf8(request).unwrap();
        assert!(request.starts_with("POST /a?b=c HTTP/1.1\r\nHost: [::1]:81\r\n"), "{request}");
        assert!(request.ends_with("Content-Length: 2\r\n\r\n{}"), "{request}");
        let secure = "https://localhost/".parse().unwrap();
        assert_eq!(Target::parse(&secure), Err(TargetError::NotHttp));
    }
}
