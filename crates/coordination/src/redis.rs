//! Redis: the connections of one process, and the locks that are kept there.
//!
//! Three connections: one for the callers' questions, one for renewals and leftover releases, one
//! on which the process is told of locks that were handed to it. The latter two live on the
//! keeper's thread, so that neither traffic nor a busy runtime delays them.

pub(crate) mod link;
pub(crate) mod locks;
pub(crate) mod subscriber;

use std::sync::Arc;

use deadpool_redis::redis::Client;
use futures_util::FutureExt as _;
use tokio_util::task::TaskTracker;

use self::link::{Link, Role};
use self::locks::RedisLocks;
use crate::ConnectError;
use crate::lock::keeper::{Jobs, Keeper, Works};
use crate::lock::store::{ProcessId, Store};
use crate::lock::waiters::Waiters;
use crate::registry::key::Spelling;

/// What runs on the keeper's thread when locks are kept on Redis.
pub(crate) struct Background {
    pub(crate) url: String,
    pub(crate) process: ProcessId,
    pub(crate) label: String,
    pub(crate) spelling: Arc<Spelling>,
}

impl Background {
    pub(crate) fn start(
        self,
        waiters: Arc<Waiters>,
        tasks: TaskTracker,
    ) -> Result<Keeper, ConnectError> {
        let client = Client::open(self.url.as_str()).map_err(ConnectError::Address)?;
        let channel = locks::channel(&self.spelling, self.process);
        let connect = async move |jobs: Arc<Jobs>| {
            let link = Link::open(&self.url, self.spelling.namespace(), Role::Control).await?;
            let locks = RedisLocks::new(Arc::new(link), self.spelling, &self.label);
            let give_back = move |key, token| jobs.hand_on(key, token);
            let listening = subscriber::run(client, channel, waiters, give_back);
            Ok(Works { store: Store::Redis(locks), listening: listening.boxed_local() })
        };
        Ok(Keeper::start(tasks, connect)?)
    }
}
