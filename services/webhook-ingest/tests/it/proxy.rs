//! Stands between the door and its broker, and can be broken.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Everything passes.
    Open,
    /// Connections stay, and nothing passes.
    Stalled,
    /// Connections are cut and new ones refused.
    Cut,
}

/// A TCP proxy; gone with the test's runtime.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<watch::Sender<State>>,
}

impl Proxy {
    pub(crate) async fn before(upstream: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(watch::Sender::new(State::Open));
        let tasks = TaskTracker::new();
        tasks.spawn(accept(listener, upstream, Arc::clone(&state), tasks.clone()));
        Self { port, state }
    }

    pub(crate) fn set(&self, state: State) {
        self.state.send_replace(state);
    }
}

async fn accept(
    listener: TcpListener,
    upstream: String,
    state: Arc<watch::Sender<State>>,
    tasks: TaskTracker,
) {
    while let Ok((client, _)) = listener.accept().await {
        if *state.borrow() == State::Cut {
            continue;
        }
        let Ok(server) = TcpStream::connect(&upstream).await else { continue };
        let ((from_client, to_client), (from_server, to_server)) =
            (client.into_split(), server.into_split());
        tasks.spawn(pump(from_client, to_server, state.subscribe()));
        tasks.spawn(pump(from_server, to_client, state.subscribe()));
    }
}

/// Copies until one side ends or the connection is cut.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let now = *state.borrow_and_update();
        let read = tokio::select! {
            changed = state.changed() => {
                if changed.is_err() || *state.borrow() == State::Cut {
                    return;
                }
                continue;
            }
            read = from.read(&mut chunk), if now == State::Open => read,
        };
        let Ok(length @ 1..) = read else { return };
        if to.write_all(chunk.get(..length).unwrap()).await.is_err() {
            return;
        }
    }
}
