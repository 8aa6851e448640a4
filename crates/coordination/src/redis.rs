//! Redis: the connections of one process, and the locks that are kept there.
//!
//! Three connections: one for the callers' questions, one for renewals and leftover releases, one
//! on which the process is told of locks that were handed to it. The latter two live on the
//! keeper's thread, so that neither traffic nor a busy runtime delays them.

pub(crate) mod deployment;
mod free;
mod inspect;
pub(crate) mod link;
pub(crate) mod locks;
pub(crate) mod shards;
pub(crate) mod subscriber;

use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio_util::task::TaskTracker;

use self::deployment::{Deployment, Dialer};
use self::link::{Link, Role};
use self::locks::RedisLocks;
use self::shards::Shards;
use crate::ConnectError;
use crate::lock::keeper::{Jobs, Keeper, Works};
use crate::lock::store::{ProcessId, Store};
use crate::lock::waiters::Waiters;
use crate::registry::key::Spelling;

/// What runs on the keeper's thread when locks are kept on Redis.
pub(crate) struct Background {
    pub(crate) deployment: Deployment,
    pub(crate) shards: Option<Arc<Shards>>,
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
        let connect = async move |jobs: Arc<Jobs>| {
            let (locks, listening) = self.connect(waiters, jobs).await?;
            Ok(Works { store: Store::Redis(locks), listening: listening.boxed_local() })
        };
        Ok(Keeper::start(tasks, connect)?)
    }

    /// Connects; to be called on the thread where both are used.
    pub(crate) async fn connect(
        self,
        waiters: Arc<Waiters>,
        jobs: Arc<Jobs>,
    ) -> Result<(RedisLocks, impl Future<Output = ()> + 'static), ConnectError> {
        let dialer = Dialer::new(&self.deployment)?;
        let channel = locks::channel(&self.spelling, self.process);
        let namespace = self.spelling.namespace();
        let link = Arc::new(Link::open(&self.deployment, namespace, Role::Control).await?);
        let shards = self.shards.clone();
        let locks = RedisLocks::new(link, self.spelling, &self.label, shards.clone());
        let give_back = move |key, token| jobs.hand_on(key, token);
        let listening = async move {
            match shards {
                Some(shards) => shards.run(waiters, give_back).await,
                None => subscriber::run(dialer, channel, waiters, give_back).await,
            }
        };
        Ok((locks, listening))
    }
}
