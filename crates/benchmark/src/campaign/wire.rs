//! A wire to PostgreSQL that counts the statements that go over it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

/// Version 3.0 of the protocol: from here on each message has a letter.
const STARTUP: u32 = 196_608;

/// Listens until it is dropped.
pub(super) struct Wire {
    url: Url,
    statements: Arc<AtomicU64>,
    _listener: JoinSet<anyhow::Result<()>>,
}

impl Wire {
    pub(super) async fn to(database: &Url) -> anyhow::Result<Self> {
        let host = database.host_str().context("the database has no host")?.to_owned();
        let port = database.port().unwrap_or(5432);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let mut url = database.clone();
        url.set_host(Some("127.0.0.1")).context("the wire's host")?;
        let bound = listener.local_addr()?.port();
        url.set_port(Some(bound)).ok().context("the wire's port")?;
        let statements = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(listener, host, port, Arc::clone(&statements)));
        Ok(Self { url, statements, _listener: tasks })
    }

    pub(super) const fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }
}

async fn listen(
    listener: TcpListener,
    host: String,
    port: u16,
    statements: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let mut wires = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await?;
        let server = TcpStream::connect((host.as_str(), port)).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, mut to_client) = client.into_split();
        let (mut from_server, to_server) = server.into_split();
        wires.spawn(count(from_client, to_server, Arc::clone(&statements)));
        wires.spawn(async move {
            tokio::io::copy(&mut from_server, &mut to_client).await?;
            Ok(())
        });
    }
}

async fn count(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    statements: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let mut frames = Frames::default();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut chunk).await?;
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        statements.fetch_add(frames.executed(bytes), Ordering::Relaxed);
        to.write_all(bytes).await?;
    }
}

/// What a client says, cut into messages.
#[derive(Default)]
struct Frames {
    begun: Vec<u8>,
    is_started: bool,
}

impl Frames {
    /// How many statements are run by what is complete with these bytes.
    fn executed(&mut self, bytes: &[u8]) -> u64 {
        self.begun.extend_from_slice(bytes);
        let mut executed = 0;
        while let Some((letter, length)) = self.first() {
            if self.begun.len() < length {
                break;
            }
            self.begun.drain(..length);
            executed += u64::from(matches!(letter, Some(b'E' | b'Q')));
        }
        executed
    }

    /// The first message's letter and whole length, once they are known.
    fn first(&mut self) -> Option<(Option<u8>, usize)> {
        if self.is_started {
            let (letter, rest) = self.begun.split_first()?;
            let length = u32::from_be_bytes(*rest.first_chunk()?);
            return Some((Some(*letter), usize::try_from(length).ok()?.checked_add(1)?));
        }
        let (length, rest) = self.begun.split_first_chunk()?;
        let version = u32::from_be_bytes(*rest.first_chunk()?);
        self.is_started = version == STARTUP;
        Some((None, usize::try_from(u32::from_be_bytes(*length)).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(letter: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[letter], length.as_slice(), body].concat()
    }

    #[test]
    fn statements_are_counted_wherever_the_bytes_are_cut() {
        let startup = [8_u32.to_be_bytes(), STARTUP.to_be_bytes()].concat();
        let said = [
            startup,
            frame(b'Q', b"BEGIN\0"),
            frame(b'P', b"EEEE"),
            frame(b'B', b"QQ"),
            frame(b'E', b"\0\0\0\0\0"),
            frame(b'S', b""),
        ]
        .concat();
        for cut in 0..said.len() {
            let mut frames = Frames::default();
            let (head, tail) = said.split_at(cut);
            assert_eq!(frames.executed(head) + frames.executed(tail), 2, "cut at {cut}");
        }
    }
}
