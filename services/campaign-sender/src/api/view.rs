//! Reads campaigns with their numbers, so that what is shown together was true together.
//!
//! Invariant: status and counts of an answer come from one snapshot of the database.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use kernel::ids::{CampaignId, ConnectionId};
use service::{Caller, Problem};
use storage::campaigns::standing::Status;
use storage::campaigns::{Numbers, numbers};
use storage::connections::{self, Connection};
use storage::{AsyncPgConnection, StorageError};

use super::Api;
use super::progress::{Pace, Window};
use super::shown::Shown;
use super::why::Quota;
use crate::store::campaigns::{self, Campaign, Filter};
use crate::store::pace;

/// A campaign as it was at one moment, and what it depends on.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) campaign: Campaign,
    pub(super) numbers: Numbers,
    /// `None` when its connection has ended.
    pub(super) connection: Option<Connection>,
    pub(super) pace: Pace,
    /// Whether messages have been ready for a minute and nobody took one.
    pub(super) is_stuck: bool,
    /// What its connection's limit says; asked for running campaigns only.
    pub(super) quota: Option<Quota>,
    pub(super) now: DateTime<Utc>,
}

/// One campaign of the caller's workspace.
pub(super) async fn one(api: &Api, caller: &Caller, id: CampaignId) -> Result<Shown, Problem> {
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    let seen = conn
        .build_transaction()
        .read_only()
        .repeatable_read()
        .run(async |tx| {
            let campaign = campaigns::find(tx, caller.workspace, id).await?;
            see(tx, campaign.into_iter().collect(), caller, now).await
        })
        .await?;
    drop(conn);
    let shown = show(api, caller, seen).await.pop();
    shown.ok_or_else(Problem::not_found)
}

/// Up to `limit` campaigns of the caller's workspace, newest first.
pub(super) async fn list(
    api: &Api,
    caller: &Caller,
    filter: Filter,
    limit: i64,
) -> Result<Vec<Shown>, Problem> {
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    let seen = conn
        .build_transaction()
        .read_only()
        .repeatable_read()
        .run(async |tx| {
            let found = campaigns::list(tx, caller.workspace, filter, limit).await?;
            see(tx, found, caller, now).await
        })
        .await?;
    drop(conn);
    Ok(show(api, caller, seen).await)
}

async fn see(
    tx: &mut AsyncPgConnection,
    found: Vec<Campaign>,
    caller: &Caller,
    now: DateTime<Utc>,
) -> Result<Vec<Seen>, StorageError> {
    let ids: Vec<CampaignId> = found.iter().map(Campaign::id).collect();
    let mut numbers = numbers(tx, &ids).await?;
    let running: Vec<CampaignId> = found
        .iter()
        .filter(|campaign| campaign.status() == Status::Running)
        .map(Campaign::id)
        .collect();
    let window = Window::before(now);
    let (mut ended, mut waiting) = (HashMap::new(), Vec::new());
    if !running.is_empty() {
        ended = pace::ended(tx, &running, window.span()).await?;
        waiting = pace::waiting_since(tx, &running, window.patience()).await?;
    }
    let mut connections: HashMap<ConnectionId, Connection> = HashMap::new();
    for id in found.iter().map(Campaign::connection_id).collect::<HashSet<_>>() {
        let connection = connections::find(tx, caller.workspace, id).await?;
        connections.extend(connection.map(|connection| (id, connection)));
    }
    let seen = found.into_iter().map(|campaign| {
        let id = campaign.id();
        let ended = ended.get(&id);
        Seen {
            numbers: numbers.remove(&id).unwrap_or_default(),
            connection: connections.get(&campaign.connection_id()).cloned(),
            pace: window.pace(ended),
            is_stuck: waiting.contains(&id) && !window.is_moving(ended),
            quota: None,
            now,
            campaign,
        }
    });
    Ok(seen.collect())
}

/// Asks the limiter about the connections of running campaigns, then shows all.
async fn show(api: &Api, caller: &Caller, mut seen: Vec<Seen>) -> Vec<Shown> {
    let is_running = |seen: &&Seen| seen.campaign.status() == Status::Running;
    let asked: HashMap<ConnectionId, &Connection> = seen
        .iter()
        .filter(is_running)
        .filter_map(|seen| Some((seen.campaign.connection_id(), seen.connection.as_ref()?)))
        .collect();
    let answers = asked.into_iter().map(async |(id, connection)| {
        (id, Quota::ask(&api.limiter, connection, api.api_per_minute).await)
    });
    let quotas: HashMap<ConnectionId, Quota> = join_all(answers).await.into_iter().collect();
    for seen in &mut seen {
        seen.quota = quotas.get(&seen.campaign.connection_id()).copied();
    }
    seen.into_iter().map(|seen| Shown::new(seen, caller.role)).collect()
}
