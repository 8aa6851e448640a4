//! Ends campaigns: everybody had a turn, or the rest comes too late.

use chrono::{DateTime, Utc};
use contracts::names::event::CAMPAIGN_COMPLETED;
use diesel_async::AsyncConnection;
use serde_json::json;
use storage::AsyncPgConnection;
use storage::campaigns::counts::{self, Changes};
use storage::campaigns::standing::{self, Dropped, Status};
use storage::events::Event;
use tracing::info;

use super::EngineError;
use super::advance::Engine;
use super::freezing::announced;
use crate::store::ending;
use crate::store::work::{self, Change, Work};

impl Engine {
    /// Completes the campaign if nobody's turn is open; `true` when it does not run any more.
    pub(super) async fn complete(
        &self,
        work: &Work,
        now: DateTime<Utc>,
    ) -> Result<bool, EngineError> {
        let (is_over, news) = {
            let mut conn = self.parts.db.connection().await?;
            (*conn).transaction(async |tx| complete(tx, work, now).await).await?
        };
        self.publish(news).await;
        Ok(is_over)
    }

    /// The campaign's end has passed: nothing of it is begun any more.
    pub(super) async fn expire(&self, work: &Work, now: DateTime<Utc>) -> Result<(), EngineError> {
        let mut conn = self.parts.db.connection().await?;
        (*conn).transaction(async |tx| expire(tx, work, now).await).await
    }
}

async fn complete(
    tx: &mut AsyncPgConnection,
    work: &Work,
    now: DateTime<Utc>,
) -> Result<(bool, Option<Event>), EngineError> {
    if ending::pin(tx, work.id).await?.as_deref() != Some(Status::Running.as_str()) {
        return Ok((true, None));
    }
    let left = ending::left(tx, work.id).await?;
    if left.is_open {
        return Ok((false, None));
    }
    let to = if left.issues > 0 { Status::CompletedWithIssues } else { Status::Completed };
    let change = Change { from: Status::Running, to, reason: None, action: "completed" };
    let detail = json!({ "accepted": left.accepted, "failed_or_uncertain": left.issues });
    work::change(tx, work, change, detail, now).await?;
    info!(campaign.id = %work.id, workspace.id = %work.workspace, status = to.as_str(), "campaign completed");
    Ok((true, Some(announced(tx, work, CAMPAIGN_COMPLETED, (to, None), now).await?)))
}

async fn expire(
    tx: &mut AsyncPgConnection,
    work: &Work,
    now: DateTime<Utc>,
) -> Result<(), EngineError> {
    if ending::pin(tx, work.id).await?.as_deref() != Some(Status::Running.as_str()) {
        return Ok(());
    }
    let mut changes = Changes::default();
    let recipients = standing::drop_rest(tx, work.id, Dropped::TooLate, &mut changes).await?;
    if recipients > 0 {
        let detail = json!({ "recipients": recipients });
        work::note(tx, work, Dropped::TooLate.as_str(), detail, now).await?;
    }
    counts::apply(tx, changes, now).await?;
    Ok(())
}
