//! What operators' work is done with, and by whom.

use std::sync::Arc;
use std::time::Duration;

use coordination::Coordination;
use kernel::Clock;
use storage::Database;
use tokio::time::{Instant, sleep};

/// How long a store may be away before an operator is told: a connection that was late is made anew, and
/// a process that has just started learns where a class's locks are kept.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two questions meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

/// What the service works with.
#[derive(Clone)]
pub struct Dependencies {
    /// The product's database.
    pub db: Database,
    /// Locks and limits. A connection of its own: an operator's search through all keys, when it is
    /// late, must not make those who work believe that Redis is away.
    pub coordination: Coordination,
    /// The installation's default limits.
    pub limits: settings::Limits,
    /// Decides how long a change with an end lasts.
    pub clock: Arc<dyn Clock>,
}

/// Looks at an installation and acts on it; mounted as `web::Data` for [`crate::routes`].
#[derive(Clone)]
pub struct Desk {
    pub(crate) db: Database,
    pub(crate) coordination: Coordination,
    pub(crate) defaults: settings::Limits,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Makes the desk. It only answers: nothing runs in the background.
pub fn start(dependencies: Dependencies) -> Desk {
    let Dependencies { db, coordination, limits, clock } = dependencies;
    Desk { db, coordination, defaults: limits, clock }
}

/// Who acts, for the audit log.
#[derive(Clone, Debug)]
pub struct Actor {
    /// An API key, or a person at a command line.
    pub name: String,
    /// The request, if it came by HTTP.
    pub request_id: Option<String>,
}

/// Asks again for a moment while a store is away.
pub(crate) async fn patiently<T, E>(mut ask: impl AsyncFnMut() -> Result<T, E>) -> Result<T, E> {
    let begun = Instant::now();
    loop {
        match ask().await {
            Err(_) if begun.elapsed() < PATIENCE => sleep(PAUSE).await,
            answer => return answer,
        }
    }
}
