//! Campaigns as rows.

use chrono::{DateTime, NaiveDateTime, NaiveTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel_async::RunQueryDsl;
use kernel::ids::{CampaignId, ConnectionId, WorkspaceId};
use serde_json::Value;
use storage::campaigns::standing::Status;
use storage::connections;
use storage::schema::campaigns;
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;

use super::ChangeError;

/// A campaign as stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = campaigns)]
pub(crate) struct Campaign {
    id: Uuid,
    connection_id: Uuid,
    pub(crate) name: String,
    status: String,
    pub(crate) reason_code: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) template: Value,
    pub(crate) audience: Value,
    pub(crate) on_uncertain: String,
    pub(crate) cap_messages: Option<i32>,
    pub(crate) cap_days: Option<i32>,
    pub(crate) scheduled_for: Option<NaiveDateTime>,
    pub(crate) time_zone: String,
    pub(crate) is_local_time: bool,
    pub(crate) quiet_from: Option<NaiveTime>,
    pub(crate) quiet_to: Option<NaiveTime>,
    pub(crate) ends_at: Option<DateTime<Utc>>,
    /// Raised by every edit, and whenever the status changes: the `ETag`.
    pub(crate) version: i64,
    pub(crate) next_look_at: Option<DateTime<Utc>>,
    pub(crate) waits_for: Option<String>,
    cloned_from: Option<Uuid>,
    pub(crate) created_by: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
}

impl Campaign {
    pub(crate) fn id(&self) -> CampaignId {
        CampaignId::from_uuid(self.id)
    }

    pub(crate) fn connection_id(&self) -> ConnectionId {
        ConnectionId::from_uuid(self.connection_id)
    }

    pub(crate) fn cloned_from(&self) -> Option<CampaignId> {
        self.cloned_from.map(CampaignId::from_uuid)
    }

    /// Where it stands. The table allows no other text.
    pub(crate) fn status(&self) -> Status {
        Status::read(&self.status).unwrap_or(Status::Failed)
    }
}

/// A draft to store.
#[derive(Clone, Debug)]
pub(crate) struct NewCampaign {
    pub(crate) connection: ConnectionId,
    pub(crate) name: String,
    pub(crate) template: Value,
    pub(crate) audience: Value,
    pub(crate) on_uncertain: String,
    pub(crate) cap: Option<(i32, i32)>,
    pub(crate) ends_at: Option<DateTime<Utc>>,
    pub(crate) cloned_from: Option<CampaignId>,
    pub(crate) created_by: String,
}

/// What to change; `None` leaves a column as it is, `Some(None)` empties it.
#[derive(Clone, Debug, Default, AsChangeset)]
#[diesel(table_name = campaigns)]
pub(crate) struct Changes {
    pub(crate) connection_id: Option<Uuid>,
    pub(crate) name: Option<String>,
    pub(crate) template: Option<Value>,
    pub(crate) audience: Option<Value>,
    pub(crate) on_uncertain: Option<&'static str>,
    pub(crate) cap_messages: Option<Option<i32>>,
    pub(crate) cap_days: Option<Option<i32>>,
    pub(crate) ends_at: Option<Option<DateTime<Utc>>>,
    pub(crate) status: Option<&'static str>,
    pub(crate) scheduled_for: Option<Option<NaiveDateTime>>,
    pub(crate) time_zone: Option<String>,
    pub(crate) is_local_time: Option<bool>,
    pub(crate) quiet_from: Option<Option<NaiveTime>>,
    pub(crate) quiet_to: Option<Option<NaiveTime>>,
    pub(crate) next_look_at: Option<Option<DateTime<Utc>>>,
    pub(crate) waits_for: Option<Option<String>>,
    pub(crate) started_at: Option<DateTime<Utc>>,
}

/// Which campaigns a list shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Any of these; empty for all.
    pub(crate) statuses: Vec<Status>,
    pub(crate) connection: Option<ConnectionId>,
    /// A part of the name, in whatever case.
    pub(crate) name_part: Option<String>,
    pub(crate) created_after: Option<DateTime<Utc>>,
    pub(crate) created_before: Option<DateTime<Utc>>,
    /// Only what sorts behind it: the list's next page.
    pub(crate) before: Option<CampaignId>,
}

/// Refuses a connection that is not the workspace's, or has ended.
pub(crate) async fn require_connection(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    connection: ConnectionId,
) -> Result<(), ChangeError> {
    match connections::find(tx, workspace, connection).await? {
        Some(_) => Ok(()),
        None => Err(ChangeError::UnknownConnection),
    }
}

/// Stores a draft.
pub(crate) async fn insert(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    new: NewCampaign,
    now: DateTime<Utc>,
) -> Result<Campaign, ChangeError> {
    require_connection(tx, workspace, new.connection).await?;
    Ok(diesel::insert_into(campaigns::table)
        .values((
            campaigns::id.eq(CampaignId::new().as_uuid()),
            campaigns::workspace_id.eq(workspace.as_uuid()),
            campaigns::connection_id.eq(new.connection.as_uuid()),
            campaigns::name.eq(new.name),
            campaigns::status.eq(Status::Draft.as_str()),
            campaigns::template.eq(new.template),
            campaigns::audience.eq(new.audience),
            campaigns::on_uncertain.eq(new.on_uncertain),
            campaigns::cap_messages.eq(new.cap.map(|(messages, _)| messages)),
            campaigns::cap_days.eq(new.cap.map(|(_, days)| days)),
            campaigns::ends_at.eq(new.ends_at),
            campaigns::cloned_from.eq(new.cloned_from.map(|id| id.as_uuid())),
            campaigns::created_by.eq(new.created_by),
            campaigns::created_at.eq(now),
            campaigns::updated_at.eq(now),
        ))
        .returning(Campaign::as_returning())
        .get_result(tx)
        .await?)
}

/// One campaign of a workspace.
pub(crate) async fn find(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: CampaignId,
) -> Result<Option<Campaign>, StorageError> {
    Ok(campaigns::table
        .filter(campaigns::workspace_id.eq(workspace.as_uuid()))
        .filter(campaigns::id.eq(id.as_uuid()))
        .select(Campaign::as_select())
        .first(conn)
        .await
        .optional()?)
}

/// One campaign of a workspace, locked until the transaction ends. `expected` is the version the
/// caller has read, if they told.
pub(crate) async fn lock(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: CampaignId,
    expected: Option<i64>,
) -> Result<Campaign, ChangeError> {
    let found: Option<Campaign> = campaigns::table
        .filter(campaigns::workspace_id.eq(workspace.as_uuid()))
        .filter(campaigns::id.eq(id.as_uuid()))
        .for_update()
        .select(Campaign::as_select())
        .first(tx)
        .await
        .optional()?;
    let campaign = found.ok_or(ChangeError::NotFound)?;
    if expected.is_some_and(|expected| campaign.version != expected) {
        return Err(ChangeError::Stale);
    }
    Ok(campaign)
}

/// Changes a campaign that is locked, and raises its version.
pub(crate) async fn update(
    tx: &mut AsyncPgConnection,
    id: CampaignId,
    changes: Changes,
    now: DateTime<Utc>,
) -> Result<Campaign, ChangeError> {
    Ok(diesel::update(campaigns::table.find(id.as_uuid()))
        .set((
            changes,
            campaigns::version.eq(campaigns::version + 1),
            campaigns::updated_at.eq(now),
        ))
        .returning(Campaign::as_returning())
        .get_result(tx)
        .await?)
}

/// Deletes a campaign that is locked; what was uploaded for it goes, too.
pub(crate) async fn delete(tx: &mut AsyncPgConnection, id: CampaignId) -> Result<(), StorageError> {
    diesel::delete(campaigns::table.find(id.as_uuid())).execute(tx).await?;
    Ok(())
}

/// Lists a workspace's campaigns, newest first.
pub(crate) async fn list(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    filter: Filter,
    limit: i64,
) -> Result<Vec<Campaign>, StorageError> {
    let mut query = campaigns::table
        .filter(campaigns::workspace_id.eq(workspace.as_uuid()))
        .order(campaigns::id.desc())
        .limit(limit)
        .select(Campaign::as_select())
        .into_boxed();
    if !filter.statuses.is_empty() {
        let statuses = filter.statuses.into_iter().map(Status::as_str);
        query = query.filter(campaigns::status.eq_any(statuses.collect::<Vec<_>>()));
    }
    if let Some(connection) = filter.connection {
        query = query.filter(campaigns::connection_id.eq(connection.as_uuid()));
    }
    if let Some(part) = filter.name_part {
        let contains =
            sql::<Bool>("strpos(lower(campaigns.name), lower(").bind::<Text, _>(part).sql(")) > 0");
        query = query.filter(contains);
    }
    if let Some(after) = filter.created_after {
        query = query.filter(campaigns::created_at.ge(after));
    }
    if let Some(before) = filter.created_before {
        query = query.filter(campaigns::created_at.lt(before));
    }
    if let Some(before) = filter.before {
        query = query.filter(campaigns::id.lt(before.as_uuid()));
    }
    Ok(query.load(conn).await?)
}
