//! Plays the turns that wait: read, decide, ask the limit, commit, tell.

mod commit;
mod decide;
mod meters;

use std::collections::HashMap;
use std::sync::Arc;

use coordination::{Decision as Admission, Limit, LimitName, Limiter};
use diesel_async::AsyncConnection;
use futures_util::future::join_all;
use kernel::Clock;
use kernel::ids::{ConversationId, MessageId};
use relay::Relay;
use sending::Sender;
use storage::bot_turns::{self, Waiting};
use storage::send_ledger::Source;
use storage::send_ledger::claim::Stream;
use storage::{Database, StorageError};
use telemetry::messages::ALREADY_PROCESSED;
use telemetry::trace;
use tracing::{Instrument, Span, info, info_span};

use self::commit::Committed;
use self::decide::{Decision, Outcome, decide, guarded};
use self::meters::Meters;
use crate::rules::RuleBook;

/// Messages in one transaction at most; what is left follows in the next one.
const MOST: i64 = 500;

/// Conversations whose limit is asked at once.
const ASKED_AT_ONCE: usize = 64;

/// Where turns may wait.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    conversations: Vec<ConversationId>,
    messages: Vec<MessageId>,
    traces: HashMap<MessageId, String>,
}

impl Hints {
    /// A hint about one conversation.
    pub(crate) fn about(conversation: ConversationId) -> Self {
        Self { conversations: vec![conversation], ..Self::default() }
    }

    /// Adds that `message` was received in `conversation`, and by which trace.
    pub(crate) fn add(
        &mut self,
        conversation: ConversationId,
        message: Option<MessageId>,
        traceparent: Option<&str>,
    ) {
        if !self.conversations.contains(&conversation) {
            self.conversations.push(conversation);
        }
        let Some(message) = message else { return };
        self.messages.push(message);
        if let Some(traceparent) = traceparent {
            self.traces.insert(message, traceparent.to_owned());
        }
    }

    #[cfg(test)]
    pub(crate) fn conversations(&self) -> &[ConversationId] {
        &self.conversations
    }
}

/// One message and what the bot decided about it.
struct Turn {
    waiting: Waiting,
    decision: Decision,
    span: Span,
    traceparent: Option<String>,
}

/// What turns are played with.
pub(crate) struct Parts {
    pub(crate) db: Database,
    pub(crate) limiter: Limiter,
    pub(crate) per_minute: u32,
    pub(crate) sender: Sender,
    pub(crate) relay: Relay,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Plays turns.
pub(crate) struct Turns {
    parts: Parts,
    rules: RuleBook,
    meters: Meters,
}

impl Turns {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts, rules: RuleBook::default(), meters: Meters::register() }
    }

    /// Plays every turn that waits where the hints point; returns how many it played.
    ///
    /// # Errors
    ///
    /// When the database fails; what was committed before stays, and playing again is harmless.
    pub(crate) async fn play(&self, hints: &Hints) -> Result<usize, StorageError> {
        let mut played = 0;
        if hints.conversations.is_empty() {
            return Ok(played);
        }
        loop {
            let waiting = self.waiting(hints).await?;
            let is_all = i64::try_from(waiting.len()).is_ok_and(|count| count < MOST);
            if !waiting.is_empty() {
                played += self.play_these(waiting, hints).await?;
            }
            if is_all {
                return Ok(played);
            }
        }
    }

    async fn waiting(&self, hints: &Hints) -> Result<Vec<Waiting>, StorageError> {
        let mut conn = self.parts.db.connection().await?;
        bot_turns::waiting(&mut conn, &hints.conversations, &hints.messages, MOST).await
    }

    async fn play_these(
        &self,
        waiting: Vec<Waiting>,
        hints: &Hints,
    ) -> Result<usize, StorageError> {
        let mut turns = self.decide(waiting, hints).await?;
        self.ask_limit(&mut turns).await;
        let now = self.parts.clock.now();
        let committed = {
            let mut conn = self.parts.db.connection().await?;
            (*conn).transaction(async |tx| commit::commit(tx, &turns, now).await).await?
        };
        let played = committed.played.len();
        self.tell(&turns, committed).await;
        Ok(played)
    }

    async fn decide(
        &self,
        waiting: Vec<Waiting>,
        hints: &Hints,
    ) -> Result<Vec<Turn>, StorageError> {
        let bots = waiting.iter().filter_map(|message| message.bot);
        let rules = self.rules.find(&self.parts.db, bots.filter(|bot| bot.is_enabled)).await?;
        let now = self.parts.clock.now();
        let turn = |waiting: Waiting| {
            let span = info_span!(
                "bot turn",
                message.id = %waiting.message_id,
                conversation.id = %waiting.conversation_id
            );
            if let Some(parent) = hints.traces.get(&waiting.message_id) {
                trace::set_parent(&span, parent);
            }
            let rules = waiting.bot.and_then(|bot| rules.get(&bot.id));
            let (decision, traceparent) = span.in_scope(|| {
                let decision = guarded(&waiting, || decide(&waiting, rules.map(Arc::as_ref), now));
                (decision, trace::current_traceparent())
            });
            Turn { waiting, decision, span, traceparent }
        };
        Ok(waiting.into_iter().map(turn).collect())
    }

    /// Asks R3 for every reply: in order within a conversation, conversations beside each other. The
    /// unit is the message, so a redelivery does not use up its own limit.
    async fn ask_limit(&self, turns: &mut [Turn]) {
        let mut threads: Vec<&mut [Turn]> = turns
            .chunk_by_mut(|a, b| a.waiting.conversation_id == b.waiting.conversation_id)
            .collect();
        for some in threads.chunks_mut(ASKED_AT_ONCE) {
            join_all(some.iter_mut().map(|thread| self.ask_for_thread(thread))).await;
        }
    }

    async fn ask_for_thread(&self, thread: &mut [Turn]) {
        for turn in thread {
            let Decision::Reply { bot, rule, .. } = turn.decision else { continue };
            let name = LimitName::Bot(turn.waiting.conversation_id);
            let limit = Limit::of(name).by_default(self.parts.per_minute);
            let unit = turn.waiting.message_id.as_uuid();
            let asked = self.parts.limiter.check_unit(&limit, unit);
            match asked.instrument(turn.span.clone()).await {
                Admission::Go(_) => (),
                Admission::Wait { .. } => {
                    let outcome = Outcome::RateLimited;
                    turn.decision = Decision::Silent { bot, rule: Some(rule), outcome };
                }
            }
        }
    }

    /// Says what was committed: to the sender, the broker, the log and the metrics.
    async fn tell(&self, turns: &[Turn], committed: Committed) {
        if committed.replies > 0 {
            self.parts.sender.nudge_streams(turns.iter().map(|turn| Stream {
                connection_id: turn.waiting.connection_id,
                source: Source::Bot,
                campaign_id: None,
            }));
        }
        self.parts.relay.publish(committed.events).await;
        for turn in turns {
            let Some(outcome) = turn.decision.outcome() else { continue };
            let is_played = committed.played.contains(&turn.waiting.message_id);
            if is_played {
                self.meters.played(outcome);
            }
            let waiting = &turn.waiting;
            turn.span.in_scope(|| match outcome {
                Outcome::Replied if !is_played => {
                    self.meters.suppressed();
                    info!(
                        message.id = %waiting.message_id,
                        workspace.id = %waiting.workspace_id,
                        connection.id = %waiting.connection_id,
                        "{ALREADY_PROCESSED}"
                    );
                }
                Outcome::RateLimited | Outcome::OutsideWindow if is_played => info!(
                    message.id = %waiting.message_id,
                    workspace.id = %waiting.workspace_id,
                    connection.id = %waiting.connection_id,
                    reason = outcome.as_str(),
                    "bot stays silent"
                ),
                _ => (),
            });
        }
    }
}
