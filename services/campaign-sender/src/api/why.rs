//! Why a campaign is not sending right now, in a word and in a sentence.

use chrono::{DateTime, TimeDelta, Utc};
use coordination::{LimitName, Limiter};
use serde::Serialize;
use storage::campaigns::standing::Status;
use storage::connections::Connection;

use super::progress::is_near_the_limit;
use super::shown_time;
use super::view::Seen;
use crate::limit;

/// So many hundredths of a connection's limit used mean that campaigns wait: they leave a tenth of
/// it to agents and bots.
const CAMPAIGNS_WAIT_AT: u32 = 88;

/// What it waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Why {
    code: String,
    /// The limit that binds.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'static str>,
    /// When this will be over, as far as is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    text: String,
}

/// What a connection's limit says now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Quota {
    /// Messages per minute.
    pub(super) limit: u32,
    used: u32,
    free_in: TimeDelta,
    /// How long Meta wants nothing of this connection.
    paused_for: TimeDelta,
    /// How long Meta wants no campaign of it.
    stopped_for: TimeDelta,
}

impl Quota {
    /// Asks the limiter. While its store is away, only the limit itself is known.
    pub(super) async fn ask(limiter: &Limiter, connection: &Connection, by_default: u32) -> Self {
        let limit = limit::of(connection.id(), connection.whatsapp_api_per_minute, by_default);
        let limit = limiter.in_force(&limit);
        let mut quota = Self { limit: limit.most(), ..Self::default() };
        let span = |duration| TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
        if let Ok(usage) = limiter.show(&limit).await {
            quota = Self { used: usage.used, free_in: span(usage.resets_in), ..quota };
        }
        if let Ok(learnt) = limiter.learnt(LimitName::WhatsAppApi(connection.id())).await {
            quota.paused_for = span(learnt.paused_for);
            quota.stopped_for = span(learnt.campaigns_stopped_for);
        }
        quota
    }

    fn is_used_up(&self) -> bool {
        u64::from(self.used) * 100 >= u64::from(self.limit) * u64::from(CAMPAIGNS_WAIT_AT)
    }
}

impl Why {
    /// `None` when nothing keeps it from sending, or when there is nothing left to send.
    pub(super) fn of(seen: &Seen) -> Option<Self> {
        let campaign = &seen.campaign;
        match campaign.status() {
            Status::Scheduled => Some(scheduled(seen)),
            Status::Preparing => {
                let total = seen.numbers.total;
                Some(Self::plain(
                    "preparing",
                    format!("Its recipients are written down: {total} so far."),
                ))
            }
            Status::Running if seen.numbers.pending() > 0 => running(seen),
            Status::Paused => Some(Self::plain(
                campaign.reason_code.as_deref().unwrap_or("paused"),
                campaign.reason.clone().unwrap_or_else(|| "Somebody paused it.".to_owned()),
            )),
            Status::Failed => Some(Self::plain(
                campaign.reason_code.as_deref().unwrap_or("failed"),
                campaign.reason.clone().unwrap_or_else(|| "It could not be prepared.".to_owned()),
            )),
            Status::Draft
            | Status::Running
            | Status::Completed
            | Status::CompletedWithIssues
            | Status::Cancelled => None,
        }
    }

    fn plain(code: &str, text: String) -> Self {
        Self { code: code.to_owned(), policy: None, until: None, text }
    }

    fn until(self, until: DateTime<Utc>) -> Self {
        Self { until: Some(shown_time(until)), ..self }
    }
}

fn scheduled(seen: &Seen) -> Why {
    let campaign = &seen.campaign;
    let at = campaign.scheduled_for.map(|at| at.format("%-d %b %Y at %H:%M").to_string());
    let at = at.unwrap_or_default();
    let text = match campaign.is_local_time {
        true => format!("Starts on {at} by each recipient's clock."),
        false => format!("Starts on {at} ({}).", campaign.time_zone),
    };
    let why = Why::plain("scheduled", text);
    match campaign.next_look_at {
        Some(begins) => why.until(begins),
        None => why,
    }
}

fn running(seen: &Seen) -> Option<Why> {
    let campaign = &seen.campaign;
    if let Some(code) = &campaign.waits_for
        && let Some(until) = campaign.next_look_at.filter(|until| *until > seen.now)
    {
        return Some(Why::plain(code, waiting_text(code)).until(until));
    }
    let (Some(quota), Some(connection)) = (seen.quota, seen.connection.as_ref()) else {
        return None;
    };
    let number = connection.display_phone_number.as_deref().unwrap_or(&connection.name);
    let held = quota.paused_for.max(quota.stopped_for);
    if held > TimeDelta::zero() {
        let text = format!("Meta asked for a pause on {number}.");
        return Some(until_in(Why::plain("slowed_by_meta", text), seen.now, held));
    }
    if quota.is_used_up() || is_near_the_limit(seen.pace, quota.limit) {
        let text = format!("Limited to {} per minute on {number}.", quota.limit);
        let why = Why { policy: Some("whatsapp_api"), ..Why::plain("waiting_for_quota", text) };
        return Some(until_in(why, seen.now, quota.free_in.max(TimeDelta::seconds(1))));
    }
    seen.is_stuck.then(|| {
        let text = "Messages have been ready for a minute and nobody takes them. Does a process run \
                    that sends?";
        Why::plain("sender_away", text.to_owned())
    })
}

fn until_in(why: Why, now: DateTime<Utc>, left: TimeDelta) -> Why {
    match now.checked_add_signed(left) {
        Some(until) => why.until(until),
        None => why,
    }
}

fn waiting_text(code: &str) -> String {
    match code {
        "quiet_hours" => "It keeps quiet at this time of day.".to_owned(),
        "local_time" => "It waits for the hour of its remaining recipients.".to_owned(),
        "repair" => {
            "It cannot go on; that is tried again. The log of its worker says why.".to_owned()
        }
        other => format!("It waits: {}.", other.replace('_', " ")),
    }
}
