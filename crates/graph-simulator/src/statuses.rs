//! Plans the statuses that follow an accepted message.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::body::{Item, Status, Update};
use crate::dice::Dice;
use crate::fault::{Fate, StatusName, StatusPlan};
use crate::ledger::Sent;
use crate::options::Number;

/// A status and how long after the previous one it is told.
pub(crate) type Due = (Duration, Update);

/// The statuses of `sent` in the order in which they will be told.
///
/// What it is held for comes before all of them and is not part of the first pause.
/// The timestamps keep the proper order even when the telling does not, as at Meta.
pub(crate) fn plan(
    sent: &Sent,
    number: &Arc<Number>,
    plan: &StatusPlan,
    fate: Fate,
    dice: &mut Dice,
) -> Vec<Due> {
    let mut told = Vec::new();
    let held = TimeDelta::from_std(fate.held_for.unwrap_or_default()).unwrap_or_default();
    let mut at = sent.at.checked_add_signed(held).unwrap_or(sent.at);
    for name in names(plan, fate) {
        let delay = dice.between(plan.delay_ms);
        let step = TimeDelta::try_milliseconds(i64::try_from(delay).unwrap_or(0));
        at = step.and_then(|step| at.checked_add_signed(step)).unwrap_or(at);
        if dice.chance(plan.drop) {
            continue;
        }
        let status = status(sent, name, fate.fails_with, at);
        let copies = if dice.chance(plan.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            let item = Item::Status(status.clone());
            let update = Update { number: Arc::clone(number), item };
            told.push((Duration::from_millis(delay), update));
        }
    }
    if dice.chance(plan.shuffle) {
        shuffle(&mut told, dice);
    }
    told
}

/// The statuses by name; `None` stands for `failed`, after which nothing comes.
fn names(plan: &StatusPlan, fate: Fate) -> Vec<Option<StatusName>> {
    let is_sent = fate.held_for.is_none() && plan.statuses.contains(&StatusName::Sent);
    match fate.fails_with {
        None => plan.statuses.iter().copied().map(Some).collect(),
        Some(_) if is_sent => vec![Some(StatusName::Sent), None],
        Some(_) => vec![None],
    }
}

fn status(
    sent: &Sent,
    name: Option<StatusName>,
    fail_later: Option<i64>,
    at: DateTime<Utc>,
) -> Status {
    let is_number = sent.recipient.bytes().all(|byte| byte.is_ascii_digit());
    let (recipient_id, recipient_user_id) = match is_number {
        true => (Some(sent.recipient.clone()), None),
        false => (None, Some(sent.recipient.clone())),
    };
    let pricing = matches!(name, Some(StatusName::Sent | StatusName::Delivered)).then(pricing);
    Status {
        id: sent.wamid.clone(),
        status: match name {
            Some(StatusName::Sent) => "sent",
            Some(StatusName::Delivered) => "delivered",
            Some(StatusName::Read) => "read",
            None => "failed",
        },
        timestamp: at.timestamp().to_string(),
        recipient_id,
        recipient_user_id,
        pricing,
        // Documented for sent, delivered and read only, so nobody may rely on it in `failed`.
        biz_opaque_callback_data: name.and(sent.callback_data.clone()),
        errors: match (name, fail_later) {
            (None, Some(code)) => vec![failure(code)],
            _ => Vec::new(),
        },
    }
}

fn pricing() -> Value {
    json!({"billable": true, "pricing_model": "PMP", "category": "service", "type": "regular"})
}

fn failure(code: i64) -> Value {
    json!({
        "code": code,
        "title": "Message undeliverable",
        "message": "Message undeliverable",
        "error_data": {"details": "The simulator was told to fail this message."},
        "href": "https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes",
    })
}

/// Fisher and Yates' shuffle.
fn shuffle<T>(items: &mut [T], dice: &mut Dice) {
    for last in (1..items.len()).rev() {
        let bound = u64::try_from(last + 1).unwrap_or(1);
        let other = usize::try_from(dice.roll() % bound).unwrap_or(last);
        items.swap(last, other);
    }
}
