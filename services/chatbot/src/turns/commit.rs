//! Makes decisions take effect, all together or not at all.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use contracts::events::BotSilent;
use contracts::events::event::Detail;
use contracts::names::event::BOT_SILENT;
use kernel::ids::{ConversationId, MessageId};
use storage::bot_turns::{self, Advance, Place};
use storage::events::{self, Event, Happened};
use storage::messages::{self, Direction, NewMessage};
use storage::send_ledger::{self, NewOutbound, OnDoubt, Source};
use storage::{AsyncPgConnection, StorageError};

use super::Turn;
use super::decide::{Answer, Decision, Outcome};

/// Until this long after the person wrote, a reply whose fate is unknown may be sent again; later a
/// second answer would confuse.
const RESEND: TimeDelta = TimeDelta::seconds(60);

/// What took effect.
pub(super) struct Committed {
    /// Messages that had their turn in this transaction.
    pub(super) played: HashSet<MessageId>,
    /// How many replies were enqueued.
    pub(super) replies: usize,
    /// To be published.
    pub(super) events: Vec<Event>,
}

/// A turn of this transaction, and its reply if it has one.
struct Played<'a> {
    turn: &'a Turn,
    reply: Option<Reply<'a>>,
}

struct Reply<'a> {
    id: MessageId,
    answer: &'a Answer,
}

/// Stores those turns that nobody has played since they were read.
pub(super) async fn commit(
    tx: &mut AsyncPgConnection,
    turns: &[Turn],
    now: DateTime<Utc>,
) -> Result<Committed, StorageError> {
    let mut threads: Vec<ConversationId> =
        turns.iter().map(|turn| turn.waiting.conversation_id).collect();
    threads.dedup();
    let places = bot_turns::lock(tx, &threads).await?;
    let open: Vec<Played<'_>> = turns
        .iter()
        .filter(|turn| {
            let place = places.get(&turn.waiting.conversation_id);
            place.is_some_and(|place| turn.waiting.sequence > place.bot_sequence)
        })
        .map(Played::new)
        .collect();
    if open.is_empty() {
        return Ok(Committed { played: HashSet::new(), replies: 0, events: Vec::new() });
    }
    let outbound = open.iter().filter_map(Played::outbound).collect();
    let enqueued = send_ledger::enqueue(tx, outbound, now).await?;
    // Answered before its conversation became part of another: the old turn stays.
    let is_new = |played: &&Played<'_>| {
        played.reply.as_ref().is_none_or(|reply| enqueued.contains(&reply.id))
    };
    let new: Vec<&Played<'_>> = open.iter().filter(is_new).collect();
    let replies = replies(&new, &places);
    bot_turns::advance(tx, &advances(&open, &replies), now).await?;
    if !replies.is_empty() {
        messages::insert(tx, replies, now).await?;
    }
    let rows: Vec<bot_turns::Turn> = new.iter().filter_map(|played| played.row()).collect();
    bot_turns::record(tx, &rows, now).await?;
    let events: Vec<Event> = new.iter().filter_map(|played| played.event(now)).collect();
    events::append(tx, &events, now).await?;
    let played = new.iter().map(|played| played.turn.waiting.message_id).collect();
    Ok(Committed { played, replies: enqueued.len(), events })
}

/// The replies as rows of their threads, behind what is there.
fn replies(new: &[&Played<'_>], places: &HashMap<ConversationId, Place>) -> Vec<NewMessage> {
    let mut last: HashMap<ConversationId, i64> =
        places.iter().map(|(id, place)| (*id, place.last_sequence)).collect();
    let mut rows = Vec::new();
    for played in new {
        let waiting = &played.turn.waiting;
        let (Some(reply), Some(last)) = (&played.reply, last.get_mut(&waiting.conversation_id))
        else {
            continue;
        };
        *last += 1;
        rows.push(NewMessage {
            id: reply.id,
            workspace_id: waiting.workspace_id,
            connection_id: waiting.connection_id,
            conversation_id: waiting.conversation_id,
            contact_id: waiting.contact_id,
            sequence: *last,
            direction: Direction::Outbound,
            kind: "text".to_owned(),
            wamid: None,
            body: Some(reply.answer.text.clone()),
            raw: None,
            said_at: None,
        });
    }
    rows
}

/// Every conversation moves to its last decided message: turns are in order.
fn advances(open: &[Played<'_>], replies: &[NewMessage]) -> Vec<Advance> {
    let thread = |played: &Played<'_>| played.turn.waiting.conversation_id;
    open.chunk_by(|a, b| thread(a) == thread(b))
        .filter_map(|played| {
            let last = played.last()?;
            let conversation_id = thread(last);
            let count = replies.iter().filter(|row| row.conversation_id == conversation_id).count();
            Some(Advance {
                conversation_id,
                bot_sequence: last.turn.waiting.sequence,
                replies: i64::try_from(count).unwrap_or(i64::MAX),
            })
        })
        .collect()
}

impl<'a> Played<'a> {
    fn new(turn: &'a Turn) -> Self {
        let reply = match &turn.decision {
            Decision::Reply { answer, .. } => Some(Reply { id: MessageId::new(), answer }),
            Decision::NoBot | Decision::Silent { .. } => None,
        };
        Self { turn, reply }
    }

    fn outbound(&self) -> Option<NewOutbound> {
        let (reply, waiting) = (self.reply.as_ref()?, &self.turn.waiting);
        Some(NewOutbound {
            id: reply.id,
            workspace_id: waiting.workspace_id,
            connection_id: waiting.connection_id,
            conversation_id: waiting.conversation_id,
            dedupe_key: format!("b:{}", waiting.message_id.as_uuid().simple()),
            recipient: reply.answer.recipient.clone(),
            source: Source::Bot,
            campaign_id: None,
            on_doubt: OnDoubt::Resend,
            resend_until: Some(waiting.said_at + RESEND),
            content: reply.answer.content.clone(),
            traceparent: self.turn.traceparent.clone(),
        })
    }

    fn row(&self) -> Option<bot_turns::Turn> {
        let waiting = &self.turn.waiting;
        let (bot_id, rule_id) = match self.turn.decision {
            Decision::NoBot => return None,
            Decision::Silent { bot, rule, .. } => (bot, rule),
            Decision::Reply { bot, rule, .. } => (bot, Some(rule)),
        };
        Some(bot_turns::Turn {
            message_id: waiting.message_id,
            workspace_id: waiting.workspace_id,
            conversation_id: waiting.conversation_id,
            bot_id,
            rule_id,
            outcome: self.turn.decision.outcome()?.as_str(),
            reply_message_id: self.reply.as_ref().map(|reply| reply.id),
        })
    }

    /// Says that the bot had an answer and kept it.
    fn event(&self, now: DateTime<Utc>) -> Option<Event> {
        let outcome = self.turn.decision.outcome()?;
        if !matches!(outcome, Outcome::RateLimited | Outcome::OutsideWindow) {
            return None;
        }
        let waiting = &self.turn.waiting;
        let happened = Happened {
            workspace_id: waiting.workspace_id,
            event_type: BOT_SILENT,
            connection_id: waiting.connection_id,
            contact_id: Some(waiting.contact_id),
            conversation_id: Some(waiting.conversation_id),
            message_id: Some(waiting.message_id),
            sequence: waiting.sequence,
            at: now,
            detail: Some(Detail::BotSilent(BotSilent { reason: outcome.as_str().to_owned() })),
            traceparent: self.turn.traceparent.clone(),
        };
        Some(happened.into())
    }
}
