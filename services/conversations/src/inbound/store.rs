//! The transaction: claim, contacts, conversations, messages, statuses, events.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use contracts::events::event::Detail;
use contracts::events::{MessageReceived, MessageStatusChanged};
use contracts::names::event;
use kernel::ids::{ConnectionId, ContactId, ConversationId, MessageId, WorkspaceId};
use storage::contacts::{Consent, Resolved, Sighting};
use storage::conversations::{Grown, Growth};
use storage::events::{Event, Happened};
use storage::messages::{Direction, NewMessage};
use storage::statuses::{Applied, Status, Step};
use storage::templates::News;
use storage::webhook_records::WebhookRecord;
use storage::{
    AsyncPgConnection, StorageError, contacts, conversations, events, inbound_ledger, messages,
    statuses, templates, webhook_records,
};
use whatsapp::webhook::model::Preference;

use super::consent;
use super::lines::Line;
use super::read::{Item, Said, What};

/// What the transaction did.
pub(super) struct Stored {
    /// Per item: whether it took effect now, not earlier.
    pub(super) is_first: Vec<bool>,
    /// What is to be told onwards.
    pub(super) events: Vec<Event>,
    /// Whether something was told of templates.
    pub(super) has_template_news: bool,
}

pub(super) async fn store(
    tx: &mut AsyncPgConnection,
    items: &[Item],
    now: DateTime<Utc>,
) -> Result<Stored, StorageError> {
    if items.is_empty() {
        return Ok(Stored { is_first: Vec::new(), events: Vec::new(), has_template_news: false });
    }
    let ids = items.iter().map(|item| item.event_id).collect();
    let mut unclaimed = inbound_ledger::claim(tx, ids, now).await?;
    // Of two copies in one batch the first takes effect.
    let is_first: Vec<bool> = items.iter().map(|item| unclaimed.remove(&item.event_id)).collect();
    let fresh =
        || items.iter().zip(&is_first).filter(|(_, is_first)| **is_first).map(|(item, _)| item);

    let (mut told, answers) = store_messages(tx, fresh(), now).await?;
    let updates = fresh().filter_map(|item| match &item.what {
        What::Status(update) => Some(update.as_ref().clone()),
        What::Message(_) | What::Record { .. } => None,
    });
    let (threads, answered): (Vec<ConversationId>, Vec<MessageId>) = answers.into_iter().unzip();
    let applied = statuses::apply(tx, updates.collect(), &answered, now).await?;
    if !threads.is_empty() {
        conversations::forget_answered(tx, threads).await?;
    }
    told.extend(tell_steps(applied));
    webhook_records::insert(tx, fresh().filter_map(record).collect(), now).await?;
    let news: Vec<News> = fresh().filter_map(template_news).collect();
    templates::report(tx, &news).await?;
    events::append(tx, &told, now).await?;
    Ok(Stored { is_first, events: told, has_template_news: !news.is_empty() })
}

/// A message with where it was said.
struct Placed<'i> {
    item: &'i Item,
    line: Line,
    said: &'i Said,
    contact: Resolved,
}

/// Threads in which people wrote, with the campaign's message that they may have answered.
type Answers = HashMap<ConversationId, MessageId>;

async fn store_messages<'i>(
    tx: &mut AsyncPgConnection,
    fresh: impl Iterator<Item = &'i Item>,
    now: DateTime<Utc>,
) -> Result<(Vec<Event>, Answers), StorageError> {
    let fresh: Vec<&Item> = fresh.collect();
    let messages: Vec<(&Item, Line, &Said)> = fresh
        .iter()
        .filter_map(|item| match (&item.what, item.line) {
            (What::Message(said), Some(line)) => Some((*item, line, said.as_ref())),
            (What::Message(_) | What::Status(_) | What::Record { .. }, _) => None,
        })
        .collect();
    let wishes: Vec<(&Item, Line, &Preference)> =
        fresh.iter().flat_map(|item| wishes(item)).collect();
    if messages.is_empty() && wishes.is_empty() {
        return Ok(Default::default());
    }
    let (contacts, decided) = meet(tx, &messages, &wishes, now).await?;
    if messages.is_empty() {
        return Ok((decided, Answers::default()));
    }
    let placed: Vec<Placed<'_>> = messages
        .into_iter()
        .zip(contacts)
        .map(|((item, line, said), contact)| Placed { item, line, said, contact })
        .collect();
    let grown = conversations::grow(tx, growths(&placed, now), now).await?;
    let campaigns: Answers =
        grown.iter().filter_map(|grown| Some((grown.id, grown.campaign_message?))).collect();
    let (rows, mut told) = write_down(&placed, grown, now);
    let answers = rows.iter().filter(|row| row.direction == Direction::Inbound).filter_map(|row| {
        let answered = campaigns.get(&row.conversation_id)?;
        Some((row.conversation_id, *answered))
    });
    let answers = answers.collect();
    messages::insert(tx, rows, now).await?;
    told.extend(decided);
    Ok((told, answers))
}

/// What people told WhatsApp, one by one.
fn wishes(item: &Item) -> Vec<(&Item, Line, &Preference)> {
    match (&item.what, item.line) {
        (What::Record { preferences, .. }, Some(line)) => {
            preferences.iter().map(|wish| (item, line, wish)).collect()
        }
        (What::Message(_) | What::Status(_) | What::Record { .. }, _) => Vec::new(),
    }
}

/// Finds or makes everybody who said something, and writes down what they decided about hearing from us.
/// Returns the contacts of the messages, in their order, and what is to be told.
async fn meet(
    tx: &mut AsyncPgConnection,
    messages: &[(&Item, Line, &Said)],
    wishes: &[(&Item, Line, &Preference)],
    now: DateTime<Utc>,
) -> Result<(Vec<Resolved>, Vec<Event>), StorageError> {
    let mut sightings: Vec<Sighting> =
        messages.iter().map(|(_, line, said)| sighting(*line, said)).collect();
    sightings.extend(wishes.iter().map(|(_, line, wish)| of_wish(*line, wish)));
    let in_messages = messages.iter().enumerate().filter_map(|(at, (_, line, said))| {
        consent::of_message(*line, said, now).map(|declaration| (at, declaration))
    });
    let in_wishes = (messages.len()..)
        .zip(wishes)
        .map(|(at, (_, line, wish))| (at, consent::of_preference(*line, wish, now)));
    let declared = in_messages.chain(in_wishes).collect();
    let (mut met, news) = contacts::hear(tx, &sightings, declared, now).await?;
    let whose: HashMap<ContactId, (WorkspaceId, Option<String>)> = met
        .iter()
        .zip(messages.iter().map(|(item, ..)| item).chain(wishes.iter().map(|(item, ..)| item)))
        .filter_map(|(met, item)| {
            Some((met.id, (item.line?.workspace_id, item.traceparent.clone())))
        })
        .collect();
    let tell = |contact: ContactId, event_type| {
        let (workspace, traceparent) = whose.get(&contact)?.clone();
        Some(Event::about_contact(workspace, contact, event_type, now, traceparent))
    };
    let only_wished = met.split_off(messages.len());
    let mut made: Vec<ContactId> =
        only_wished.iter().filter(|person| person.is_new).map(|person| person.id).collect();
    made.retain(|id| met.iter().all(|person| person.id != *id));
    made.dedup();
    let mut told: Vec<Event> =
        made.into_iter().filter_map(|id| tell(id, event::CONTACT_CREATED)).collect();
    told.extend(news.into_iter().filter_map(|(contact, consent)| match consent {
        Consent::Given => tell(contact, event::CONTACT_OPTED_IN),
        Consent::Withdrawn => tell(contact, event::CONTACT_OPTED_OUT),
    }));
    Ok((met, told))
}

fn sighting(line: Line, said: &Said) -> Sighting {
    Sighting {
        workspace_id: line.workspace_id,
        wa_id: said.wa_id.clone(),
        user_id: said.user_id.clone(),
        name: said.name.clone(),
    }
}

fn of_wish(line: Line, wish: &Preference) -> Sighting {
    Sighting {
        workspace_id: line.workspace_id,
        wa_id: wish.wa_id.clone(),
        user_id: wish.user_id.clone(),
        name: None,
    }
}

fn growths(placed: &[Placed<'_>], now: DateTime<Utc>) -> Vec<Growth> {
    let mut growths: HashMap<(ConnectionId, ContactId), Growth> = HashMap::new();
    for message in placed {
        let key = (message.line.connection_id, message.contact.id);
        let growth = growths.entry(key).or_insert(Growth {
            workspace_id: message.line.workspace_id,
            connection_id: key.0,
            contact_id: key.1,
            messages: 0,
            customer_wrote_at: None,
            campaign_message: None,
        });
        growth.messages += 1;
        if message.said.direction == Direction::Inbound {
            // Meta's clock opens the window; one that runs ahead of ours must not lengthen it.
            let wrote_at = message.said.said_at.unwrap_or(now).min(now);
            growth.customer_wrote_at = growth.customer_wrote_at.max(Some(wrote_at));
        }
    }
    growths.into_values().collect()
}

/// Gives every message its place, in the order of arrival.
fn write_down(
    placed: &[Placed<'_>],
    grown: Vec<Grown>,
    now: DateTime<Utc>,
) -> (Vec<NewMessage>, Vec<Event>) {
    let mut counts: HashMap<(ConnectionId, ContactId), i64> = HashMap::new();
    for message in placed {
        *counts.entry((message.line.connection_id, message.contact.id)).or_default() += 1;
    }
    let mut threads: HashMap<(ConnectionId, ContactId), (Grown, i64)> = grown
        .into_iter()
        .map(|grown| {
            let key = (grown.connection_id, grown.contact_id);
            let count = counts.get(&key).copied().unwrap_or(0);
            let next = grown.last_sequence - count + 1;
            (key, (grown, next))
        })
        .collect();
    let mut rows = Vec::with_capacity(placed.len());
    let mut told = Vec::with_capacity(placed.len());
    let mut introduced = Vec::new();
    for message in placed {
        let key = (message.line.connection_id, message.contact.id);
        let Some((thread, next)) = threads.get_mut(&key) else { continue };
        let is_introduction = !introduced.contains(&message.contact.id);
        if message.contact.is_new && is_introduction {
            introduced.push(message.contact.id);
            told.push(tell(event::CONTACT_CREATED, message, thread, None, 0, now));
        }
        if thread.is_new {
            thread.is_new = false;
            told.push(tell(event::CONVERSATION_OPENED, message, thread, None, 0, now));
        }
        let row = row(message, thread, *next);
        if message.said.direction == Direction::Inbound {
            told.push(tell(event::MESSAGE_RECEIVED, message, thread, Some(row.id), *next, now));
        }
        rows.push(row);
        *next += 1;
    }
    (rows, told)
}

fn row(message: &Placed<'_>, thread: &Grown, sequence: i64) -> NewMessage {
    NewMessage {
        id: MessageId::new(),
        workspace_id: message.line.workspace_id,
        connection_id: message.line.connection_id,
        conversation_id: thread.id,
        contact_id: message.contact.id,
        sequence,
        direction: message.said.direction,
        kind: message.said.kind.clone(),
        wamid: message.said.wamid.clone(),
        body: message.said.text.clone(),
        raw: Some(message.said.raw.clone()),
        said_at: message.said.said_at,
    }
}

fn tell(
    event_type: &'static str,
    message: &Placed<'_>,
    thread: &Grown,
    message_id: Option<MessageId>,
    sequence: i64,
    now: DateTime<Utc>,
) -> Event {
    let detail = message_id.map(|_| {
        Detail::MessageReceived(MessageReceived {
            kind: message.said.kind.clone(),
            text: message.said.text.clone().unwrap_or_default(),
        })
    });
    let event = Event::from(Happened {
        workspace_id: message.line.workspace_id,
        event_type,
        connection_id: message.line.connection_id,
        contact_id: Some(message.contact.id),
        conversation_id: Some(thread.id),
        message_id,
        sequence,
        at: now,
        detail,
        traceparent: message.item.traceparent.clone(),
    });
    // Without a bot nobody of ours has to look.
    Event { is_awaited: thread.waits_for_bot, ..event }
}

/// What statuses changed, as events; also used for statuses that were parked.
pub(crate) fn tell_steps(applied: Applied) -> Vec<Event> {
    if applied.duplicates > 0 {
        metrics::counter!("switchyard_duplicate_escaped_total", "stage" => "send")
            .increment(u64::try_from(applied.duplicates).unwrap_or(u64::MAX));
        tracing::error!(count = applied.duplicates, "Meta accepted a message twice");
    }
    applied.steps.into_iter().filter_map(tell_step).collect()
}

fn tell_step(step: Step) -> Option<Event> {
    let event_type = match step.status {
        Status::Sent => event::MESSAGE_SENT,
        Status::Delivered => event::MESSAGE_DELIVERED,
        Status::Read => event::MESSAGE_READ,
        Status::Failed => event::MESSAGE_FAILED,
        Status::Other(_) => return None,
    };
    let detail = MessageStatusChanged {
        status: step.status.as_str().to_owned(),
        error_code: step.error_code.unwrap_or(0),
    };
    Some(Event::from(Happened {
        workspace_id: step.workspace_id,
        event_type,
        connection_id: step.connection_id,
        contact_id: None,
        conversation_id: Some(step.conversation_id),
        message_id: Some(step.message_id),
        sequence: 0,
        at: step.happened_at,
        detail: Some(Detail::MessageStatusChanged(detail)),
        traceparent: None,
    }))
}

fn template_news(item: &Item) -> Option<News> {
    match &item.what {
        What::Record { field, waba_id, app_workspace_id, .. } if templates::is_news(field) => {
            let (waba_id, app_workspace_id) = (waba_id.clone(), *app_workspace_id);
            Some(News { event_id: item.event_id, waba_id, app_workspace_id })
        }
        What::Message(_) | What::Status(_) | What::Record { .. } => None,
    }
}

fn record(item: &Item) -> Option<WebhookRecord> {
    let What::Record { field, waba_id, phone_number_id, item: json, happened_at, .. } = &item.what
    else {
        return None;
    };
    Some(WebhookRecord {
        event_id: item.event_id,
        workspace_id: item.line.map(|line| line.workspace_id),
        connection_id: item.line.map(|line| line.connection_id),
        field: field.clone(),
        waba_id: waba_id.clone(),
        phone_number_id: phone_number_id.clone(),
        item: json.to_vec(),
        happened_at: *happened_at,
    })
}
