//! A campaign in words: the same lines for `show`, `watch` and what follows an action.

use chrono::{DateTime, TimeDelta, Utc};

use super::model::{Campaign, Counts};
use crate::screen::grouped;

/// Cells of the bar.
const CELLS: i64 = 46;

/// The line that names it: name, state, what it waits for.
pub(super) fn head(campaign: &Campaign) -> String {
    let Campaign { name, status, .. } = campaign;
    let status = words(status);
    match campaign.why_code() {
        "" => format!("{name}   {status}"),
        // `paused · paused` says nothing twice.
        code if words(code) == status => format!("{name}   {status}"),
        code => format!("{name}   {status} · {}", words(code)),
    }
}

/// A code as words.
pub(super) fn words(code: &str) -> String {
    code.replace('_', " ")
}

/// How far it is, as a bar.
pub(super) fn bar(campaign: &Campaign) -> String {
    let (done, total) = (campaign.progress.done, campaign.progress.total);
    let filled = if total > 0 { (done.clamp(0, total) * CELLS) / total } else { 0 };
    let cell = |cell| match cell {
        cell if cell < filled => '=',
        cell if cell == filled && done > 0 && done < total => '>',
        _ => ' ',
    };
    (0..CELLS).map(cell).collect()
}

/// How far it is, how fast it goes and when it will be done, as numbers.
pub(super) fn pace(campaign: &Campaign, now: DateTime<Utc>) -> String {
    let progress = &campaign.progress;
    let mut parts = vec![format!("{} / {}", grouped(progress.done), grouped(progress.total))];
    if let Some(rate) = progress.rate_per_minute {
        parts.push(format!("{rate:.1}/min"));
    }
    if let Some(eta) = progress.eta {
        let basis = match progress.eta_basis.as_deref() {
            Some("limit") => " (bound by the limit)",
            Some("speed") => " (at this speed)",
            _ => "",
        };
        parts.push(format!("{} left{basis}", left(eta - now)));
    }
    parts.join("   ")
}

/// A time of waiting in two units at most.
fn left(time: TimeDelta) -> String {
    let minutes = time.num_minutes().max(0);
    match (minutes / 1_440, minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => "under a minute".to_owned(),
        (0, 0, minutes) => format!("{minutes} m"),
        (0, hours, minutes) => format!("{hours} h {minutes:02} m"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// Who is where, and what became of the messages.
pub(super) fn numbers(campaign: &Campaign) -> Vec<String> {
    let Counts { pending, in_flight, accepted, failed, skipped, uncertain, expired, .. } =
        campaign.counts;
    let delivery = campaign.delivery;
    let mut first = vec![
        ("accepted", accepted),
        ("in flight", in_flight),
        ("pending", pending),
        ("failed", failed),
        ("skipped", skipped),
        ("uncertain", uncertain),
    ];
    if expired > 0 {
        first.push(("expired", expired));
    }
    let second =
        [("delivered", delivery.delivered), ("read", delivery.read), ("replied", delivery.replied)];
    vec![counted(&first), counted(&second)]
}

fn counted(numbers: &[(&str, i64)]) -> String {
    let each = numbers.iter().map(|(name, number)| format!("{name} {}", grouped(*number)));
    each.collect::<Vec<String>>().join("   ")
}

/// Why some failed and some were skipped, the most frequent first.
pub(super) fn reasons(campaign: &Campaign) -> Vec<String> {
    let reasons = &campaign.reasons;
    let each = [("failed by code", &reasons.failed), ("skipped", &reasons.skipped)];
    each.into_iter()
        .filter(|(_, by_reason)| !by_reason.is_empty())
        .map(|(what, by_reason)| {
            let mut by_reason: Vec<(&str, i64)> =
                by_reason.iter().map(|(reason, n)| (reason.as_str(), *n)).collect();
            by_reason.sort_by_key(|(_, n)| -n);
            format!("{what}: {}", counted(&by_reason))
        })
        .collect()
}

/// Why it waits, in a sentence.
pub(super) fn why(campaign: &Campaign) -> Option<String> {
    let why = campaign.why.as_ref()?;
    let until = why.until.map(|until| format!(" Until {}.", until.format("%-d %b %H:%M:%S UTC")));
    let text = if why.text.is_empty() { words(&why.code) } else { why.text.clone() };
    Some(format!("{text}{}", until.unwrap_or_default()))
}

/// What waits for a person, with the command for it.
pub(super) fn attention(campaign: &Campaign) -> Vec<String> {
    let (id, attention) = (&campaign.id, campaign.attention);
    let mut lines = Vec::new();
    if attention.uncertain > 0 {
        let sends = sends(attention.uncertain);
        let has = if attention.uncertain == 1 { "has" } else { "have" };
        lines.push(format!(
            "! {sends} {has} an unknown outcome:  switchyard campaign recipients {id} --status uncertain"
        ));
    }
    if attention.failed_retryable > 0 {
        let sends = sends(attention.failed_retryable);
        lines.push(format!(
            "! {sends} failed and may go well another time:  switchyard campaign retry-failed {id} -n"
        ));
    }
    if attention.template_warning {
        lines.push("! Its template is in trouble at Meta: look at it there.".to_owned());
    }
    lines
}

fn sends(number: i64) -> String {
    if number == 1 { "1 send".to_owned() } else { format!("{} sends", grouped(number)) }
}

/// What to do next, as this key may.
pub(super) fn next(campaign: &Campaign) -> Option<String> {
    let id = &campaign.id;
    let (what, verb) = match campaign.status.as_str() {
        "draft" | "scheduled" if campaign.allows("start") => ("Start it", "start"),
        "preparing" | "running" => ("Follow it", "watch"),
        "paused" if campaign.allows("resume") => ("Go on with it", "resume"),
        "completed" | "completed_with_issues" => ("Who got what", "recipients"),
        _ => return None,
    };
    Some(format!("{what}:  switchyard campaign {verb} {id}"))
}

/// A line for logs: `key=value`, the same keys every time.
pub(super) fn plain(campaign: &Campaign, now: DateTime<Utc>) -> String {
    let Campaign { id, status, counts, progress, .. } = campaign;
    let rate = progress.rate_per_minute.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"));
    let why = match campaign.why_code() {
        "" => "-",
        code => code,
    };
    format!(
        "{} campaign={id} status={status} done={} total={} rate_per_minute={rate} failed={} uncertain={} why={why}",
        now.format("%H:%M:%S"),
        progress.done,
        progress.total,
        counts.failed,
        counts.uncertain,
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn half_done() -> Campaign {
        from_value(json!({
            "id": "cmp_1", "name": "Spring sale", "status": "running",
            "counts": {"failed": 41, "uncertain": 3},
            "progress": {"done": 10_000, "total": 20_000, "rate_per_minute": 99.64,
                "eta": "2026-11-22T11:29:00Z", "eta_basis": "limit"},
        }))
        .unwrap()
    }

    #[test]
    fn a_bar_is_as_full_as_the_campaign_is_done() {
        let mut campaign = half_done();
        assert_eq!(bar(&campaign), format!("{}>{}", "=".repeat(23), " ".repeat(22)));
        campaign.progress.done = 20_000;
        assert_eq!(bar(&campaign), "=".repeat(46));
        (campaign.progress.done, campaign.progress.total) = (0, 0);
        assert_eq!(bar(&campaign), " ".repeat(46));
    }

    #[test]
    fn an_estimate_says_what_it_goes_by() {
        let shown = pace(&half_done(), at("2026-11-22T10:14:05Z"));
        assert_eq!(shown, "10,000 / 20,000   99.6/min   1 h 14 m left (bound by the limit)");
        for (minutes, words) in
            [(-5, "under a minute"), (7, "7 m"), (65, "1 h 05 m"), (3_000, "2 d 2 h")]
        {
            assert_eq!(left(TimeDelta::minutes(minutes)), words);
        }
    }

    #[test]
    fn a_plain_line_has_the_same_keys_every_time() {
        let mut campaign = half_done();
        let now = at("2026-11-22T10:14:05Z");
        assert_eq!(
            plain(&campaign, now),
            "10:14:05 campaign=cmp_1 status=running done=10000 total=20000 rate_per_minute=99.6 \
             failed=41 uncertain=3 why=-"
        );
        campaign.progress.rate_per_minute = None;
        assert!(plain(&campaign, now).contains(" rate_per_minute=- "));
    }

    #[test]
    fn the_most_frequent_reason_comes_first() {
        let mut campaign = half_done();
        campaign.reasons.failed =
            [("131026", 11), ("131047", 30)].map(|(k, n)| (k.into(), n)).into();
        assert_eq!(reasons(&campaign), ["failed by code: 131047 30   131026 11"]);
    }
}
