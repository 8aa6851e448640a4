//! People who click at random, and whether what they were answered was kept.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::campaigns::{Campaign, Client};
use crate::installation::Installation;

const VERBS: [&str; 5] = ["pause", "resume", "start", "resume", "resume"];

/// One click and what came of it.
#[derive(Debug)]
pub(crate) struct Click {
    /// The campaign's name.
    campaign: &'static str,
    verb: &'static str,
    begun: DateTime<Utc>,
    ended: DateTime<Utc>,
    /// The HTTP status; `None` when nobody answered.
    status: Option<u16>,
}

/// Clicks every few hundred milliseconds until it is told to stop.
pub(crate) fn click_around(
    client: Client,
    campaigns: Vec<Campaign>,
    seed: u64,
    stop: CancellationToken,
) -> JoinHandle<Vec<Click>> {
    tokio::spawn(async move {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut clicks = Vec::new();
        loop {
            let pause = Duration::from_millis(dice.random_range(100..700));
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return clicks;
            }
            let campaign = &campaigns[dice.random_range(0..campaigns.len())];
            let verb = VERBS[dice.random_range(0..VERBS.len())];
            let begun = Utc::now();
            let path = format!("v1/campaigns/{}/{verb}", campaign.id);
            let status = match client.try_once(Method::POST, &path, None).await {
                Ok((status, said)) => {
                    let is_fine = matches!(status.as_u16(), 200 | 202 | 409 | 503);
                    assert!(is_fine, "{path}: {status} {said}");
                    Some(status.as_u16())
                }
                // Nobody was there: it was not heard.
                Err(error) if error.is_connect() => continue,
                Err(_) => None,
            };
            clicks.push(Click { campaign: campaign.name, verb, begun, ended: Utc::now(), status });
        }
    })
}

/// Sees that nothing of a campaign was claimed between the answer to a pause and the next click that
/// may have set it going again. Answers how many such times there were.
pub(crate) async fn were_pauses_kept(installation: &Installation, clicks: &[Click]) -> usize {
    let mut kept = 0;
    let is_pause = |click: &&Click| click.verb == "pause" && click.status == Some(200);
    for pause in clicks.iter().filter(is_pause) {
        // A click that nobody answered may still take effect a little later.
        let ends = |click: &Click| match click.status {
            Some(_) => click.ended,
            None => click.ended + TimeDelta::seconds(5),
        };
        let goes_on = |click: &&Click| {
            click.campaign == pause.campaign && click.verb != "pause" && ends(click) > pause.begun
        };
        let until = clicks.iter().filter(goes_on).map(|click| click.begun).min();
        let until = until.unwrap_or_else(Utc::now);
        if until <= pause.ended {
            continue;
        }
        let claimed = installation
            .count(&format!(
                "send_attempts a JOIN outbound_messages m ON m.id = a.message_id \
                 JOIN campaigns c ON c.id = m.campaign_id WHERE c.name = '{}' \
                 AND a.created_at > '{}' AND a.created_at < '{}'",
                pause.campaign, pause.ended, until
            ))
            .await;
        assert_eq!(claimed, 0, "claimed after {pause:?} and before {until}");
        kept += 1;
    }
    kept
}
