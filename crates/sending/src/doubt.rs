//! Ends doubts: by the watermark, never by a clock (ADR-0004).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::events::MessageStatusChanged;
use contracts::events::event::Detail;
use contracts::names::event;
use diesel_async::AsyncConnection;
use kernel::ids::MessageId;
use kernel::{Clock, chain};
use relay::Relay;
use storage::campaigns::counts::{self, Changes};
use storage::events::{Event, Happened};
use storage::send_ledger::OnDoubt;
use storage::send_ledger::doubt::{self, OpenAttempt, Verdict};
use storage::status_pipeline::{self, Lateness};
use storage::{Database, StorageError, events};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::sender::SenderOptions;

/// How often doubts are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Attempts looked at in one transaction at most.
const MOST: i64 = 500;

/// Of two ingest processes one may put its marker before a status that the other took earlier: by the
/// time a publish may take (2 s), and a little.
const OVERTAKING: TimeDelta = TimeDelta::seconds(3);

/// A process that is silent for longer will not go on: what it had in hand comes again from the broker, or
/// from Meta, who does not wait so long for an answer.
const GIVEN_UP_SILENT: TimeDelta = TimeDelta::minutes(1);

/// When statuses never come at all, a person decides after a day.
const GIVEN_UP: TimeDelta = TimeDelta::days(1);

/// What is told of a message whose sender prefers to believe that it was sent.
const ASSUMED: (&str, &str) = (event::MESSAGE_ACCEPTED, "accepted");

/// What is told of a message that a person has to decide about.
const UNCERTAIN: (&str, &str) = (event::MESSAGE_UNCERTAIN, "uncertain");

pub(crate) struct Resolver {
    db: Database,
    relay: Relay,
    clock: Arc<dyn Clock>,
    options: SenderOptions,
}

pub(crate) async fn run(resolver: Resolver, nudge: Arc<Notify>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        match resolver.resolve().await {
            Ok(0) => {}
            Ok(resend) => {
                info!(count = resend, "messages presumed unsent will be sent again");
                nudge.notify_one();
            }
            Err(error) => warn!(error = %chain(&error), "doubtful sends wait for the database"),
        }
    }
}

impl Resolver {
    pub(crate) fn new(
        db: Database,
        relay: Relay,
        clock: Arc<dyn Clock>,
        options: SenderOptions,
    ) -> Self {
        Self { db, relay, clock, options }
    }

    /// Looks at the doubts; returns how many messages will be sent again.
    async fn resolve(&self) -> Result<usize, StorageError> {
        let (resend, events) = self.close().await?;
        let uncertain =
            events.iter().filter(|event| event.event_type == event::MESSAGE_UNCERTAIN).count();
        if uncertain > 0 {
            warn!(count = uncertain, "nobody knows whether Meta took these messages");
        }
        self.relay.publish(events).await;
        Ok(resend)
    }

    async fn close(&self) -> Result<(usize, Vec<Event>), StorageError> {
        let now = self.clock.now();
        let mut conn = self.db.connection().await?;
        let silence = self.quiet().min(GIVEN_UP_SILENT);
        let lateness = status_pipeline::read(&mut conn, now, silence).await?;
        let Some(horizon) = self.horizon(lateness) else { return Ok((0, Vec::new())) };
        // Nothing can be in flight any more: the fence closed at the deadline, and what passed it
        // just before has had the whole request time-out, and its status the margin to be sent.
        let spare = self.options.request_timeout + self.options.doubt_margin;
        let before = horizon.min(now) - TimeDelta::from_std(spare).unwrap_or(GIVEN_UP);
        (*conn)
            .transaction(async |tx| {
                let probes = i64::from(self.options.min_probes);
                let open = doubt::expired(tx, before, probes, MOST).await?;
                let decided = self.decide(open, lateness.last_outage, now);
                let mut changes = Changes::default();
                let mut events = Vec::new();
                let mut resend = 0;
                for (verdict, attempts) in decided {
                    let moved = doubt::close(tx, &attempts, verdict, &mut changes, now).await?;
                    match verdict {
                        Verdict::Resend => resend += moved.len(),
                        Verdict::AssumeSent => {
                            events.extend(happened(&attempts, &moved, ASSUMED, now));
                        }
                        Verdict::Uncertain => {
                            events.extend(happened(&attempts, &moved, UNCERTAIN, now));
                        }
                    }
                }
                events::append(tx, &events, now).await?;
                counts::apply(tx, changes, now).await?;
                Ok((resend, events))
            })
            .await
    }

    fn quiet(&self) -> TimeDelta {
        TimeDelta::from_std(self.options.quiet_window).unwrap_or(GIVEN_UP)
    }

    /// Every status that was at our door before this has taken effect; `None` when nobody knows.
    fn horizon(&self, lateness: Lateness) -> Option<DateTime<Utc>> {
        let is_complete = lateness.lanes >= i64::from(self.options.status_lanes);
        lateness.caught_up_to.filter(|_| is_complete).map(|marked| marked - OVERTAKING)
    }

    fn decide(
        &self,
        open: Vec<OpenAttempt>,
        last_outage: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Vec<(Verdict, Vec<OpenAttempt>)> {
        let quiet = self.quiet();
        let probes = i64::from(self.options.min_probes);
        let mut decided: Vec<_> = [Verdict::Resend, Verdict::AssumeSent, Verdict::Uncertain]
            .map(|v| (v, Vec::new()))
            .into();
        for attempt in open {
            let verdict = judge(&attempt, probes, quiet, last_outage, now);
            let group = decided.iter_mut().find(|(group, _)| Some(*group) == verdict);
            if let Some((_, attempts)) = group {
                attempts.push(attempt);
            }
        }
        decided
    }
}

/// `None`: wait for more statuses.
fn judge(
    attempt: &OpenAttempt,
    probes: i64,
    quiet: TimeDelta,
    last_outage: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<Verdict> {
    let age = now - attempt.created_at;
    let is_answered = attempt.probes >= probes || age > quiet;
    // Whatever was sent away in an outage comes again when Meta likes: silence proves nothing until
    // the quiet window has passed since.
    let may_be_late = last_outage.is_some_and(|at| at > attempt.created_at && now - at <= quiet);
    if may_be_late || !(attempt.is_watermark_past && is_answered) {
        return (age > GIVEN_UP).then_some(Verdict::Uncertain);
    }
    let may_resend = attempt.resend_until.is_none_or(|until| now < until);
    Some(match attempt.on_doubt {
        OnDoubt::Resend if may_resend => Verdict::Resend,
        OnDoubt::AssumeSent => Verdict::AssumeSent,
        OnDoubt::Resend | OnDoubt::Hold => Verdict::Uncertain,
    })
}

fn happened(
    attempts: &[OpenAttempt],
    moved: &[MessageId],
    (event_type, status): (&'static str, &str),
    now: DateTime<Utc>,
) -> Vec<Event> {
    let moved: HashSet<MessageId> = moved.iter().copied().collect();
    attempts
        .iter()
        .filter(|attempt| moved.contains(&attempt.message_id))
        .map(|attempt| {
            let status = MessageStatusChanged { status: status.to_owned(), error_code: 0 };
            Event::from(Happened {
                workspace_id: attempt.workspace_id,
                event_type,
                connection_id: attempt.connection_id,
                contact_id: None,
                conversation_id: Some(attempt.conversation_id),
                message_id: Some(attempt.message_id),
                sequence: 0,
                at: now,
                detail: Some(Detail::MessageStatusChanged(status)),
                traceparent: attempt.traceparent.clone(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use kernel::ids::{AttemptId, ConnectionId, ConversationId, WorkspaceId};

    use super::*;

    fn attempt() -> OpenAttempt {
        OpenAttempt {
            id: AttemptId::new(),
            message_id: MessageId::new(),
            epoch: 1,
            created_at: DateTime::UNIX_EPOCH,
            is_watermark_past: true,
            probes: 20,
            on_doubt: OnDoubt::Resend,
            resend_until: None,
            workspace_id: WorkspaceId::new(),
            connection_id: ConnectionId::new(),
            conversation_id: ConversationId::new(),
            campaign: None,
            traceparent: None,
        }
    }

    fn judged(attempt: &OpenAttempt, age: TimeDelta) -> Option<Verdict> {
        judge(attempt, 20, TimeDelta::minutes(15), None, DateTime::UNIX_EPOCH + age)
    }

    #[test]
    fn after_an_outage_silence_proves_nothing_for_a_while() {
        let judged = |outage_s, age_s| {
            let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
            judge(&attempt(), 20, TimeDelta::minutes(15), Some(at(outage_s)), at(age_s))
        };
        assert_eq!(judged(30, 60), None, "a status may have been sent away");
        assert_eq!(judged(30, 30 + 900), None);
        assert_eq!(judged(30, 30 + 901), Some(Verdict::Resend));
        assert_eq!(judged(-1, 60), Some(Verdict::Resend), "over before the send");
    }

    #[test]
    fn time_alone_never_resends_while_a_neighbours_status_is_missing() {
        let lagging = OpenAttempt { is_watermark_past: false, ..attempt() };
        for hours in [0, 1, 23] {
            assert_eq!(judged(&lagging, TimeDelta::hours(hours)), None);
        }
        assert_eq!(judged(&lagging, TimeDelta::hours(25)), Some(Verdict::Uncertain));
    }

    #[test]
    fn silence_counts_after_enough_later_statuses_or_a_long_quiet() {
        let busy = attempt();
        assert_eq!(judged(&busy, TimeDelta::seconds(40)), Some(Verdict::Resend));
        let quiet = OpenAttempt { probes: 3, ..attempt() };
        assert_eq!(judged(&quiet, TimeDelta::minutes(14)), None);
        assert_eq!(judged(&quiet, TimeDelta::minutes(16)), Some(Verdict::Resend));
    }

    #[test]
    fn a_stale_answer_is_left_to_a_person() {
        let until = Some(DateTime::UNIX_EPOCH + TimeDelta::seconds(60));
        let stale = OpenAttempt { resend_until: until, ..attempt() };
        assert_eq!(judged(&stale, TimeDelta::seconds(59)), Some(Verdict::Resend));
        assert_eq!(judged(&stale, TimeDelta::seconds(61)), Some(Verdict::Uncertain));
        let held = OpenAttempt { on_doubt: OnDoubt::Hold, ..attempt() };
        assert_eq!(judged(&held, TimeDelta::seconds(40)), Some(Verdict::Uncertain));
    }

    #[test]
    fn sent_is_assumed_only_once_the_watermark_has_passed() {
        let assumed = OpenAttempt { on_doubt: OnDoubt::AssumeSent, ..attempt() };
        assert_eq!(judged(&assumed, TimeDelta::seconds(40)), Some(Verdict::AssumeSent));
        let lagging = OpenAttempt { is_watermark_past: false, ..assumed };
        assert_eq!(judged(&lagging, TimeDelta::seconds(40)), None);
    }
}
