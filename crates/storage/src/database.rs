//! The pool, and the one way to open a transaction.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::{BuildError, Object, Pool};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rustls::ClientConfig;
use tokio::runtime::Handle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::StorageError;

/// How to reach PostgreSQL.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// `postgres://user:password@host:port/database`.
    pub url: String,
    /// Connections at most; 4 to 8 per process serve thousands of transactions a second.
    pub pool_size: usize,
    /// How long a caller waits for a free connection.
    pub wait: Duration,
}

/// A connection on loan from the pool. Open a transaction by `(*conn).transaction(async |tx| …)`;
/// after an error of the commit itself nobody knows whether it took effect, so whatever runs in one
/// must be idempotent by a key.
pub type Pooled = Object<AsyncPgConnection>;

/// Hands out connections; cheap to clone.
#[derive(Clone)]
pub struct Database {
    pool: Pool<AsyncPgConnection>,
}

impl Database {
    /// Makes the pool. Connects lazily: a server that is away is no error here.
    ///
    /// # Errors
    ///
    /// When the options make no pool.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(options: DatabaseOptions) -> Result<Self, BuildError> {
        let mut config = ManagerConfig::default();
        // A connection lives on the runtime that made the pool: actix's workers have runtimes of their
        // own, and a connection driven by one of them would die with it.
        let home = Handle::current();
        config.custom_setup = Box::new(move |url| {
            let url = url.to_owned();
            let opening = home.spawn(async move { establish(&url).await });
            opening.map(|opened| opened.unwrap_or_else(|error| Err(bad_connection(&error)))).boxed()
        });
        // A dead connection is noticed by the query that uses it, and that query is retried anyway:
        // no extra round trip for every checkout.
        config.recycling_method = RecyclingMethod::Fast;
        let manager = AsyncDieselConnectionManager::new_with_config(options.url, config);
        let pool = Pool::builder(manager)
            .max_size(options.pool_size)
            .wait_timeout(Some(options.wait))
            .create_timeout(Some(options.wait))
            .runtime(deadpool::Runtime::Tokio1)
            .build()?;
        Ok(Self { pool })
    }

    /// The pool itself, for who runs statements of its own.
    pub fn into_pool(self) -> Pool<AsyncPgConnection> {
        self.pool
    }

    /// Waits for a free connection.
    ///
    /// # Errors
    ///
    /// [`StorageError::Pool`] when none is free in time or the server is away.
    pub async fn connection(&self) -> Result<Pooled, StorageError> {
        Ok(self.pool.get().await?)
    }

    /// A connection of one's own, closed when it is dropped: for temporary tables and settings that must
    /// not meet the next borrower. The pool opens another one in its place.
    ///
    /// # Errors
    ///
    /// As [`Self::connection`].
    pub async fn session(&self) -> Result<AsyncPgConnection, StorageError> {
        Ok(Object::take(self.pool.get().await?))
    }
}

/// Settings every session has: a statement that hangs must not hold its locks for ever.
const SESSION: &str = "-c statement_timeout=15s -c lock_timeout=5s \
                       -c idle_in_transaction_session_timeout=20s -c lc_messages=C";

/// Connects: with verified TLS where the server offers it (`sslmode=require` insists on it, `disable`
/// refuses it). On the loopback interface `prefer` means plain: there is nobody to hide from, and
/// Debian's PostgreSQL offers a self-made certificate there that cannot be verified.
fn establish(url: &str) -> BoxFuture<'_, ConnectionResult<AsyncPgConnection>> {
    async move {
        let mut config = tokio_postgres::Config::from_str(url)
            .map_err(|error| ConnectionError::InvalidConnectionUrl(error.to_string()))?;
        let options = match config.get_options() {
            Some(given) => format!("{SESSION} {given}"),
            None => SESSION.to_owned(),
        };
        config.options(options).application_name("switchyard");
        if config.get_ssl_mode() == SslMode::Prefer && config.get_hosts().iter().all(is_local) {
            config.ssl_mode(SslMode::Disable);
        }
        let (client, connection) =
            config.connect(tls()).await.map_err(|error| bad_connection(&error))?;
        AsyncPgConnection::try_from_client_and_connection(client, connection).await
    }
    .boxed()
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
    }
}

fn bad_connection(error: &(dyn std::error::Error + 'static)) -> ConnectionError {
    ConnectionError::BadConnection(kernel::chain(error).to_string())
}

fn tls() -> MakeRustlsConnect {
    use std::sync::OnceLock;
    static CONFIG: OnceLock<ClientConfig> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let mut roots = rustls::RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        // A certificate that cannot be read only narrows whom we trust.
        roots.add_parsable_certificates(native.certs);
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        #[expect(clippy::expect_used, reason = "ring supports the default protocol versions")]
        ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("default TLS versions")
            .with_root_certificates(roots)
            .with_no_client_auth()
    });
    MakeRustlsConnect::new(config.clone())
}
