//! Second chances, part by part: one transaction holds the campaign for some 100 ms.

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use contracts::names::event::CAMPAIGN_RESUMED;
use diesel_async::AsyncConnection;
use kernel::ids::{CampaignId, MessageId, WorkspaceId};
use service::{Caller, Problem, etag};
use storage::campaigns::standing::{Again, By, Resolution, Status, resolve, retry_failed};
use storage::events::{self, Event};
use storage::{AsyncPgConnection, StorageError};

use super::control::whose;
use super::{Api, view};
use crate::announce;
use crate::store::{ChangeError, campaigns};

/// Recipients moved in one transaction at most.
const MOST: i64 = 5_000;

/// What is done for recipients whose turn has ended.
#[derive(Clone, Debug)]
pub(super) enum Chance {
    /// Those who failed with these codes are tried again, so many of them: whoever fails again meanwhile is
    /// no part of it.
    Retry { codes: Vec<i32>, recipients: i64 },
    /// Those who are uncertain, all or some, are what a person says.
    Resolve { ids: Option<Vec<MessageId>>, decision: Resolution },
}

impl Chance {
    /// Whether messages are sent again.
    fn sends(&self) -> bool {
        match self {
            Self::Retry { .. } => true,
            Self::Resolve { decision, .. } => *decision == Resolution::Resend,
        }
    }

    async fn give(
        &self,
        tx: &mut AsyncPgConnection,
        (workspace, id): (WorkspaceId, CampaignId),
        by: &By,
        now: DateTime<Utc>,
    ) -> Result<Option<Again>, StorageError> {
        match self {
            Self::Retry { codes, .. } => {
                retry_failed(tx, workspace, id, codes, MOST, by, now).await
            }
            Self::Resolve { ids, decision } => {
                resolve(tx, workspace, id, ids.as_deref(), *decision, MOST, by, now).await
            }
        }
    }
}

/// Gives the recipients of a campaign their second chance, and answers how it stands then.
pub(super) async fn give(
    api: &Api,
    caller: &Caller,
    id: CampaignId,
    chance: Chance,
    by: By,
) -> Result<HttpResponse, Problem> {
    let mut left = match &chance {
        Chance::Retry { recipients, .. } => *recipients,
        Chance::Resolve { .. } => i64::MAX,
    };
    while left > 0 {
        let now = api.clock.now();
        let mut conn = api.db.connection().await?;
        let part = (*conn).transaction(async |tx| part(tx, caller, id, (&chance, &by), now).await);
        let (moved, event) = part.await?;
        drop(conn);
        api.relay.publish(event.into_iter().collect()).await;
        if moved == 0 {
            break;
        }
        left -= moved;
    }
    if chance.sends() {
        api.sender.nudge();
    }
    api.ticks.tick(id).await;
    let shown = view::one(api, caller, id).await?;
    Ok(HttpResponse::Accepted().insert_header(etag(shown.version())).json(shown))
}

async fn part(
    tx: &mut AsyncPgConnection,
    caller: &Caller,
    id: CampaignId,
    (chance, by): (&Chance, &By),
    now: DateTime<Utc>,
) -> Result<(i64, Option<Event>), ChangeError> {
    let campaign = campaigns::lock(tx, caller.workspace, id, None).await?;
    if chance.sends() {
        require_again(campaign.status())?;
    }
    let again = chance.give(tx, (caller.workspace, id), by, now).await?;
    let again = again.ok_or(ChangeError::NotFound)?;
    if again.status == campaign.status() {
        return Ok((again.recipients, None));
    }
    let event =
        announce::event(whose(caller, &campaign), CAMPAIGN_RESUMED, (again.status, None), now);
    events::append(tx, std::slice::from_ref(&event), now).await?;
    Ok((again.recipients, Some(event)))
}

/// Refuses a campaign in which nothing is tried again.
fn require_again(status: Status) -> Result<(), ChangeError> {
    match status {
        Status::Running | Status::Paused | Status::Completed | Status::CompletedWithIssues => {
            Ok(())
        }
        Status::Draft
        | Status::Scheduled
        | Status::Preparing
        | Status::Cancelled
        | Status::Failed => Err(ChangeError::Conflict {
            status,
            advice: "Only a campaign that runs, is paused or is over can try again.",
        }),
    }
}
