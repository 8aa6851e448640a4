//! `campaign ls` and `campaign show`.

use kernel::{Clock, SystemClock};

use super::api::Api;
use super::lines;
use super::model::{Campaign, Seen};
use crate::command::locks::print_table;
use crate::command::ops::cut;
use crate::exit::{Exit, Failure};
use crate::screen::{Screen, Tone, grouped};

/// Characters of a name in a table: the id beside it takes 36 of a line.
const NAME: usize = 24;

pub(super) async fn list(
    screen: Screen,
    api: &Api,
    status: &[String],
    limit: usize,
) -> Result<Exit, Failure> {
    let query: Vec<(&str, String)> =
        status.iter().map(|status| ("status", status.clone())).collect();
    let listed = api.list("v1/campaigns", &query, limit).await?;
    if screen.is_json {
        listed.things.iter().for_each(|document| screen.json_line(document));
        return Ok(Exit::Done);
    }
    if listed.things.is_empty() {
        screen.talk("There is no such campaign. They are made by POST /v1/campaigns.");
        return Ok(Exit::Done);
    }
    let head = ["ID", "NAME", "STATUS", "DONE", "TOTAL", "FAILED", "WAITS FOR"];
    let mut rows = vec![head.map(str::to_owned)];
    for document in listed.things {
        rows.push(row(&api.read_campaign(document)?.campaign));
    }
    print_table(screen, &rows);
    if listed.has_more {
        screen.talk("There are more: --limit");
    }
    screen.talk("More about one:  switchyard campaign show ID");
    Ok(Exit::Done)
}

fn row(campaign: &Campaign) -> [String; 7] {
    [
        campaign.id.clone(),
        cut(&campaign.name, NAME),
        campaign.status.clone(),
        grouped(campaign.progress.done),
        grouped(campaign.progress.total),
        grouped(campaign.counts.failed),
        match campaign.why_code() {
            "" => "-".to_owned(),
            code => code.to_owned(),
        },
    ]
}

pub(super) async fn show(screen: Screen, api: &Api, named: &str) -> Result<Exit, Failure> {
    let seen = api.find(named).await?;
    present(screen, &seen);
    Ok(Exit::Done)
}

/// All about a campaign, and what to do next.
pub(super) fn present(screen: Screen, seen: &Seen) {
    if screen.is_json {
        screen.json(&seen.document);
        return;
    }
    let campaign = &seen.campaign;
    screen.data(&screen.tint(Tone::Strong, &lines::head(campaign)));
    screen.data(&screen.tint(Tone::Faint, &campaign.id));
    let pace = lines::pace(campaign, SystemClock.now());
    screen.data(&format!("[{}] {pace}", lines::bar(campaign)));
    for line in lines::numbers(campaign).into_iter().chain(lines::reasons(campaign)) {
        screen.data(&line);
    }
    if let Some(why) = lines::why(campaign) {
        screen.data(&screen.tint(Tone::Warn, &why));
    }
    for line in lines::attention(campaign).into_iter().chain(lines::next(campaign)) {
        screen.talk(&line);
    }
}
