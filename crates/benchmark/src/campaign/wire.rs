//! A wire to a server that counts what is asked over it.

mod postgres;
mod redis;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

/// What a client says, cut into requests.
trait Frames: Default + Send + 'static {
    /// How many requests that count are complete with these bytes.
    fn complete(&mut self, bytes: &[u8]) -> u64;
}

/// Listens until it is dropped.
pub(super) struct Wire {
    url: Url,
    requests: Arc<AtomicU64>,
    _listener: JoinSet<anyhow::Result<()>>,
}

impl Wire {
    /// Counts the statements that a database runs.
    pub(super) async fn to_postgres(url: &Url) -> anyhow::Result<Self> {
        Self::to::<postgres::Frames>(url, 5432).await
    }

    /// Counts the calls of Redis; a script is one, whatever it does there.
    pub(super) async fn to_redis(url: &Url) -> anyhow::Result<Self> {
        Self::to::<redis::Frames>(url, 6379).await
    }

    async fn to<F: Frames>(server: &Url, default_port: u16) -> anyhow::Result<Self> {
        let host = server.host_str().context("the server has no host")?.to_owned();
        let port = server.port().unwrap_or(default_port);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let mut url = server.clone();
        url.set_host(Some("127.0.0.1")).context("the wire's host")?;
        let bound = listener.local_addr()?.port();
        url.set_port(Some(bound)).ok().context("the wire's port")?;
        let requests = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(listen::<F>(listener, host, port, Arc::clone(&requests)));
        Ok(Self { url, requests, _listener: tasks })
    }

    pub(super) const fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn listen<F: Frames>(
    listener: TcpListener,
    host: String,
    port: u16,
    requests: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let mut wires = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await?;
        let server = TcpStream::connect((host.as_str(), port)).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, mut to_client) = client.into_split();
        let (mut from_server, to_server) = server.into_split();
        wires.spawn(count::<F>(from_client, to_server, Arc::clone(&requests)));
        wires.spawn(async move {
            tokio::io::copy(&mut from_server, &mut to_client).await?;
            Ok(())
        });
    }
}

async fn count<F: Frames>(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    requests: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let mut frames = F::default();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut chunk).await?;
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        requests.fetch_add(frames.complete(bytes), Ordering::Relaxed);
        to.write_all(bytes).await?;
    }
}
