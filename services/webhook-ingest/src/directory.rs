//! Which apps and connections there are, in memory.
//!
//! Invariants: a look-up never waits for the database; what was known goes on being used while the
//! database is away; a secret is opened once, not with every refresh.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use coordination::{Limit, LimitName};
use kernel::ids::ConnectionId;
use kernel::{Clock, chain};
use settings::{ExposeSecret, SecretString};
use storage::connections::{self, Connection};
use storage::meta_apps::{self, MetaApp};
use storage::sealed::{Column, Sealer};
use storage::{Database, StorageError};
use tokio::sync::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::app::App;

/// How old what is known may be, and how often strangers may make us look again.
const FRESH: Duration = Duration::from_secs(1);
/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// What becomes of events over R4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverLimit {
    /// They wait behind the others.
    SlowLane,
    /// The POST is refused and delivered again.
    Refuse,
}

/// What is known of a connection.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) id: ConnectionId,
    pub(crate) limit: Limit,
    pub(crate) over_limit: OverLimit,
}

/// Everything known at one moment.
#[derive(Default)]
pub(crate) struct Known {
    tenants: HashMap<String, Tenant>,
    /// By Meta's id of the number.
    lines: HashMap<String, Arc<Line>>,
}

impl Known {
    /// The connection of a number; of a number that nobody has connected, nothing.
    pub(crate) fn line(&self, phone_number_id: &str) -> Option<&Arc<Line>> {
        self.lines.get(phone_number_id)
    }
}

/// A tenant's app, with the ciphertexts that it was opened from.
struct Tenant {
    sealed: MetaApp,
    app: Arc<App>,
}

/// Where it all comes from.
pub(crate) struct Source {
    pub(crate) database: Database,
    pub(crate) sealer: Sealer,
    pub(crate) clock: Arc<dyn Clock>,
    /// R4 of connections that have none of their own.
    pub(crate) per_minute: u32,
}

/// The looks at the database, one at a time.
#[derive(Default)]
struct Looks {
    latest: Option<Instant>,
    latest_extra: Option<Instant>,
    is_failing: bool,
}

/// What is known, kept fresh.
pub(crate) struct Directory {
    default_app: Arc<App>,
    known: ArcSwap<Known>,
    looks: Mutex<Looks>,
    source: Source,
}

impl Directory {
    pub(crate) fn new(default_app: App, source: Source) -> Self {
        Self {
            default_app: Arc::new(default_app),
            known: ArcSwap::default(),
            looks: Mutex::default(),
            source,
        }
    }

    /// What is known now.
    pub(crate) fn known(&self) -> Arc<Known> {
        self.known.load_full()
    }

    /// The app at the address that ends in `slug`; without one, the installation's own.
    pub(crate) fn app(&self, slug: Option<&str>) -> Option<Arc<App>> {
        match slug {
            None => Some(Arc::clone(&self.default_app)),
            Some(slug) => self.known.load().tenants.get(slug).map(|known| Arc::clone(&known.app)),
        }
    }

    /// Looks once each second, until `stopping`.
    pub(crate) async fn keep_fresh(&self, stopping: CancellationToken) {
        let mut ticks = interval(FRESH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
            let mut looks = self.looks.lock().await;
            self.look(&mut looks).await;
        }
    }

    /// Looks at once because something is not known, unless strangers have made us do so within the
    /// last second.
    pub(crate) async fn look_again(&self) {
        let asked = Instant::now();
        let Ok(mut looks) = timeout(PATIENCE, self.looks.lock()).await else { return };
        // Somebody else's look that began after the question has answered it.
        let is_answered = looks.latest.is_some_and(|latest| latest >= asked);
        if is_answered || looks.latest_extra.is_some_and(|extra| extra.elapsed() < FRESH) {
            return;
        }
        looks.latest_extra = Some(asked);
        self.look(&mut looks).await;
    }

    async fn look(&self, looks: &mut Looks) {
        looks.latest = Some(Instant::now());
        let failure = match timeout(PATIENCE, self.load()).await {
            Ok(Ok(known)) => {
                self.known.store(Arc::new(known));
                None
            }
            Ok(Err(error)) => Some(chain(&error).to_string()),
            Err(elapsed) => Some(chain(&elapsed).to_string()),
        };
        match (&failure, looks.is_failing) {
            (Some(error), false) => {
                warn!(error, "apps and connections cannot be read, using those known before");
            }
            (None, true) => info!("apps and connections are read again"),
            _ => (),
        }
        looks.is_failing = failure.is_some();
    }

    async fn load(&self) -> Result<Known, StorageError> {
        let Source { database, clock, per_minute, .. } = &self.source;
        let mut conn = database.connection().await?;
        let apps = meta_apps::all(&mut conn, clock.now()).await?;
        let connections = connections::all(&mut conn).await?;
        let before = self.known.load();
        let tenants =
            apps.into_iter().map(|sealed| (sealed.slug.clone(), self.open(&before, sealed)));
        let lines = connections.iter().map(|connection| {
            let line = line_of(connection, *per_minute);
            (connection.phone_number_id().into_string(), Arc::new(line))
        });
        Ok(Known { tenants: tenants.collect(), lines: lines.collect() })
    }

    /// Opens an app's secrets, unless they are those that were open before.
    fn open(&self, before: &Known, sealed: MetaApp) -> Tenant {
        let same = before.tenants.get(&sealed.slug).filter(|known| {
            known.sealed.workspace_id == sealed.workspace_id
                && known.sealed.verify_token_sealed == sealed.verify_token_sealed
                && known.sealed.secrets_sealed == sealed.secrets_sealed
        });
        if let Some(known) = same {
            return Tenant { sealed, app: Arc::clone(&known.app) };
        }
        let secrets = sealed.secrets_sealed.iter();
        let secrets =
            secrets.filter_map(|secret| self.unsealed(&sealed, Column::AppSecret, secret));
        let app = App::of_tenant(
            sealed.workspace_id,
            self.unsealed(&sealed, Column::VerifyToken, &sealed.verify_token_sealed),
            secrets.collect(),
        );
        Tenant { sealed, app: Arc::new(app) }
    }

    fn unsealed(&self, app: &MetaApp, column: Column, sealed: &[u8]) -> Option<SecretString> {
        match self.source.sealer.open(app.workspace_id, column, sealed) {
            Ok(secret) if secret.expose_secret().is_empty() => {
                error!(app.id = %app.id, ?column, "a secret is empty and not used");
                None
            }
            Ok(secret) => Some(secret),
            Err(error) => {
                error!(app.id = %app.id, ?column, error = %chain(&error), "a secret is unusable");
                None
            }
        }
    }
}

fn line_of(connection: &Connection, default_per_minute: u32) -> Line {
    let own = connection.webhook_per_minute.and_then(|own| u32::try_from(own).ok());
    let own = own.filter(|own| *own > 0);
    let id = connection.id();
    let limit = Limit::of(LimitName::Webhook(id)).by_default(default_per_minute);
    Line {
        id,
        limit: match own {
            Some(own) => limit.at_most(own),
            None => limit,
        },
        over_limit: match connection.webhook_over_limit.as_str() {
            "refuse" => OverLimit::Refuse,
            _ => OverLimit::SlowLane,
        },
    }
}
