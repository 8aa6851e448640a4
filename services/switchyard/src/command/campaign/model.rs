//! The campaign object, as far as the command line reads it. Members it does not know are passed on
//! with `--json` and otherwise ignored, so that it works with newer services.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

/// A campaign as the API showed it, and as it is read.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// For `--json`.
    pub(super) document: Value,
    /// For people.
    pub(super) campaign: Campaign,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Campaign {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) status: String,
    pub(super) why: Option<Why>,
    #[serde(default)]
    pub(super) counts: Counts,
    #[serde(default)]
    pub(super) delivery: Delivery,
    #[serde(default)]
    pub(super) progress: Progress,
    #[serde(default)]
    pub(super) attention: Attention,
    #[serde(default)]
    pub(super) reasons: Reasons,
    /// What this key may do now.
    #[serde(default)]
    pub(super) actions: Vec<String>,
}

/// What it waits for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Why {
    pub(super) code: String,
    #[serde(default)]
    pub(super) text: String,
    pub(super) until: Option<DateTime<Utc>>,
}

/// `total` is the sum of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Counts {
    pub(super) total: i64,
    pub(super) pending: i64,
    pub(super) in_flight: i64,
    pub(super) accepted: i64,
    pub(super) failed: i64,
    pub(super) skipped: i64,
    pub(super) uncertain: i64,
    pub(super) expired: i64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Delivery {
    pub(super) delivered: i64,
    pub(super) read: i64,
    pub(super) replied: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Progress {
    pub(super) done: i64,
    pub(super) total: i64,
    pub(super) rate_per_minute: Option<f64>,
    pub(super) eta: Option<DateTime<Utc>>,
    /// `limit` or `speed`.
    pub(super) eta_basis: Option<String>,
}

/// What waits for a person.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Attention {
    pub(super) uncertain: i64,
    pub(super) failed_retryable: i64,
    pub(super) template_warning: bool,
}

/// The failed by Meta's code, the skipped by reason.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reasons {
    pub(super) failed: BTreeMap<String, i64>,
    pub(super) skipped: BTreeMap<String, i64>,
}

/// How a campaign ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Everybody has a message, or was skipped for a reason.
    Done,
    /// It is over, and not everybody has a message.
    Partly,
    /// It could not be prepared.
    Failed,
}

impl Campaign {
    /// How it ended, if it did.
    pub(super) fn end(&self) -> Option<End> {
        match self.status.as_str() {
            "completed" => Some(End::Done),
            "completed_with_issues" | "cancelled" => Some(End::Partly),
            "failed" => Some(End::Failed),
            _ => None,
        }
    }

    /// Whether this key may do this now.
    pub(super) fn allows(&self, action: &str) -> bool {
        self.actions.iter().any(|known| known == action)
    }

    /// The code of what it waits for.
    pub(super) fn why_code(&self) -> &str {
        self.why.as_ref().map_or("", |why| why.code.as_str())
    }
}
