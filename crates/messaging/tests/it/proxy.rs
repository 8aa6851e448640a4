//! A TCP proxy that can be broken: cut, refuse, stop reading.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// What is broken.
#[derive(Clone, Default)]
struct Broken {
    /// New connections are closed at once.
    refuses: bool,
    /// Connections die when this changes.
    cuts: u64,
    /// Nothing is read from clients that said this in their first bytes.
    stalls: Option<&'static str>,
}

/// Stands between a client and `upstream`; gone with the test's runtime.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    broken: Arc<watch::Sender<Broken>>,
}

impl Proxy {
    pub(crate) async fn before(upstream: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let broken = Arc::new(watch::Sender::new(Broken::default()));
        let tasks = TaskTracker::new();
        tasks.spawn(accept(listener, upstream, Arc::clone(&broken), tasks.clone()));
        Self { port, broken }
    }

    /// Kills every connection.
    pub(crate) fn cut(&self) {
        self.broken.send_modify(|broken| broken.cuts += 1);
    }

    pub(crate) fn refuse(&self, refuses: bool) {
        self.broken.send_modify(|broken| broken.refuses = refuses);
    }

    /// Stops reading from the clients whose hello contains `name`.
    pub(crate) fn stall(&self, name: Option<&'static str>) {
        self.broken.send_modify(|broken| broken.stalls = name);
    }
}

async fn accept(
    listener: TcpListener,
    upstream: String,
    broken: Arc<watch::Sender<Broken>>,
    tasks: TaskTracker,
) {
    while let Ok((client, _)) = listener.accept().await {
        if broken.borrow().refuses {
            continue;
        }
        let Ok(server) = TcpStream::connect(&upstream).await else { continue };
        let ((from_client, to_client), (from_server, to_server)) =
            (client.into_split(), server.into_split());
        tasks.spawn(pump(from_client, to_server, broken.subscribe()));
        tasks.spawn(pump(from_server, to_client, broken.subscribe()));
    }
}

/// Copies until one side ends or the connection is cut. A server's hello names no client, so only
/// the way from the client stalls.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut broken: watch::Receiver<Broken>,
) {
    let cuts = broken.borrow().cuts;
    let mut hello = String::new();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let stalled = broken.borrow().stalls.is_some_and(|name| hello.contains(name));
        let read = tokio::select! {
            changed = broken.changed() => {
                if changed.is_err() || broken.borrow().cuts != cuts {
                    return;
                }
                continue;
            }
            read = from.read(&mut chunk), if !stalled => read,
        };
        let Ok(length @ 1..) = read else { return };
        if hello.len() < 2_048 {
            hello.push_str(&String::from_utf8_lossy(chunk.get(..length).unwrap()));
        }
        if to.write_all(chunk.get(..length).unwrap()).await.is_err() {
            return;
        }
    }
}
