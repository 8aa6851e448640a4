//! `locks`: what there is, who holds what, and taking one away.

use std::time::Duration;

use console::locks::{ClassLine, HeldLock, Life, Outcome, Release, Released, time_in_words};
use console::{Desk, Naming, OpsError, View};

use super::ops::{self, actor, bar, cut, short};
use crate::cli::{Locks, TakeLock};
use crate::exit::{Exit, Failure};
use crate::screen::{Screen, Tone, columns};

const HELD: &str = "switchyard locks ls --held";
/// Characters of a line before the columns of `ls --held`.
const WIDE: usize = 46;

/// Looks at locks, or takes one away.
pub(crate) async fn locks(screen: Screen, asked: Locks) -> Result<Exit, Failure> {
    let desk = ops::desk().await?;
    match asked {
        Locks::Ls { held: false, class, .. } => list_classes(screen, &desk, class.as_deref()).await,
        Locks::Ls { held: true, class, unmask } => {
            list_held(screen, &desk, class.as_deref(), naming(unmask)).await
        }
        Locks::Show { name, unmask } => show(screen, &desk, &name, naming(unmask)).await,
        Locks::Release(wanted) => release(screen, &desk, wanted).await,
    }
}

const fn naming(unmask: bool) -> Naming {
    if unmask { Naming::Plain } else { Naming::Masked }
}

async fn list_classes(screen: Screen, desk: &Desk, class: Option<&str>) -> Result<Exit, Failure> {
    let classes = desk.lock_classes(View::Installation, class).await;
    let classes = classes.map_err(|error| ops::failure(error, "switchyard locks ls"))?;
    if screen.is_json {
        classes.iter().for_each(|class| screen.json_line(class));
        return Ok(Exit::Done);
    }
    let head = ["ID", "CLASS", "TTL", "RENEWED UP TO", "MODE", "HELD", "WAITING"];
    let rows = std::iter::once(head.map(str::to_owned)).chain(classes.iter().map(class_row));
    print_table(screen, &rows.collect::<Vec<_>>());
    let next = match classes.as_slice() {
        [ClassLine { class, held: 1.., .. }] => format!("Who holds them: {HELD} --class {class}"),
        _ => format!("Who holds them: {HELD}"),
    };
    screen.talk(&next);
    Ok(Exit::Done)
}

fn class_row(line: &ClassLine) -> [String; 7] {
    [
        line.id.to_owned(),
        line.class.to_owned(),
        short(line.ttl_ms),
        line.renewed_up_to_ms.map_or_else(|| "-".to_owned(), short),
        line.mode.to_owned(),
        line.held.to_string(),
        line.waiters.to_string(),
    ]
}

/// The first row is the head.
pub(super) fn print_table<const N: usize>(screen: Screen, rows: &[[String; N]]) {
    for (place, line) in columns(rows).iter().enumerate() {
        let tone = if place == 0 { Tone::Faint } else { Tone::Plain };
        screen.data(&screen.tint(tone, line));
    }
}

async fn list_held(
    screen: Screen,
    desk: &Desk,
    class: Option<&str>,
    naming: Naming,
) -> Result<Exit, Failure> {
    let held = desk.held_locks(View::Installation, class, naming).await;
    let held = held.map_err(|error| ops::failure(error, "switchyard locks ls"))?;
    if screen.is_json {
        held.iter().for_each(|held| screen.json_line(held));
        return Ok(Exit::Done);
    }
    if held.is_empty() {
        screen.talk("Nobody holds a lock. What there is: switchyard locks ls");
        return Ok(Exit::Done);
    }
    let head = format!("{:<WIDE$}{:>7}  {:>6}         WAITERS", "LOCK, OWNER", "AGE", "LEFT");
    screen.data(&screen.tint(Tone::Faint, &head));
    held.iter().for_each(|held| block(screen, held));
    screen.talk(&advice(&held));
    Ok(Exit::Done)
}

/// A lock on three lines: names are too long to stand beside anything on 80 columns.
fn block(screen: Screen, held: &HeldLock) {
    screen.data(&screen.tint(Tone::Strong, &held.name));
    let age = held.age_ms.map_or_else(|| "?".to_owned(), short);
    let (left, bar) = (short(held.ttl_left_ms), bar(held.ttl_left_ms, held.ttl_ms));
    let owner = cut(&owner(held), WIDE - 3);
    let wide = WIDE - 2;
    screen.data(&format!("  {owner:<wide$}{age:>7}  {left:>6} {bar} {:>8}", held.waiters));
    let tone = if held.life == Life::Silent { Tone::Warn } else { Tone::Faint };
    let about = held.subject.as_ref().map(|subject| format!("{}: ", cut(subject, 20)));
    let said = format!("  {}{}", about.unwrap_or_default(), held.explanation);
    screen.data(&screen.tint(tone, &said));
}

fn owner(held: &HeldLock) -> String {
    match held.owner.as_str() {
        "" => "not one of our processes".to_owned(),
        owner => owner.to_owned(),
    }
}

fn advice(held: &[HeldLock]) -> String {
    match held.iter().find(|held| held.life == Life::Silent) {
        Some(HeldLock { name, .. }) => format!(
            "A silent holder's lock frees itself. To hurry it:\n  switchyard locks release '{name}' --reason \"...\""
        ),
        None => {
            "More about one, and what a release would do: switchyard locks show NAME".to_owned()
        }
    }
}

async fn show(screen: Screen, desk: &Desk, name: &str, naming: Naming) -> Result<Exit, Failure> {
    let found = desk.find_locks(View::Installation, name, naming).await;
    let found = found.map_err(|error| ops::failure(error, HELD))?;
    for held in &found {
        if screen.is_json {
            screen.json_line(held);
        } else {
            details(screen, held);
        }
    }
    if let ([held], false) = (found.as_slice(), screen.is_json) {
        let confirm = match held.life {
            Life::Silent => String::new(),
            Life::Alive | Life::Unknown => format!(" --confirm '{}'", held.name),
        };
        let (name, token) = (&held.name, &held.owner_token_prefix);
        screen.talk(&format!(
            "To take it away:\n  switchyard locks release '{name}' --owner {token} --reason \"...\"{confirm}"
        ));
    }
    Ok(Exit::Done)
}

fn details(screen: Screen, held: &HeldLock) {
    screen.data(&screen.tint(Tone::Strong, &held.name));
    let words = |ms: u64| time_in_words(Duration::from_millis(ms));
    let line = |name: &str, text: &str| screen.data(&format!("  {name:<12}{text}"));
    if let Some(subject) = &held.subject {
        line("for", subject);
    }
    line("owner", &format!("{} (token {})", owner(held), held.owner_token_prefix));
    line("held for", &held.age_ms.map_or_else(|| "not known".to_owned(), words));
    line("time left", &format!("{} of {}", words(held.ttl_left_ms), words(held.ttl_ms)));
    if let Some(fence) = held.fence {
        line("fence", &fence.to_string());
    }
    line("waiters", &held.waiters.to_string());
    line("state", &held.explanation);
    for (place, text) in wrapped(&held.if_released, 66).iter().enumerate() {
        line(if place == 0 { "if released" } else { "" }, text);
    }
}

/// Lines of at most `most` characters, broken between words.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

async fn release(screen: Screen, desk: &Desk, wanted: TakeLock) -> Result<Exit, Failure> {
    let held = chosen(desk, &wanted).await.map_err(|error| ops::failure(error, HELD))?;
    let is_confirmed = wanted.confirm.as_deref() == Some(wanted.name.as_str());
    if held.life != Life::Silent && !is_confirmed && !wanted.acting.dry_run {
        let busy = anyhow::anyhow!("{} may be at work ({})", owner(&held), held.explanation);
        let fix = format!("wait, or repeat with: --confirm '{}'", wanted.name);
        return Err(Failure::new(busy, fix).with(Exit::Conflict));
    }
    if wanted.acting.dry_run {
        details(screen, &held);
        screen.talk("Nothing was changed (--dry-run).");
        return Ok(Exit::Done);
    }
    let release = Release {
        name: &wanted.name,
        owner_token_prefix: &held.owner_token_prefix,
        reason: &wanted.reason,
    };
    let actor = actor(&wanted.acting);
    let released = desk.release_lock(View::Installation, &actor, release).await;
    let released = released.map_err(|error| ops::failure(error, HELD))?;
    if screen.is_json {
        screen.json(&released);
    } else {
        screen.data(&outcome(&released, &owner(&held)));
        screen.talk("Look at what holds it now: switchyard locks ls --held");
    }
    Ok(Exit::Done)
}

/// The one lock that is meant, as it is held now.
async fn chosen(desk: &Desk, wanted: &TakeLock) -> Result<HeldLock, OpsError> {
    let found = desk.find_locks(View::Installation, &wanted.name, Naming::Masked).await?;
    let is_meant = |held: &HeldLock| {
        let token = &held.owner_token_prefix;
        wanted.owner.as_ref().is_none_or(|owner| owner.starts_with(token.as_str()))
    };
    let count = found.len();
    let first = found.first().cloned().map(Box::new);
    let mut meant = found.into_iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(held), None) => Ok(held),
        (Some(_), Some(_)) => Err(OpsError::Ambiguous { count }),
        (None, _) => Err(OpsError::OwnerChanged { now: first }),
    }
}

fn outcome(released: &Released, owner: &str) -> String {
    let (name, audit) = (&released.name, released.audit);
    match (released.outcome, released.waiters) {
        (Outcome::Released, 0) => format!("{name} was taken from {owner}. It is free. ({audit})"),
        (Outcome::Released, _) => {
            format!("{name} was taken from {owner}. Its first waiter has it now. ({audit})")
        }
        (Outcome::AlreadyFree, _) => format!("{name} was free already. ({audit})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_broken_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("unbreakable", 3), ["unbreakable"]);
        assert!(wrapped("", 3).is_empty());
    }
}
