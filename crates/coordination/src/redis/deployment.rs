//! How this installation's Redis is deployed, and how its connections are made.

use std::time::Duration;

use deadpool_redis::redis::aio::{ConnectionLike, MultiplexedConnection};
use deadpool_redis::redis::cluster::{ClusterClient, ClusterClientBuilder};
use deadpool_redis::redis::cluster_async::ClusterConnection;
use deadpool_redis::redis::sentinel::{
    SentinelClient, SentinelNodeConnectionInfo, SentinelServerType,
};
use deadpool_redis::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, IntoConnectionInfo as _, Pipeline,
    RedisError, RedisFuture, RedisResult, TlsMode, Value,
};
use deadpool_redis::{Connection as Pooled, Manager, Pool, PoolError};
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::ConnectError;

/// The most one dial takes, TLS included. Callers never dial.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Where Redis is, and what kind of installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deployment {
    /// One primary.
    Single {
        /// `redis://` or `rediss://`.
        url: String,
    },
    /// A primary that Sentinel names; asked anew whenever a connection is made.
    Sentinel {
        /// The sentinels; user, password and TLS of the first are those of the servers, too.
        urls: Vec<String>,
        /// What the sentinels call the primary.
        master: String,
    },
    /// A Redis Cluster, 7.0 or newer: a released lock is announced by shard.
    Cluster {
        /// Some of its nodes.
        urls: Vec<String>,
    },
}

impl From<&str> for Deployment {
    fn from(url: &str) -> Self {
        Self::Single { url: url.to_owned() }
    }
}

/// A connection that many callers share; cheap to clone.
#[derive(Clone)]
pub(crate) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(one) => one.req_packed_command(cmd),
            Self::Cluster(cluster) => cluster.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(one) => one.req_packed_commands(pipeline, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(one) => one.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}

/// Why no connection was made.
#[derive(Debug, Error)]
pub(crate) enum DialError {
    #[error("no connection to Redis")]
    Pool(#[from] PoolError),
    #[error("no connection to Redis")]
    Failed(#[from] RedisError),
    #[error("Redis can not be reached in time")]
    TimedOut(#[from] Elapsed),
}

/// Makes connections.
pub(crate) enum Dialer {
    Single { pool: Pool, client: Box<Client> },
    Sentinel(Box<Mutex<SentinelClient>>),
    Cluster(Box<ClusterClient>),
}

impl Dialer {
    pub(crate) fn new(deployment: &Deployment) -> Result<Self, ConnectError> {
        match deployment {
            Deployment::Single { url } => {
                let manager = Manager::new_with_config(url.as_str(), config())
                    .map_err(ConnectError::Address)?;
                let pool = Pool::builder(manager).max_size(1).build()?;
                let client = Client::open(url.as_str()).map_err(ConnectError::Address)?;
                Ok(Self::Single { pool, client: Box::new(client) })
            }
            Deployment::Sentinel { urls, master } => {
                let client = sentinel(urls, master).map_err(ConnectError::Address)?;
                Ok(Self::Sentinel(Box::new(Mutex::new(client))))
            }
            Deployment::Cluster { urls } => {
                let client = cluster(urls).build().map_err(ConnectError::Address)?;
                Ok(Self::Cluster(Box::new(client)))
            }
        }
    }

    pub(crate) const fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    pub(crate) async fn dial(&self) -> Result<Connection, DialError> {
        match self {
            Self::Single { pool, .. } => Ok(Connection::One(Pooled::take(pool.get().await?))),
            Self::Sentinel(client) => {
                let client = self.current(client).await?;
                let config = config();
                let connection = client.get_multiplexed_async_connection_with_config(&config);
                Ok(Connection::One(connection.await?))
            }
            Self::Cluster(client) => Ok(Connection::Cluster(
                timeout(DIAL_TIMEOUT, client.get_async_connection()).await??,
            )),
        }
    }

    /// The server that takes subscriptions; `None` on a cluster, where each shard does.
    pub(crate) async fn server(&self) -> Result<Option<Client>, DialError> {
        match self {
            Self::Single { client, .. } => Ok(Some(Client::clone(client))),
            Self::Sentinel(client) => Ok(Some(self.current(client).await?)),
            Self::Cluster(_) => Ok(None),
        }
    }

    /// The primary that the sentinels name now.
    async fn current(&self, client: &Mutex<SentinelClient>) -> Result<Client, DialError> {
        let asked = async { client.lock().await.async_get_client().await };
        Ok(timeout(DIAL_TIMEOUT, asked).await??)
    }
}

/// How a cluster's connections are made.
pub(crate) fn cluster(urls: &[String]) -> ClusterClientBuilder {
    ClusterClientBuilder::new(urls.iter().map(String::as_str))
        .connection_timeout(DIAL_TIMEOUT)
        .response_timeout(DIAL_TIMEOUT)
        .retries(2)
}

fn sentinel(urls: &[String], master: &str) -> RedisResult<SentinelClient> {
    let mut node = SentinelNodeConnectionInfo::default();
    if let Some(first) = urls.first() {
        let first = first.as_str().into_connection_info()?;
        node = node.set_redis_connection_info(first.redis_settings().clone());
        if matches!(first.addr(), ConnectionAddr::TcpTls { .. }) {
            node = node.set_tls_mode(TlsMode::Secure);
        }
    }
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    SentinelClient::build(urls, master, Some(node), SentinelServerType::Master)
}

/// Our own time-out spans the reload of a script as well, so the connection's is off.
fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(DIAL_TIMEOUT))
        .set_response_timeout(None)
}
