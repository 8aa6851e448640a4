//! Numbers given as a file, until the audience is frozen.
//!
//! Invariant: only a file that was read to its end counts. `audience.upload` is taken away when a
//! file begins and set when it has ended; each step sees that nothing else happened to the campaign
//! since the file began, so of two files sent at once one is used, whole. Lines below zero are not of a
//! file: freezing puts the audience's own list of numbers there.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, Bool, Integer, Jsonb, Nullable, Text};
use diesel_async::RunQueryDsl;
use kernel::WaId;
use kernel::ids::{CampaignId, WorkspaceId};
use kernel::statement;
use serde_json::Value;
use storage::campaigns::standing::Status;
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;

use super::ChangeError;
use super::campaigns::{self, Campaign, Changes};

/// The member of an audience that says: the uploaded file, too.
const UPLOAD: &str = "upload";

/// A person of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    /// Where in the file, counted from 1.
    pub(crate) line: i32,
    pub(crate) wa_id: WaId,
    pub(crate) name: Option<String>,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// A file that is being read; what the campaign's version must still be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    workspace: WorkspaceId,
    campaign: CampaignId,
    version: i64,
}

statement! {
    Clear(campaign: Uuid) -> () {
        "DELETE FROM campaign_uploads WHERE campaign_id = " [campaign: sql_types::Uuid]
    }
}

statement! {
    Add(
        campaign: Uuid,
        lines: Vec<i32>,
        wa_ids: Vec<String>,
        names: Vec<Option<String>>,
        attributes: Vec<Value>,
    ) -> () {
        "INSERT INTO campaign_uploads (campaign_id, line, wa_id, name, attributes) SELECT "
        [campaign: sql_types::Uuid] ", s.* FROM unnest(" [lines: Array<Integer>] ", "
        [wa_ids: Array<Text>] ", " [names: Array<Nullable<Text>>] ", " [attributes: Array<Jsonb>]
        ") AS s"
    }
}

/// Begins a file: what was uploaded before is gone.
pub(crate) async fn begin(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: CampaignId,
    expected: Option<i64>,
    now: DateTime<Utc>,
) -> Result<Begun, ChangeError> {
    let campaign = campaigns::lock(tx, workspace, id, expected).await?;
    require_editable(&campaign)?;
    Clear { campaign: id.as_uuid() }.execute(tx).await?;
    let changed = with_upload(tx, &campaign, None, now).await?;
    Ok(Begun { workspace, campaign: id, version: changed.version })
}

/// Adds people of the file.
pub(crate) async fn add(
    tx: &mut AsyncPgConnection,
    begun: Begun,
    people: Vec<Person>,
) -> Result<(), ChangeError> {
    still(tx, begun).await?;
    let add = Add {
        campaign: begun.campaign.as_uuid(),
        lines: people.iter().map(|person| person.line).collect(),
        wa_ids: people.iter().map(|person| person.wa_id.as_str().to_owned()).collect(),
        names: people.iter().map(|person| person.name.clone()).collect(),
        attributes: people.into_iter().map(|person| attributes(person.attributes)).collect(),
    };
    add.execute(tx).await?;
    Ok(())
}

/// Ends a file: it counts from now on.
pub(crate) async fn finish(
    tx: &mut AsyncPgConnection,
    begun: Begun,
    now: DateTime<Utc>,
) -> Result<Campaign, ChangeError> {
    let campaign = still(tx, begun).await?;
    with_upload(tx, &campaign, Some(Value::Bool(true)), now).await
}

statement! {
    Any(campaign: Uuid) -> Bool {
        "SELECT EXISTS (SELECT 1 FROM campaign_uploads WHERE campaign_id = "
        [campaign: sql_types::Uuid] " AND line >= 0)"
    }
}

/// Whether anybody was uploaded.
pub(crate) async fn any(
    conn: &mut AsyncPgConnection,
    campaign: CampaignId,
) -> Result<bool, StorageError> {
    Ok(Any { campaign: campaign.as_uuid() }.get_result(conn).await?)
}

/// Refuses a campaign whose audience cannot change any more.
pub(crate) fn require_editable(campaign: &Campaign) -> Result<(), ChangeError> {
    match campaign.status() {
        Status::Draft | Status::Scheduled => Ok(()),
        status => Err(ChangeError::Conflict {
            status,
            advice: "After the start only its name and its end can be changed. Clone it instead.",
        }),
    }
}

async fn still(tx: &mut AsyncPgConnection, begun: Begun) -> Result<Campaign, ChangeError> {
    let locked = campaigns::lock(tx, begun.workspace, begun.campaign, Some(begun.version)).await;
    locked.map_err(|error| match error {
        ChangeError::Stale | ChangeError::NotFound => ChangeError::Overtaken,
        other => other,
    })
}

async fn with_upload(
    tx: &mut AsyncPgConnection,
    campaign: &Campaign,
    value: Option<Value>,
    now: DateTime<Utc>,
) -> Result<Campaign, ChangeError> {
    let mut audience = campaign.audience.clone();
    if let Some(members) = audience.as_object_mut() {
        members.remove(UPLOAD);
        members.extend(value.map(|value| (UPLOAD.to_owned(), value)));
    }
    let changes = Changes { audience: Some(audience), ..Changes::default() };
    campaigns::update(tx, campaign.id(), changes, now).await
}

fn attributes(attributes: BTreeMap<String, String>) -> Value {
    attributes.into_iter().map(|(name, value)| (name, Value::String(value))).collect()
}

/// Which recipients a clone is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// Those whose message failed.
    Failed,
    /// Those who were skipped, for whatever reason; whoever opted out is skipped again.
    Skipped,
    /// Those whose message was accepted and has not been read.
    NotRead,
}

impl Chosen {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::NotRead => "not_read",
        }
    }
}

statement! {
    Copy(to: Uuid, from: Uuid, chosen: &'static str) -> () {
        "INSERT INTO campaign_uploads (campaign_id, line, wa_id) SELECT " [to: sql_types::Uuid]
        ", r.n, r.recipient FROM campaign_recipients r \
         LEFT JOIN outbound_messages o ON o.id = r.id \
         LEFT JOIN campaign_chunks k ON k.campaign_id = r.campaign_id AND k.chunk = r.chunk \
         WHERE r.campaign_id = " [from: sql_types::Uuid]
        " AND r.recipient_kind = 'number' AND r.recipient <> '' AND CASE " [chosen: Text]
        " WHEN 'failed' THEN o.state = 'failed' \
          WHEN 'not_read' THEN o.state IN ('accepted', 'expired') AND o.read_at IS NULL \
          ELSE r.skip_reason IS NOT NULL OR o.state = 'cancelled' \
          OR (o.id IS NULL AND k.state IN ('cancelled', 'too_late')) END"
    }
}

/// Gives campaign `to` the numbers of those recipients of `from`; returns how many. Both are the
/// caller's. People without a number cannot be given by one, and are left out.
pub(crate) async fn copy(
    tx: &mut AsyncPgConnection,
    from: CampaignId,
    to: CampaignId,
    chosen: Chosen,
) -> Result<usize, StorageError> {
    let copy = Copy { to: to.as_uuid(), from: from.as_uuid(), chosen: chosen.as_str() };
    Ok(copy.execute(tx).await?)
}

statement! {
    CopyFile(to: Uuid, from: Uuid) -> () {
        "INSERT INTO campaign_uploads SELECT " [to: sql_types::Uuid]
        ", line, wa_id, name, attributes FROM campaign_uploads WHERE campaign_id = "
        [from: sql_types::Uuid] " AND line >= 0"
    }
}

/// Gives campaign `to` the file of `from`. Both are the caller's.
pub(crate) async fn copy_file(
    tx: &mut AsyncPgConnection,
    from: CampaignId,
    to: CampaignId,
) -> Result<(), StorageError> {
    CopyFile { to: to.as_uuid(), from: from.as_uuid() }.execute(tx).await?;
    Ok(())
}
