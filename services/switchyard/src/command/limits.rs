//! `limits`: what there is, who is near one, and changing one while everything runs.

use std::time::Duration;

use console::limits::{Changed, NewLimit, OverrideShown, PolicyLine, UsedLimit, rate};
use console::locks::time_in_words;
use console::{Desk, Naming, View};

use super::locks::print_table;
use super::ops::{self, actor, cut, short};
use crate::cli::{Limits, SetLimit};
use crate::exit::{Exit, Failure};
use crate::screen::{Screen, Tone};

const LIST: &str = "switchyard limits ls";

/// Looks at limits, or changes one.
pub(crate) async fn limits(screen: Screen, asked: Limits) -> Result<Exit, Failure> {
    let desk = ops::desk().await?;
    match asked {
        Limits::Ls { hot: false, .. } => list(screen, &desk).await,
        Limits::Ls { hot: true, top, unmask } => hottest(screen, &desk, top, naming(unmask)).await,
        Limits::Show { policy, key: None, .. } => show_policy(screen, &desk, &policy).await,
        Limits::Show { policy, key: Some(key), unmask } => {
            show_one(screen, &desk, &policy, &key, naming(unmask)).await
        }
        Limits::Set(wanted) => set(screen, &desk, wanted).await,
    }
}

const fn naming(unmask: bool) -> Naming {
    if unmask { Naming::Plain } else { Naming::Masked }
}

fn words(ms: u64) -> String {
    time_in_words(Duration::from_millis(ms))
}

fn rate_of(most: u32, per_ms: u64) -> String {
    rate::shown(most, Duration::from_millis(per_ms))
}

async fn list(screen: Screen, desk: &Desk) -> Result<Exit, Failure> {
    let lines = desk.policies(View::Installation).await;
    let lines = lines.map_err(|error| ops::failure(error, LIST))?;
    if screen.is_json {
        lines.iter().for_each(|line| screen.json_line(line));
        return Ok(Exit::Done);
    }
    let head = ["ID", "POLICY", "LIMIT", "DEFAULT", "MODE", "OWN", "CHANGED"].map(str::to_owned);
    let rows = std::iter::once(head).chain(lines.iter().map(policy_row));
    print_table(screen, &rows.collect::<Vec<_>>());
    screen.talk("Who is near one: switchyard limits ls --hot");
    Ok(Exit::Done)
}

fn policy_row(line: &PolicyLine) -> [String; 7] {
    [
        line.id.to_owned(),
        line.policy.to_owned(),
        rate_of(line.limit, line.per_ms),
        rate_of(line.default, line.per_ms),
        line.mode.to_owned(),
        line.overridden_keys.to_string(),
        line.r#override.as_ref().map_or_else(|| "-".to_owned(), |change| cut(&changed(change), 26)),
    ]
}

fn changed(change: &OverrideShown) -> String {
    let ends = change.ends_in_ms.map(|ms| format!(", {} left", short(ms)));
    format!("by {}{}", change.by, ends.unwrap_or_default())
}

async fn hottest(screen: Screen, desk: &Desk, top: usize, naming: Naming) -> Result<Exit, Failure> {
    let found = desk.hottest_limits(View::Installation, None, top, naming).await;
    let found = found.map_err(|error| ops::failure(error, LIST))?;
    if screen.is_json {
        found.iter().for_each(|used| screen.json_line(used));
        return Ok(Exit::Done);
    }
    if found.is_empty() {
        screen.talk("No limit is used now. What there is: switchyard limits ls");
        return Ok(Exit::Done);
    }
    let mut policies: Vec<&str> = Vec::new();
    for used in &found {
        if !policies.contains(&used.policy) {
            policies.push(used.policy);
        }
    }
    for policy in policies {
        screen.data(&screen.tint(Tone::Strong, policy));
        let head = ["  KEY", "USED", "LIMIT", "RESETS", "FOR"].map(str::to_owned);
        let of_policy = found.iter().filter(|used| used.policy == policy);
        let rows = std::iter::once(head).chain(of_policy.map(used_row));
        print_table(screen, &rows.collect::<Vec<_>>());
    }
    screen.talk("More about one: switchyard limits show POLICY KEY");
    Ok(Exit::Done)
}

fn used_row(used: &UsedLimit) -> [String; 5] {
    let key = if used.key.is_empty() { "the installation" } else { &used.key };
    [
        format!("  {key}"),
        used.used.to_string(),
        rate_of(used.limit, used.per_ms),
        short(used.resets_in_ms),
        used.subject.as_ref().map(|subject| cut(subject, 12)).unwrap_or_default(),
    ]
}

async fn show_policy(screen: Screen, desk: &Desk, policy: &str) -> Result<Exit, Failure> {
    let line = desk.find_policy(View::Installation, policy).await;
    let line = line.map_err(|error| ops::failure(error, LIST))?;
    if screen.is_json {
        screen.json_line(&line);
        return Ok(Exit::Done);
    }
    screen.data(&screen.tint(Tone::Strong, &format!("{} ({})", line.policy, line.id)));
    let say = |name: &str, text: &str| screen.data(&format!("  {name:<12}{text}"));
    say("limit", &rate_of(line.limit, line.per_ms));
    say("default", &rate_of(line.default, line.per_ms));
    say("counts", line.template);
    say("mode", line.mode);
    say("over it", line.over);
    say("Redis away", line.when_redis_is_away);
    say_change(screen, line.r#override.as_ref());
    let keys = line.overridden_keys;
    say("own", &format!("{keys} changed for single things"));
    screen.talk(&format!(
        "To change it:\n  switchyard limits set {} {} --for 2h --reason \"...\"",
        line.policy,
        rate_of(line.limit.saturating_mul(2), line.per_ms).replace(' ', "")
    ));
    Ok(Exit::Done)
}

fn say_change(screen: Screen, change: Option<&OverrideShown>) {
    let Some(change) = change else { return };
    let ends = change.ends_in_ms.map_or_else(
        || "until somebody ends it".to_owned(),
        |left| format!("ends in {}", words(left)),
    );
    let (by, ago) = (&change.by, words(change.age_ms));
    screen.data(&format!("  {:<12}by {by}, {ago} ago, {ends}", "changed"));
    screen.data(&format!("  {:<12}{}", "why", change.reason));
}

async fn show_one(
    screen: Screen,
    desk: &Desk,
    policy: &str,
    key: &str,
    naming: Naming,
) -> Result<Exit, Failure> {
    let used = desk.find_limit(View::Installation, policy, key, naming).await;
    let used = used.map_err(|error| ops::failure(error, LIST))?;
    if screen.is_json {
        screen.json_line(&used);
        return Ok(Exit::Done);
    }
    screen.data(&screen.tint(Tone::Strong, &format!("{} {}", used.policy, used.key)));
    let say = |name: &str, text: &str| screen.data(&format!("  {name:<12}{text}"));
    if let Some(subject) = &used.subject {
        say("for", subject);
    }
    say("limit", &rate_of(used.limit, used.per_ms));
    say("used", &format!("{}, all of it free in {}", used.used, words(used.resets_in_ms)));
    if used.has_own_setting {
        say("own setting", "yes, of the connection");
    }
    if let Some(factor) = used.slowed_to {
        say(
            "slowed to",
            &format!("{:.0} % by refusals of Meta's; it recovers by itself", factor * 100.0),
        );
    }
    say_change(screen, used.r#override.as_ref());
    screen.talk(&format!(
        "To change it:\n  switchyard limits set {policy} {} --key {key} --for 2h --reason \"...\"",
        rate_of(used.limit.saturating_mul(2), used.per_ms).replace(' ', "")
    ));
    Ok(Exit::Done)
}

async fn set(screen: Screen, desk: &Desk, wanted: SetLimit) -> Result<Exit, Failure> {
    let line = desk.find_policy(View::Installation, &wanted.policy).await;
    let line = line.map_err(|error| ops::failure(error, LIST))?;
    let per = Duration::from_millis(line.per_ms);
    let most = match wanted.limit.as_str() {
        "default" => None,
        text => Some(rate::parse(text, per).ok_or_else(|| unreadable(text, per))?),
    };
    let key = wanted.connection.as_deref().or(wanted.key.as_deref());
    if wanted.acting.dry_run {
        return rehearse(screen, desk, &line, key, most).await;
    }
    let new = NewLimit {
        policy: &wanted.policy,
        key,
        most,
        lasts: wanted.lasts.filter(|_| most.is_some()),
        reason: &wanted.reason,
        version: None,
    };
    let changed = desk.set_limit(View::Installation, &actor(&wanted.acting), new).await;
    let changed = changed.map_err(|error| ops::failure(error, LIST))?;
    if screen.is_json {
        screen.json(&changed);
        return Ok(Exit::Done);
    }
    screen.data(&report(&changed));
    screen.talk("Every process acts on it within 5 s.");
    if most.is_some() {
        let key = key.map(|key| format!(" --key {key}")).unwrap_or_default();
        let policy = changed.policy;
        screen.talk(&format!(
            "To end it:\n  switchyard limits set {policy} default{key} --reason \"...\""
        ));
    }
    Ok(Exit::Done)
}

fn unreadable(text: &str, per: Duration) -> Failure {
    let window = rate::shown(1, per);
    let error =
        anyhow::anyhow!("`{text}` is no whole number of units in this limit's window ({window})");
    Failure::new(error, "write it like 2000/min, 80/s, 5/30s, or default").with(Exit::Usage)
}

async fn rehearse(
    screen: Screen,
    desk: &Desk,
    line: &PolicyLine,
    key: Option<&str>,
    most: Option<u32>,
) -> Result<Exit, Failure> {
    let now = match key {
        Some(key) => {
            let used = desk.find_limit(View::Installation, line.policy, key, Naming::Masked).await;
            used.map_err(|error| ops::failure(error, LIST))?.limit
        }
        None => line.limit,
    };
    let then = most.map_or_else(
        || "what it is without a change".to_owned(),
        |most| rate_of(most, line.per_ms),
    );
    screen.data(&format!("{}: {} would become {then}", line.policy, rate_of(now, line.per_ms)));
    screen.talk("Nothing was changed (--dry-run).");
    Ok(Exit::Done)
}

fn report(changed: &Changed) -> String {
    let whose = match (&changed.key, &changed.subject) {
        (Some(key), Some(subject)) => format!(" of {key} ({subject})"),
        (Some(key), None) => format!(" of {key}"),
        (None, _) => String::new(),
    };
    let lasts = changed.ends_in_ms.map(|ms| format!(", for {}", words(ms))).unwrap_or_default();
    let (before, now) =
        (rate_of(changed.before, changed.per_ms), rate_of(changed.limit, changed.per_ms));
    format!("{}{whose}: {before} -> {now}{lasts} ({})", changed.policy, changed.audit)
}
