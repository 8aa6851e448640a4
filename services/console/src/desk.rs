//! What operators' work is done with, and by whom.

use std::sync::Arc;

use coordination::Coordination;
use kernel::Clock;
use storage::Database;

/// What the service works with.
#[derive(Clone)]
pub struct Dependencies {
    /// The product's database.
    pub db: Database,
    /// Locks and limits.
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
