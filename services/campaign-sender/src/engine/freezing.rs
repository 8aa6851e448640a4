//! Freezes audiences.

use chrono::{DateTime, Utc};
use contracts::names::event::{CAMPAIGN_NEEDS_ATTENTION, CAMPAIGN_STARTED};
use diesel_async::AsyncConnection;
use serde_json::json;
use storage::AsyncPgConnection;
use storage::campaigns::counts::{self, Changes, End};
use storage::campaigns::standing::Status;
use storage::events::{self, Event};
use tracing::info;

use super::EngineError;
use super::advance::{Engine, Next};
use crate::announce::{self, Whose};
use crate::audience::Audience;
use crate::store::freezing::{self, Frozen, Place, Span};
use crate::store::work::{self, Change, Work};
use crate::template::{Placeholder, Template};

const NOBODY: (&str, &str) =
    ("audience_empty", "Nobody is in the audience. Choose another one and start a copy.");

impl Engine {
    /// A schedule is due.
    pub(super) async fn begin(&self, work: &Work, now: DateTime<Utc>) -> Result<Next, EngineError> {
        let change = Change {
            from: Status::Scheduled,
            to: Status::Preparing,
            reason: None,
            action: "started",
        };
        let begun = {
            let mut conn = self.parts.db.connection().await?;
            (*conn)
                .transaction(async |tx| {
                    let detail = json!({ "by": "schedule" });
                    if !work::change(tx, work, change, detail, now).await? {
                        return Ok(None);
                    }
                    announced(tx, work, CAMPAIGN_STARTED, (change.to, None), now).await.map(Some)
                })
                .await?
        };
        self.publish(begun).await;
        Ok(Next::Again)
    }

    /// One step of freezing: the next people of the audience.
    pub(super) async fn freeze(
        &self,
        work: &Work,
        now: DateTime<Utc>,
    ) -> Result<Next, EngineError> {
        let audience: Audience = serde_json::from_value(work.audience.clone())?;
        let template: Template = serde_json::from_value(work.template.clone())?;
        let placeholders = template.placeholders();
        let is_at_numbers = audience.gives_numbers() && work.prepared.contact.is_none();
        let numbers =
            if is_at_numbers { Some(self.enrol(work, &audience, now).await?) } else { None };
        let zones = if work.is_local_time {
            let mut conn = self.parts.db.connection().await?;
            work::zones(&mut conn).await?
        } else {
            Vec::new()
        };
        let whom = (&audience, placeholders.as_slice());
        let news = {
            let mut conn = self.parts.db.connection().await?;
            let step = async |tx: &mut AsyncPgConnection| {
                step(tx, work, whom, numbers.as_ref(), &zones, now).await
            };
            (*conn).transaction(step).await?
        };
        self.publish(news).await;
        Ok(Next::Again)
    }

    /// Makes contacts of the next numbers: by itself, so that whoever writes to us for the first time
    /// meanwhile does not wait for the whole step.
    async fn enrol(
        &self,
        work: &Work,
        audience: &Audience,
        now: DateTime<Utc>,
    ) -> Result<Span, EngineError> {
        let after = work.prepared.number.clone();
        let mut conn = self.parts.db.connection().await?;
        let enrolled = (*conn).transaction(async |tx| {
            if after.is_none() {
                freezing::list(tx, work.id, audience).await?;
            }
            freezing::plan_anew(tx).await?;
            freezing::enrol(tx, work, audience, after.unwrap_or_default(), now).await
        });
        Ok(enrolled.await?)
    }

    pub(super) async fn publish(&self, news: Option<Event>) {
        self.parts.relay.publish(news.into_iter().collect()).await;
    }
}

async fn step(
    tx: &mut AsyncPgConnection,
    work: &Work,
    whom: (&Audience, &[Placeholder]),
    numbers: Option<&Span>,
    zones: &[String],
    now: DateTime<Utc>,
) -> Result<Option<Event>, EngineError> {
    let Some(place) = freezing::pin(tx, work.id).await? else { return Ok(None) };
    // Paused meanwhile, or another worker took this step.
    if place.status != Status::Preparing.as_str() || place.through != work.prepared {
        return Ok(None);
    }
    freezing::plan_anew(tx).await?;
    let frozen = freezing::freeze(tx, work, whom, (&place, numbers), zones).await?;
    freezing::advance(tx, work.id, &frozen, now).await?;
    let news =
        if frozen.is_all { finish(tx, work, whom.0, &place, &frozen, now).await? } else { None };
    let mut changes = Changes::default();
    for (reason, n) in frozen.skipped {
        changes.ended(work.id, &End::Skipped(reason), n);
    }
    counts::apply(tx, changes, now).await?;
    Ok(news)
}

/// Everybody is frozen: the campaign runs, or fails because there is nobody.
async fn finish(
    tx: &mut AsyncPgConnection,
    work: &Work,
    audience: &Audience,
    place: &Place,
    frozen: &Frozen,
    now: DateTime<Utc>,
) -> Result<Option<Event>, EngineError> {
    let total = place.total + frozen.recipients;
    let (to, reason, action) = if total == 0 {
        (Status::Failed, Some(NOBODY), "failed")
    } else {
        (Status::Running, None, "prepared")
    };
    let change = Change { from: Status::Preparing, to, reason, action };
    let detail = json!({ "total": total, "invalid_numbers": audience.invalid_numbers() });
    work::change(tx, work, change, detail, now).await?;
    info!(campaign.id = %work.id, workspace.id = %work.workspace, campaign.total = total, "audience frozen");
    if total > 0 {
        return Ok(None);
    }
    announced(tx, work, CAMPAIGN_NEEDS_ATTENTION, (to, reason), now).await.map(Some)
}

/// Appends the event that says where the campaign stands now, and why.
pub(super) async fn announced(
    tx: &mut AsyncPgConnection,
    work: &Work,
    event_type: &'static str,
    standing: (Status, Option<(&str, &str)>),
    now: DateTime<Utc>,
) -> Result<Event, EngineError> {
    let whose = Whose { workspace: work.workspace, connection: work.connection, campaign: work.id };
    let event = announce::event(whose, event_type, standing, now);
    events::append(tx, std::slice::from_ref(&event), now).await?;
    Ok(event)
}
