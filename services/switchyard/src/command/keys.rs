//! `keys create`: the first key of an installation, and of every workspace.

use diesel_async::AsyncConnection;
use kernel::ids::{ApiKeyId, WorkspaceId};
use kernel::{Clock, SystemClock};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use service::{Role, auth};
use settings::Settings;
use storage::api_keys::NewApiKey;
use storage::{Database, StorageError, api_keys, workspaces};

use crate::exit::{DATABASE_AWAY, Exit, Failure, OrFix};
use crate::parts;
use crate::screen::Screen;

/// Longer names are a mistake, and would not fit on a screen.
const LONGEST_NAME: usize = 100;

/// A key that was made; its text exists nowhere else.
pub(crate) struct Made {
    /// Its public part.
    pub(crate) id: ApiKeyId,
    /// The workspace it belongs to.
    pub(crate) workspace: WorkspaceId,
    /// What callers present.
    pub(crate) text: SecretString,
}

/// Makes a key and prints it alone on stdout. Needs neither broker nor Redis.
pub(crate) async fn create(screen: Screen, workspace: &str, role: Role) -> Result<Exit, Failure> {
    let name = workspace.trim();
    if name.is_empty() || name.chars().count() > LONGEST_NAME {
        let problem = anyhow::anyhow!("a workspace's name has 1 to {LONGEST_NAME} characters");
        return Err(Failure::new(problem, "give another --workspace").with(Exit::Usage));
    }
    let settings = Settings::load(&[])?.settings;
    let db = parts::database(&settings)?;
    parts::require_schema(&db).await?;
    let made = make(&db, name, role).await.or_fix(DATABASE_AWAY)?;
    let key = made.text.expose_secret();
    if screen.is_json {
        let workspace = json!({ "id": made.workspace, "name": name });
        screen.json(&json!({ "key": key, "id": made.id, "workspace": workspace, "role": role }));
    } else {
        screen.data(key);
    }
    screen.talk(&format!(
        "{} ({role}) for workspace `{name}` ({}). Keep it: it is not shown again.",
        made.id, made.workspace
    ));
    Ok(Exit::Done)
}

/// Makes a key in the workspace called `name`, which is made when it is missing.
pub(crate) async fn make(db: &Database, name: &str, role: Role) -> Result<Made, StorageError> {
    let minted = auth::mint();
    let now = SystemClock.now();
    let mut conn = db.connection().await?;
    let workspace = (*conn)
        .transaction(async |tx| {
            let workspace_id = workspaces::ensure(tx, name, now).await?;
            let key = NewApiKey {
                id: minted.id,
                workspace_id,
                role: role.as_str(),
                secret_sha256: minted.secret_sha256,
                last4: &minted.last4,
            };
            api_keys::insert(tx, key, now).await?;
            Ok::<_, StorageError>(workspace_id)
        })
        .await?;
    Ok(Made { id: minted.id, workspace, text: minted.text })
}
