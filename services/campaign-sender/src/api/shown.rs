//! A campaign as the API shows it.

use std::collections::BTreeMap;

use kernel::ids::{CampaignId, ConnectionId};
use serde::Serialize;
use serde_json::Value;
use service::{Role, Scope};
use storage::campaigns::Numbers;
use storage::campaigns::standing::Status;

use super::progress::Progress;
use super::shown_time;
use super::values::Cap;
use super::view::Seen;
use super::why::Why;
use crate::store::campaigns::Campaign;

/// The campaign object.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Shown {
    object: &'static str,
    id: CampaignId,
    name: String,
    status: &'static str,
    why: Option<Why>,
    connection: ConnectionId,
    template: Value,
    /// Left out of lists: it may name thousands of numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<Value>,
    on_uncertain: String,
    frequency_cap: Option<Cap>,
    schedule: Option<Schedule>,
    ends_at: Option<String>,
    counts: Counts,
    /// The failed by Meta's error code, the skipped by reason.
    reasons: Reasons,
    delivery: Delivery,
    progress: Progress,
    attention: Attention,
    /// What this key may do now.
    actions: Vec<&'static str>,
    version: i64,
    cloned_from: Option<CampaignId>,
    created_by: String,
    created_at: String,
    updated_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Schedule {
    /// A wall clock, without an offset; `None` once it was started by hand.
    at: Option<String>,
    /// The zone's name, or `recipient`.
    time_zone: String,
    quiet_hours: Option<Hours>,
}

#[derive(Clone, Debug, Serialize)]
struct Hours {
    from: String,
    to: String,
}

/// `total` is the sum of the others, always.
#[derive(Clone, Copy, Debug, Serialize)]
struct Counts {
    total: i64,
    pending: i64,
    in_flight: i64,
    accepted: i64,
    failed: i64,
    skipped: i64,
    uncertain: i64,
    expired: i64,
}

#[derive(Clone, Debug, Serialize)]
struct Reasons {
    failed: BTreeMap<i32, i64>,
    skipped: BTreeMap<String, i64>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Delivery {
    sent: i64,
    delivered: i64,
    read: i64,
    replied: i64,
}

/// What waits for a person.
#[derive(Clone, Copy, Debug, Serialize)]
struct Attention {
    uncertain: i64,
    failed_retryable: i64,
    template_warning: bool,
}

impl Shown {
    pub(super) fn new(seen: Seen, role: Role) -> Self {
        let why = Why::of(&seen);
        let Seen { campaign, numbers, pace, quota, now, .. } = seen;
        let attention = Attention::of(&campaign, &numbers);
        let limit = quota.map(|quota| quota.limit);
        let progress = match (campaign.status(), limit) {
            (Status::Running, Some(limit)) => Progress::running(&numbers, pace, limit, now),
            _ => Progress::at_rest(&numbers),
        };
        Self {
            object: "campaign",
            id: campaign.id(),
            status: campaign.status().as_str(),
            why,
            connection: campaign.connection_id(),
            schedule: Schedule::of(&campaign),
            ends_at: campaign.ends_at.map(shown_time),
            frequency_cap: Option::zip(campaign.cap_messages, campaign.cap_days)
                .map(|(messages, days)| Cap { messages, days }),
            counts: Counts::of(&numbers),
            delivery: Delivery::of(&numbers),
            progress,
            attention,
            actions: actions(campaign.status(), attention, role),
            version: campaign.version,
            cloned_from: campaign.cloned_from(),
            created_at: shown_time(campaign.created_at),
            updated_at: shown_time(campaign.updated_at),
            started_at: campaign.started_at.map(shown_time),
            finished_at: campaign.finished_at.map(shown_time),
            name: campaign.name,
            template: campaign.template,
            audience: Some(campaign.audience),
            on_uncertain: campaign.on_uncertain,
            created_by: campaign.created_by,
            reasons: Reasons { failed: numbers.failed, skipped: numbers.skipped },
        }
    }

    /// As a list shows it.
    pub(super) fn brief(self) -> Self {
        Self { audience: None, ..self }
    }

    pub(super) fn id(&self) -> CampaignId {
        self.id
    }

    pub(super) fn version(&self) -> i64 {
        self.version
    }
}

impl Schedule {
    fn of(campaign: &Campaign) -> Option<Self> {
        let hour = |time: chrono::NaiveTime| time.format("%H:%M").to_string();
        let quiet_hours = Option::zip(campaign.quiet_from, campaign.quiet_to)
            .map(|(from, to)| Hours { from: hour(from), to: hour(to) });
        if campaign.scheduled_for.is_none() && quiet_hours.is_none() {
            return None;
        }
        let time_zone = match campaign.is_local_time {
            true => "recipient".to_owned(),
            false => campaign.time_zone.clone(),
        };
        let at = campaign.scheduled_for.map(|at| at.format("%Y-%m-%dT%H:%M:%S").to_string());
        Some(Self { at, time_zone, quiet_hours })
    }
}

impl Counts {
    fn of(numbers: &Numbers) -> Self {
        Self {
            total: numbers.total,
            pending: numbers.pending(),
            in_flight: numbers.in_flight,
            accepted: numbers.accepted,
            failed: numbers.failed(),
            skipped: numbers.skipped(),
            uncertain: numbers.uncertain,
            expired: numbers.expired,
        }
    }
}

impl Delivery {
    const fn of(numbers: &Numbers) -> Self {
        Self {
            sent: numbers.sent,
            delivered: numbers.delivered,
            read: numbers.read,
            replied: numbers.replied,
        }
    }
}

impl Attention {
    fn of(campaign: &Campaign, numbers: &Numbers) -> Self {
        let retryable =
            numbers.failed.iter().filter(|(code, _)| super::retry::is_worthwhile(**code));
        let reason = campaign.reason_code.as_deref().unwrap_or_default();
        Self {
            uncertain: numbers.uncertain,
            failed_retryable: retryable.map(|(_, n)| n).sum(),
            template_warning: reason.starts_with("template"),
        }
    }
}

/// What is legal in this state and allowed to this role.
fn actions(status: Status, attention: Attention, role: Role) -> Vec<&'static str> {
    use Scope::{CampaignsControl, CampaignsSend, CampaignsWrite};
    let is_unstarted = matches!(status, Status::Draft | Status::Scheduled);
    let is_final = matches!(status, Status::Cancelled | Status::Failed);
    let all = [
        ("edit", CampaignsWrite, is_unstarted),
        ("test_send", CampaignsSend, !is_final),
        ("schedule", CampaignsSend, is_unstarted),
        ("unschedule", CampaignsSend, status == Status::Scheduled),
        ("start", CampaignsSend, is_unstarted),
        ("pause", CampaignsControl, matches!(status, Status::Preparing | Status::Running)),
        ("resume", CampaignsControl, status == Status::Paused),
        (
            "cancel",
            CampaignsControl,
            matches!(
                status,
                Status::Scheduled | Status::Preparing | Status::Running | Status::Paused
            ),
        ),
        ("retry_failed", CampaignsSend, attention.failed_retryable > 0 && !is_final),
        ("resolve", CampaignsSend, attention.uncertain > 0),
        ("delete", CampaignsWrite, is_unstarted),
        ("clone", CampaignsWrite, true),
    ];
    let legal =
        all.into_iter().filter(|(_, scope, is_legal)| *is_legal && scope.is_granted_to(role));
    legal.map(|(name, ..)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: Status, role: Role) -> Vec<&'static str> {
        let attention = Attention { uncertain: 0, failed_retryable: 9, template_warning: false };
        actions(status, attention, role)
    }

    #[test]
    fn an_operator_stops_campaigns_and_starts_none() {
        assert_eq!(of(Status::Running, Role::Operator), ["pause", "cancel"]);
        assert_eq!(of(Status::Paused, Role::Operator), ["resume", "cancel"]);
        assert!(of(Status::Draft, Role::Operator).is_empty());
        assert!(Status::ALL.iter().all(|status| of(*status, Role::Viewer).is_empty()));
    }

    #[test]
    fn a_marketer_sees_what_the_state_allows() {
        let running = ["test_send", "pause", "cancel", "retry_failed", "clone"];
        assert_eq!(of(Status::Running, Role::Marketer), running);
        assert_eq!(of(Status::Cancelled, Role::Marketer), ["clone"]);
        assert!(of(Status::Draft, Role::Marketer).contains(&"start"));
    }
}
