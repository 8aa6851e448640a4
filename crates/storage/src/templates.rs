//! What services tell each other about templates; everything else about them belongs to service
//! template-sync.
//!
//! Invariant: news about a template are written down in the transaction that keeps the webhook, so
//! that none is lost between the two services.

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{CampaignId, ConnectionId, WorkspaceId};
use kernel::{WabaId, statement};
use uuid::Uuid;

use crate::StorageError;

/// The webhook fields that tell of templates (Meta, webhooks reference, May 2026).
const FIELDS: [&str; 5] = [
    "message_template_status_update",
    "message_template_quality_update",
    "message_template_components_update",
    "template_category_update",
    "template_correct_category_detection",
];

/// Whether a webhook field tells of a template.
pub fn is_news(field: &str) -> bool {
    FIELDS.contains(&field)
}

/// A webhook that tells of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The webhook record that holds it.
    pub event_id: Uuid,
    /// The account whose template it is.
    pub waba_id: String,
    /// The workspace whose own Meta app signed it, and which alone it concerns.
    pub app_workspace_id: Option<WorkspaceId>,
}

statement! {
    Report(ids: Vec<Uuid>, wabas: Vec<String>, apps: Vec<Option<Uuid>>) -> () {
        "INSERT INTO template_news (event_id, waba_id, app_workspace_id) SELECT * FROM unnest("
        [ids: Array<sql_types::Uuid>] ", " [wabas: Array<Text>] ", "
        [apps: Array<Nullable<sql_types::Uuid>>] ") ON CONFLICT DO NOTHING"
    }
}

/// Leaves news for whoever keeps the templates.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn report(tx: &mut AsyncPgConnection, news: &[News]) -> Result<(), StorageError> {
    if news.is_empty() {
        return Ok(());
    }
    let report = Report {
        ids: news.iter().map(|news| news.event_id).collect(),
        wabas: news.iter().map(|news| news.waba_id.clone()).collect(),
        apps: news.iter().map(|news| news.app_workspace_id.map(|id| id.as_uuid())).collect(),
    };
    report.execute(tx).await?;
    Ok(())
}

/// Where a template stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Meta's word; `DELETED` when it is gone.
    pub status: String,
    /// As of when.
    pub since: DateTime<Utc>,
}

impl Standing {
    /// Whether Meta takes messages of it.
    pub fn is_sendable(&self) -> bool {
        self.status == "APPROVED"
    }
}

statement! {
    Stand(workspace: Uuid, connection: Uuid, name: String, language: String) -> (Text, Timestamptz) {
        "SELECT CASE WHEN t.deleted_at IS NULL THEN t.status ELSE 'DELETED' END, \
            coalesce(t.deleted_at, t.status_at) FROM templates t \
         JOIN connections c ON c.workspace_id = t.workspace_id AND c.waba_id = t.waba_id \
         WHERE t.workspace_id = " [workspace: sql_types::Uuid] " AND c.id = "
        [connection: sql_types::Uuid] " AND t.name = " [name: Text] " AND t.language = "
        [language: Text] " ORDER BY t.deleted_at IS NULL DESC, t.status = 'APPROVED' DESC, \
            t.id DESC LIMIT 1"
    }
}

/// Where a template of a connection's account stands; `None` when nobody has heard of it, which says
/// nothing: the account may never have been synced.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn standing(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    connection: ConnectionId,
    name: &str,
    language: &str,
) -> Result<Option<Standing>, StorageError> {
    let stand = Stand {
        workspace: workspace.as_uuid(),
        connection: connection.as_uuid(),
        name: name.to_owned(),
        language: language.to_owned(),
    };
    let rows: Vec<(String, DateTime<Utc>)> = stand.load(conn).await?;
    Ok(rows.into_iter().next().map(|(status, since)| Standing { status, since }))
}

/// A campaign that sends a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The number it sends from.
    pub connection_id: ConnectionId,
    /// The template's name.
    pub name: String,
    /// The template's language.
    pub language: String,
}

statement! {
    AtWork(workspace: Uuid, waba: String, names: Vec<String>, languages: Vec<String>)
    -> (sql_types::Uuid, sql_types::Uuid, Text, Text) {
        "SELECT c.id, c.connection_id, s.name, s.language FROM campaigns c \
         JOIN connections l ON l.id = c.connection_id AND l.waba_id = " [waba: Text]
        " JOIN unnest(" [names: Array<Text>] ", " [languages: Array<Text>]
        ") AS s (name, language) ON s.name = c.template ->> 'name' AND s.language = c.template ->> 'language' \
         WHERE c.workspace_id = " [workspace: sql_types::Uuid]
        " AND c.status IN ('preparing', 'running') AND NOT EXISTS (SELECT 1 FROM templates t \
            WHERE t.workspace_id = c.workspace_id AND t.waba_id = l.waba_id AND t.name = s.name \
            AND t.language = s.language AND t.status = 'APPROVED' AND t.deleted_at IS NULL) ORDER BY c.id"
    }
}

/// Campaigns at work that send one of the templates, each a name with its language, of which none is
/// approved any more.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn campaigns_at_work(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    waba: &WabaId,
    templates: Vec<(String, String)>,
) -> Result<Vec<Sending>, StorageError> {
    if templates.is_empty() {
        return Ok(Vec::new());
    }
    let (names, languages) = templates.into_iter().unzip();
    let at_work =
        AtWork { workspace: workspace.as_uuid(), waba: waba.as_str().to_owned(), names, languages };
    let rows: Vec<(Uuid, Uuid, String, String)> = at_work.load(tx).await?;
    let sending = |(campaign, connection, name, language)| Sending {
        campaign_id: CampaignId::from_uuid(campaign),
        connection_id: ConnectionId::from_uuid(connection),
        name,
        language,
    };
    Ok(rows.into_iter().map(sending).collect())
}
