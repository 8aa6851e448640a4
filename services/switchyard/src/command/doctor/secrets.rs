//! Secrets: those in the settings, and those the master key must open.

use kernel::chain;
use secrecy::ExposeSecret;
use settings::Settings;
use storage::sealed::{Column, Sealer};
use storage::{Database, StorageError, connections, meta_apps};

use super::Finding;
use crate::parts;
use kernel::{Clock, SystemClock};

const MASTER_KEY: &str = "Master key";
/// Findings beyond this many say nothing new.
const MOST: usize = 20;

/// What can be said of the secrets in the settings.
pub(super) fn of_settings(settings: &Settings) -> Vec<Finding> {
    let master_key = match parts::sealer(settings) {
        Ok(_) => Finding::ok(MASTER_KEY, "32 bytes"),
        Err(failure) => Finding::fail(MASTER_KEY, failure.to_string(), failure.fix),
    };
    let meta = &settings.meta;
    let token = meta.verify_token.as_ref().is_some_and(|token| !token.expose_secret().is_empty());
    let webhooks = match (meta.app_secrets().len(), token) {
        (0, _) => Finding::warn(
            "Webhooks",
            "no app secret: every webhook to /webhooks/whatsapp is refused",
            "set SWITCHYARD__META__APP_SECRET (Meta app dashboard, App settings, Basic)",
        ),
        (_, false) => Finding::warn(
            "Webhooks",
            "no verify token: Meta cannot verify the webhook's address",
            "set SWITCHYARD__META__VERIFY_TOKEN, and the same in Meta's app dashboard",
        ),
        (1, true) => Finding::ok("Webhooks", "app secret and verify token set"),
        (count, true) => {
            Finding::ok("Webhooks", format!("{count} app secrets (rotation), verify token set"))
        }
    };
    vec![master_key, webhooks]
}

/// Whether the master key opens what the database keeps; nothing when either is missing.
pub(super) async fn of_database(settings: &Settings) -> Vec<Finding> {
    let (Ok(db), Ok(sealer)) = (parts::database(settings), parts::sealer(settings)) else {
        return Vec::new();
    };
    match sealed(&db, &sealer).await {
        Ok(findings) => findings,
        // The line about PostgreSQL says why.
        Err(error) => {
            tracing::debug!(error = %chain(&error), "connections not looked at");
            Vec::new()
        }
    }
}

async fn sealed(db: &Database, sealer: &Sealer) -> Result<Vec<Finding>, StorageError> {
    let mut conn = db.connection().await?;
    let connections = connections::all(&mut conn).await?;
    let apps = meta_apps::all(&mut conn, SystemClock.now()).await?;
    let mut broken = Vec::new();
    for one in &connections {
        if sealer.open(one.workspace_id(), Column::AccessToken, &one.access_token_sealed).is_err() {
            broken.push(Finding::fail(
                format!("Connection {}", one.name),
                "its access token does not open with this master key",
                format!(
                    "restore the old security.master_key, or enter the token again: PATCH /v1/connections/{}",
                    one.id()
                ),
            ));
        }
    }
    for app in &apps {
        let opens = |column, sealed: &[u8]| sealer.open(app.workspace_id, column, sealed).is_ok();
        let all = opens(Column::VerifyToken, &app.verify_token_sealed)
            && app.secrets_sealed.iter().all(|secret| opens(Column::AppSecret, secret));
        if !all {
            broken.push(Finding::fail(
                format!("Meta app {}", app.slug),
                "its secrets do not open with this master key",
                "restore the old security.master_key, or enter the app's secrets again",
            ));
        }
    }
    broken.truncate(MOST);
    if broken.is_empty() {
        let detail =
            format!("{} connections, {} Meta apps: secrets open", connections.len(), apps.len());
        broken.push(Finding::ok("Connections", detail));
    }
    Ok(broken)
}
