//! Which streams have work, and a task for each of them.
//!
//! A stream's task ends when it finds nothing more to do; it is started by a nudge that names the
//! stream, or by the look through the ledger that finds what nobody has named.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernel::chain;
use storage::StorageError;
use storage::send_ledger::claim::{self, Stream};
use tokio::sync::Notify;
use tracing::warn;

use crate::post::Post;
use crate::pump::Pump;

/// Told to a stream's task: there may be more to do.
#[derive(Default)]
pub(crate) struct Bell {
    rung: AtomicBool,
}

impl Bell {
    /// Whether it was rung since it was last heard.
    pub(crate) fn is_rung(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }

    /// Hears it: whatever was there when it rang is found by a look after this.
    pub(crate) fn hear(&self) {
        self.rung.store(false, Ordering::Release);
    }
}

/// The streams that are being pumped.
pub(crate) struct Streams {
    pub(crate) post: Arc<Post>,
    pub(crate) look: Arc<Notify>,
    pumped: Mutex<HashMap<Stream, Arc<Bell>>>,
}

impl Streams {
    pub(crate) fn new(post: Arc<Post>, look: Arc<Notify>) -> Self {
        Self { post, look, pumped: Mutex::default() }
    }

    /// Looks for streams with work now and then, until told to stop.
    pub(crate) async fn run(self: Arc<Self>) {
        let stop = self.post.stop.clone();
        while !stop.is_cancelled() {
            if let Err(error) = self.discover().await {
                warn!(error = %chain(&error), "sending waits for the database");
            }
            tokio::select! {
                () = self.look.notified() => {}
                () = tokio::time::sleep(self.post.options.poll) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn discover(self: &Arc<Self>) -> Result<(), StorageError> {
        let found = {
            let mut conn = self.post.db.connection().await?;
            claim::streams(&mut conn, &self.post.options.sources).await?
        };
        for stream in found {
            self.ring(stream);
        }
        Ok(())
    }

    /// Says that `stream` may have work.
    pub(crate) fn ring(self: &Arc<Self>, stream: Stream) {
        if self.post.stop.is_cancelled() || !self.post.options.sources.contains(&stream.source) {
            return;
        }
        let mut pumped = self.lock();
        if let Some(bell) = pumped.get(&stream) {
            bell.rung.store(true, Ordering::Release);
            return;
        }
        let bell = Arc::new(Bell::default());
        pumped.insert(stream, Arc::clone(&bell));
        drop(pumped);
        self.post.tasks.spawn(Pump::new(Arc::clone(self), stream, bell).run());
    }

    /// Ends a stream's task, unless its bell was rung; says whether it may end.
    pub(crate) fn leave(&self, stream: &Stream, bell: &Bell) -> bool {
        let mut pumped = self.lock();
        let may_end = !bell.is_rung() || self.post.stop.is_cancelled();
        if may_end {
            pumped.remove(stream);
        }
        may_end
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Stream, Arc<Bell>>> {
        // A panic while the lock was held cannot have left the map half changed.
        self.pumped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
