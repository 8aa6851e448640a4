//! The loop that claims and posts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use coordination::{Feedback, Limit, LimitName, Limiter};
use kernel::ids::{ConnectionId, MessageId};
use kernel::{Clock, chain};
use relay::Relay;
use storage::sealed::Sealer;
use storage::send_ledger::claim::{self, Candidate, Claimed, Stream};
use storage::send_ledger::settle::Outcome;
use storage::send_ledger::{Recipient, Source};
use storage::{Database, StorageError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info_span, warn};
use whatsapp::graph::{self, GraphClient, SendRequest};

use crate::admission::Admitted;
use crate::content::Content;
use crate::lines::{Line, Lines};
use crate::outcome::{Judged, judge};
use crate::settler::{self, Job};
use crate::{admission, callback, doubt};

/// Requests in flight at once at most.
const IN_FLIGHT: usize = 256;

/// How long a connection without token, or over its limit, is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// What a sender works with.
pub struct SenderDependencies {
    /// The ledger.
    pub db: Database,
    /// Opens access tokens.
    pub sealer: Sealer,
    /// Asked before every request (R1, R5).
    pub limiter: Limiter,
    /// Meta.
    pub graph: Arc<GraphClient>,
    /// Publishes what happened.
    pub relay: Relay,
    /// Decides ledger times.
    pub clock: Arc<dyn Clock>,
}

/// How a sender works.
#[derive(Clone, Debug)]
pub struct SenderOptions {
    /// Who this is, in the ledger's attempts.
    pub worker: String,
    /// Messages claimed at once at most.
    pub claim_batch: usize,
    /// How often the ledger is looked through without a nudge.
    pub poll: Duration,
    /// How long after its claim an attempt's first byte may leave.
    pub attempt_deadline: Duration,
    /// How long a request may take in all.
    pub request_timeout: Duration,
    /// Spare time before an outcome is doubted.
    pub doubt_margin: Duration,
    /// On a quiet connection: how long silence must last to count as an answer.
    pub quiet_window: Duration,
    /// On a busy connection: how many later sends must have had a status.
    pub min_probes: u32,
    /// Lanes that statuses travel in: of each a marker must have come through.
    pub status_lanes: u8,
    /// R1 for connections without their own.
    pub api_per_minute: u32,
}

/// A running sender; cheap to clone.
#[derive(Clone)]
pub struct Sender {
    nudge: Arc<Notify>,
}

impl Sender {
    /// Starts claiming and posting. After `stop` nothing more is claimed; what is in flight is settled
    /// before `tasks` is done.
    pub fn start(
        dependencies: SenderDependencies,
        options: SenderOptions,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let nudge = Arc::new(Notify::new());
        let (settled, jobs) = mpsc::channel(IN_FLIGHT);
        let SenderDependencies { db, sealer, limiter, graph, relay, clock } = dependencies;
        tasks.spawn(settler::run(
            settler::Settler::new(db.clone(), relay.clone(), Arc::clone(&clock)),
            jobs,
            Arc::clone(&nudge),
        ));
        tasks.spawn(doubt::run(
            doubt::Resolver::new(db.clone(), relay, Arc::clone(&clock), options.clone()),
            Arc::clone(&nudge),
            stop.clone(),
        ));
        let engine = Engine {
            lines: Lines::new(db.clone(), sealer),
            db,
            limiter,
            graph,
            clock,
            options,
            tasks: tasks.clone(),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
            held: Arc::default(),
            settled,
        };
        tasks.spawn(engine.run(Arc::clone(&nudge), stop));
        Self { nudge }
    }

    /// Says that something was enqueued. A lost nudge costs one poll.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }
}

/// Connections that must rest, and until when.
type Held = Arc<Mutex<HashMap<ConnectionId, Instant>>>;

struct Engine {
    db: Database,
    lines: Lines,
    limiter: Limiter,
    graph: Arc<GraphClient>,
    clock: Arc<dyn Clock>,
    options: SenderOptions,
    tasks: TaskTracker,
    in_flight: Arc<Semaphore>,
    held: Held,
    settled: mpsc::Sender<Job>,
}

impl Engine {
    async fn run(self, nudge: Arc<Notify>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = nudge.notified() => {}
                () = tokio::time::sleep(self.until_next_look()) => {}
                () = stop.cancelled() => return,
            }
            while !stop.is_cancelled() && self.round_or_report().await {}
        }
    }

    /// Until the next poll, or until the first connection that rests may send again.
    fn until_next_look(&self) -> Duration {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let rests = held.values().map(|until| until.saturating_duration_since(now));
        rests.min().map_or(self.options.poll, |rest| rest.min(self.options.poll))
    }

    /// One round; `true` when there may be more to do at once.
    async fn round_or_report(&self) -> bool {
        match self.round().await {
            Ok(moved) => moved > 0,
            Err(error) => {
                warn!(error = %chain(&error), "sending waits for the database");
                false
            }
        }
    }

    /// Returns how many messages were posted or put out of the way of others.
    async fn round(&self) -> Result<usize, StorageError> {
        let held = self.held_now();
        let streams = {
            let mut conn = self.db.connection().await?;
            claim::streams(&mut conn, &Source::ALL).await?
        };
        let mut moved = 0;
        for stream in streams {
            if !held.contains(&stream.connection_id) {
                moved += self.pump(stream).await?;
            }
        }
        Ok(moved)
    }

    async fn pump(&self, stream: Stream) -> Result<usize, StorageError> {
        let Some(slots) = self.slots().await else { return Ok(0) };
        let candidates = self.peek(&stream, slots.num_permits()).await?;
        if candidates.is_empty() {
            return Ok(0);
        }
        let Some((line, admitted)) = self.permitted(&stream, &candidates).await? else {
            return Ok(0);
        };
        let mut permits = admitted.permits;
        if permits.is_empty() {
            return Ok(admitted.postponed.len());
        }
        let ids: Vec<MessageId> = permits.keys().copied().collect();
        // The fence's deadline starts before the claim, so it ends before the ledger's does.
        let deadline = Instant::now() + self.options.attempt_deadline;
        let claimed = self.claim(&stream, &ids).await?;
        for message in &claimed {
            permits.remove(&message.message_id);
        }
        // Another process was faster.
        for (_, permit) in permits {
            self.limiter.refund(permit).await;
        }
        let posted = claimed.len();
        let mut slots = slots;
        for message in claimed {
            let Some(slot) = slots.split(1) else { continue };
            self.post(message, Arc::clone(&line), deadline, slot);
        }
        Ok(posted)
    }

    /// Waits until something may be posted, then takes as many slots as one batch can use.
    async fn slots(&self) -> Option<OwnedSemaphorePermit> {
        let first = Arc::clone(&self.in_flight).acquire_owned().await.ok()?;
        let more = self.in_flight.available_permits().min(self.options.claim_batch - 1);
        let mut slots = first;
        if let Ok(rest) =
            Arc::clone(&self.in_flight).try_acquire_many_owned(u32::try_from(more).unwrap_or(0))
        {
            slots.merge(rest);
        }
        Some(slots)
    }

    async fn peek(&self, stream: &Stream, most: usize) -> Result<Vec<Candidate>, StorageError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut conn = self.db.connection().await?;
        claim::peek(&mut conn, stream, most, self.clock.now()).await
    }

    /// Those candidates whose connection has a token and whose limits have room.
    async fn permitted(
        &self,
        stream: &Stream,
        candidates: &[Candidate],
    ) -> Result<Option<(Arc<Line>, Admitted)>, StorageError> {
        let connection = stream.connection_id;
        let lines = self.lines.find(&[connection]).await?;
        let Some(line) = lines.get(&connection) else {
            debug!(connection.id = %connection, "connection is archived: its messages wait");
            self.hold(connection, LEFT_ALONE);
            return Ok(None);
        };
        let limit = Limit::of(LimitName::WhatsAppApi(connection));
        let limit = match line.api_per_minute {
            Some(own) => limit.at_most(own),
            None => limit.by_default(self.options.api_per_minute),
        };
        let admitted =
            admission::ask(&self.limiter, connection, &limit, stream.source, candidates).await;
        if let Some(rest) = admitted.rest {
            self.hold(connection, rest);
        }
        self.postpone(&admitted.postponed).await?;
        Ok(Some((Arc::clone(line), admitted)))
    }

    /// Leaves messages alone whose person has to wait: they would stand in the way of others.
    async fn postpone(&self, postponed: &[(MessageId, Duration)]) -> Result<(), StorageError> {
        if postponed.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let until = |wait| now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::minutes(1));
        let messages: Vec<_> =
            postponed.iter().map(|(message, wait)| (*message, until(*wait))).collect();
        let mut conn = self.db.connection().await?;
        claim::postpone(&mut conn, &messages).await
    }

    async fn claim(
        &self,
        stream: &Stream,
        ids: &[MessageId],
    ) -> Result<Vec<Claimed>, StorageError> {
        let now = self.clock.now();
        let wait = TimeDelta::from_std(self.options.attempt_deadline).unwrap_or(TimeDelta::zero());
        let mut conn = self.db.connection().await?;
        claim::claim(&mut conn, stream, ids, &self.options.worker, now, now + wait).await
    }

    /// Posts in a task of its own, which is never cancelled: between claim and settlement nothing
    /// may be dropped.
    fn post(
        &self,
        message: Claimed,
        line: Arc<Line>,
        deadline: Instant,
        slot: OwnedSemaphorePermit,
    ) {
        let span =
            info_span!("send message", message.id = %message.message_id, epoch = message.epoch);
        if let Some(parent) = &message.traceparent {
            telemetry::trace::set_parent(&span, parent);
        }
        let (graph, clock) = (Arc::clone(&self.graph), Arc::clone(&self.clock));
        let (held, settled) = (Arc::clone(&self.held), self.settled.clone());
        let limiter = self.limiter.clone();
        let task = async move {
            let (judged, feedback) = call(&graph, &line, &message, deadline, clock.as_ref()).await;
            let connection = message.connection_id;
            if let Some(rest) = judged.hold_connection {
                hold(&held, connection, rest);
            }
            let job = Job::new(message, judged);
            if settled.send(job).await.is_err() {
                warn!("settler is gone: the attempt stays open");
            }
            drop(slot);
            if let Some(feedback) = feedback {
                limiter.feedback(connection, feedback).await;
            }
        };
        self.tasks.spawn(task.instrument(span));
    }

    fn hold(&self, connection: ConnectionId, rest: Duration) {
        hold(&self.held, connection, rest);
    }

    fn held_now(&self) -> Vec<ConnectionId> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        held.retain(|_, until| *until > now);
        held.keys().copied().collect()
    }
}

fn hold(held: &Held, connection: ConnectionId, rest: Duration) {
    let until = Instant::now() + rest;
    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = held.entry(connection).or_insert(until);
    *entry = (*entry).max(until);
}

async fn call(
    graph: &GraphClient,
    line: &Line,
    message: &Claimed,
    deadline: Instant,
    clock: &dyn Clock,
) -> (Judged, Option<Feedback>) {
    let content = match Content::decode(&message.content) {
        Ok(content) => content,
        Err(error) => {
            warn!(message.id = %message.message_id, error = %chain(&error), "message not sent");
            let outcome = Outcome::Failed { code: 0, http_status: 0 };
            return (Judged { outcome, hold_connection: None, label: "permanent" }, None);
        }
    };
    let callback_data = callback::write(message.attempt_id, message.message_id, message.epoch);
    let request = SendRequest {
        phone_number_id: &line.phone_number_id,
        token: &line.token,
        to: match &message.recipient {
            Recipient::Number(number) => graph::Recipient::Phone(number),
            Recipient::User(user) => graph::Recipient::User(user),
        },
        content: content.as_graph(),
        callback_data: &callback_data,
        deadline,
        cancelled: None,
    };
    let sent = graph.send(request).await;
    let feedback = admission::feedback(&sent, &message.recipient);
    (judge(sent, message.epoch, clock.now()), feedback)
}
