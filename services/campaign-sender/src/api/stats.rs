//! A campaign over time, for charts.

use std::collections::BTreeMap;

use actix_web::web::{Data, Json, Path};
use chrono::{DateTime, TimeDelta, Utc};
use kernel::ids::CampaignId;
use serde::{Deserialize, Serialize};
use service::{Caller, Problem, Query, Scope};

use super::{Api, shown_time};
use crate::store::{campaigns, pace};

/// Buckets of an answer at most: a day of minutes.
const MOST_BUCKETS: i64 = 1_440;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    bucket: Bucket,
    /// Only buckets that begin before this; to see more than [`MOST_BUCKETS`].
    before: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
enum Bucket {
    #[default]
    #[serde(rename = "1m")]
    Minute,
    #[serde(rename = "1h")]
    Hour,
}

/// Buckets in which something happened, the oldest first.
#[derive(Debug, Serialize)]
pub(super) struct Series {
    object: &'static str,
    campaign: CampaignId,
    bucket: Bucket,
    data: Vec<Changes>,
}

/// What changed in a bucket. A number below zero: some came back from that state.
#[derive(Debug, Serialize)]
struct Changes {
    at: String,
    #[serde(flatten)]
    numbers: BTreeMap<&'static str, i64>,
}

/// What is counted, by the names of the campaign's counts.
const STATES: [&str; 9] = [
    "accepted",
    "failed",
    "skipped",
    "uncertain",
    "expired",
    "sent",
    "delivered",
    "read",
    "replied",
];

/// The newest buckets, or those before a moment.
pub(super) async fn show(
    api: Data<Api>,
    caller: Caller,
    id: Path<CampaignId>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Series>, Problem> {
    caller.require(Scope::CampaignsRead)?;
    let mut conn = api.db.connection().await?;
    let campaign = campaigns::find(&mut conn, caller.workspace, *id).await?;
    campaign.ok_or_else(Problem::not_found)?;
    let unit = match wanted.bucket {
        Bucket::Minute => "minute",
        Bucket::Hour => "hour",
    };
    let before = wanted.before.unwrap_or_else(|| api.clock.now() + TimeDelta::hours(1));
    let rows = pace::series(&mut conn, *id, unit, before, MOST_BUCKETS).await?;
    let mut buckets: BTreeMap<DateTime<Utc>, BTreeMap<&'static str, i64>> = BTreeMap::new();
    for (at, state, n) in rows {
        let numbers = buckets.entry(at).or_insert_with(|| STATES.map(|state| (state, 0)).into());
        if let Some(state) = STATES.into_iter().find(|known| **known == state) {
            numbers.insert(state, n);
        }
    }
    let data = buckets.into_iter();
    let data = data.map(|(at, numbers)| Changes { at: shown_time(at), numbers }).collect();
    Ok(Json(Series { object: "campaign_stats", campaign: *id, bucket: wanted.bucket, data }))
}
