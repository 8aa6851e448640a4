//! Works one stream off: look at its next messages, ask the limits for each, claim those that may go.
//!
//! Invariants:
//! - nothing is claimed before its connection's and its person's limit have admitted it, and no claim
//!   waits for a limit;
//! - what was claimed and can not be posted in time is released at once, unposted.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use coordination::{Limit, LimitName, Parked, Policy, Share, Slot};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use kernel::chain;
use kernel::ids::MessageId;
use rand::seq::SliceRandom;
use storage::StorageError;
use storage::send_ledger::Source;
use storage::send_ledger::claim::{self, Candidate, Stream};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, warn};

use crate::admission;
use crate::lines::Line;
use crate::post::Post;
use crate::room::Seat;
use crate::streams::{Bell, Streams};

/// How long bulk gathers slots for one claim: at 1,000 a second that makes 50 claims. Slots are handed
/// out 40 ms before their time, so they are claimed before it and posted at it.
const GATHER: Duration = Duration::from_millis(20);

/// Messages of a stream that ask for slots at the same time: at least, and at first.
const FEWEST: usize = 8;

/// And at most. Whoever asks for long holds a message that another process could send.
const WIDEST: usize = 256;

/// What one look fetches at least.
const AT_LEAST: usize = 64;

/// Where another process works on the same campaign, each picks at random among so many times as many
/// messages as it needs, so that they rarely pick the same.
const SPREAD: usize = 8;

/// After so many claims in a row that got nothing the stream is left alone until the next look.
const IN_VAIN: u32 = 3;

/// How long a connection without token is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// The longest rest that a limit can ask for; then it is asked again.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// One who asked for a slot, and the answer.
type Answer = (Candidate, Result<Slot, Parked>);

pub(crate) struct Pump {
    streams: Arc<Streams>,
    stream: Stream,
    bell: Arc<Bell>,
    /// Looked at, and not asked for yet.
    next: VecDeque<Candidate>,
    asked: FuturesUnordered<BoxFuture<'static, Answer>>,
    /// Of those who asked.
    asking: HashSet<MessageId>,
    /// How many may ask at once.
    width: usize,
    /// The last look found fewer than it could have.
    is_drained: bool,
    /// Another process works on the same stream.
    has_rival: bool,
    /// Claims in a row that got nothing.
    in_vain: u32,
    /// How many were claimed together lately.
    pace: usize,
}

/// What to do next.
enum Next {
    GoOn,
    Rest(Duration),
    Leave,
}

impl Pump {
    pub(crate) fn new(streams: Arc<Streams>, stream: Stream, bell: Arc<Bell>) -> Self {
        Self {
            streams,
            stream,
            bell,
            next: VecDeque::new(),
            asked: FuturesUnordered::new(),
            asking: HashSet::new(),
            width: FEWEST,
            is_drained: false,
            has_rival: false,
            in_vain: 0,
            pace: 1,
        }
    }

    /// Runs until the stream has nothing more to send, or the process stops.
    pub(crate) async fn run(mut self) {
        let stop = self.streams.post.stop.clone();
        loop {
            let next = match stop.run_until_cancelled(self.gather()).await {
                None => Next::Leave,
                Some(Ok(Gathered::Ready(ready, line, seats))) => {
                    // Never cancelled: between claim and post nothing may be dropped.
                    self.claim_and_post(ready, &line, seats).await
                }
                Some(Ok(Gathered::Nothing(next))) => next,
                Some(Err(error)) => {
                    warn!(error = %chain(&error), "sending waits for the database");
                    Next::Rest(self.streams.post.options.poll)
                }
            };
            match next {
                Next::GoOn => {}
                Next::Rest(rest) => {
                    self.forget();
                    stop.run_until_cancelled(sleep(rest)).await;
                }
                Next::Leave => {
                    if self.streams.leave(&self.stream, &self.bell) {
                        return;
                    }
                }
            }
        }
    }

    /// Waits for slots.
    async fn gather(&mut self) -> Result<Gathered, StorageError> {
        let post = Arc::clone(&self.streams.post);
        if let Some(rest) = post.rests.left(self.stream.connection_id) {
            return Ok(Gathered::Nothing(Next::Rest(rest)));
        }
        let Some(line) = post.lines.find_one(self.stream.connection_id).await? else {
            debug!(connection.id = %self.stream.connection_id, "connection is archived: its messages wait");
            return Ok(Gathered::Nothing(Next::Rest(LEFT_ALONE)));
        };
        self.fill(&line).await?;
        if self.asked.is_empty() {
            return Ok(Gathered::Nothing(Next::Leave));
        }
        let seats = post.room.take(self.stream, self.pace).await;
        let answers = self.answers().await;
        self.sort(answers, line, seats).await
    }

    /// Keeps enough messages asking for slots.
    async fn fill(&mut self, line: &Line) -> Result<(), StorageError> {
        if self.asked.len() > self.width / 2 {
            return Ok(());
        }
        if self.next.is_empty() && (!self.is_drained || self.bell.is_rung()) {
            self.look().await?;
        }
        while self.asked.len() < self.width
            && let Some(candidate) = self.next.pop_front()
        {
            self.ask(candidate, line);
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<(), StorageError> {
        let post = &self.streams.post;
        let spread = if self.has_rival { SPREAD } else { 1 };
        let wanted = (self.width * 2).max(AT_LEAST);
        let most = (wanted + self.asking.len()) * spread;
        self.bell.hear();
        let mut found = {
            let mut conn = post.db.connection().await?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            claim::peek(&mut conn, &self.stream, most, post.clock.now()).await?
        };
        let is_all = found.len() < most;
        found.retain(|candidate| !self.asking.contains(&candidate.id));
        self.is_drained = is_all && (!self.has_rival || found.len() <= wanted);
        if self.has_rival {
            found.shuffle(&mut rand::rng());
            found.truncate(wanted);
        }
        self.next = found.into();
        Ok(())
    }

    fn ask(&mut self, candidate: Candidate, line: &Line) {
        let post = &self.streams.post;
        let connection = self.stream.connection_id;
        let limit = Limit::of(LimitName::WhatsAppApi(connection));
        let limit = match line.api_per_minute {
            Some(own) => limit.at_most(own),
            None => limit.by_default(post.options.api_per_minute),
        };
        let limit = limit.lane(admission::lane(self.stream.source));
        let own = Limit::from(admission::pair(connection, &candidate.recipient));
        let share = Share { campaign: self.stream.campaign_id, weight: 1 };
        let pacer = post.pacer.clone();
        self.asking.insert(candidate.id);
        let asking = async move {
            let answer = pacer.slot(&limit, Some(&own), share).await;
            (candidate, answer)
        };
        self.asked.push(asking.boxed());
    }

    /// The answers that are there, after waiting for the first; bulk waits a little for more.
    async fn answers(&mut self) -> Vec<Answer> {
        let most = self.streams.post.options.claim_batch;
        let mut answers: Vec<Answer> = self.asked.next().await.into_iter().collect();
        let until = Instant::now() + GATHER;
        while answers.len() < most && !self.asked.is_empty() {
            let more = match self.stream.source {
                Source::Campaign => timeout_at(until, self.asked.next()).await.ok().flatten(),
                Source::Agent | Source::Api | Source::Bot => {
                    self.asked.next().now_or_never().flatten()
                }
            };
            let Some(answer) = more else { break };
            answers.push(answer);
        }
        self.width = if self.asked.is_empty() && !self.is_drained {
            (self.width * 2).min(WIDEST)
        } else if answers.len() * 4 <= self.width {
            (self.width - 1).max(FEWEST)
        } else {
            self.width
        };
        for (candidate, _) in &answers {
            self.asking.remove(&candidate.id);
        }
        answers
    }

    /// Tells slots from refusals.
    async fn sort(
        &mut self,
        answers: Vec<Answer>,
        line: Arc<Line>,
        seats: Vec<Seat>,
    ) -> Result<Gathered, StorageError> {
        let (mut ready, mut postponed, mut rest) = (Vec::new(), Vec::new(), None);
        for (candidate, answer) in answers {
            match answer {
                Ok(slot) => ready.push((candidate.id, slot)),
                Err(Parked { after, by: Policy::Pair }) => postponed.push((candidate.id, after)),
                Err(Parked { after, .. }) => rest = rest.max(Some(after.min(LONGEST_REST))),
            }
        }
        let post = Arc::clone(&self.streams.post);
        postpone(&post, &postponed).await?;
        if !ready.is_empty() {
            return Ok(Gathered::Ready(ready, line, seats));
        }
        Ok(Gathered::Nothing(rest.map_or(Next::GoOn, Next::Rest)))
    }

    async fn claim_and_post(
        &mut self,
        mut ready: Vec<(MessageId, Slot)>,
        line: &Arc<Line>,
        mut seats: Vec<Seat>,
    ) -> Next {
        let post = Arc::clone(&self.streams.post);
        seats.extend(post.room.take_free(self.stream, ready.len().saturating_sub(seats.len())));
        self.pace = ready.len();
        ready.truncate(seats.len());
        let ids: Vec<MessageId> = ready.iter().map(|(id, _)| *id).collect();
        // The fence's deadline starts before the claim, so it ends before the ledger's does.
        let deadline = Instant::now() + post.options.attempt_deadline;
        let claimed = match post.claim(&self.stream, &ids).await {
            Ok(claimed) => claimed,
            Err(error) => {
                // Whatever was committed after all is found as a doubt; nothing of it is posted.
                warn!(error = %chain(&error), "sending waits for the database");
                return Next::Rest(post.options.poll);
            }
        };
        let all = claimed.len();
        if all < ids.len() {
            self.has_rival = true;
            self.is_drained = false;
            self.next.clear();
        }
        for message in claimed {
            let place = ready.iter().position(|(id, _)| *id == message.message_id);
            let slot = place.map(|place| ready.swap_remove(place).1);
            match (seats.pop(), slot) {
                (Some(seat), Some(slot)) => {
                    post.send(message, Arc::clone(line), deadline, seat, slot);
                }
                _ => post.give_back(message).await,
            }
        }
        // Slots that are left are given back: another process was faster, or the campaign was stopped.
        self.in_vain = if all == 0 { self.in_vain + 1 } else { 0 };
        if self.in_vain >= IN_VAIN {
            self.in_vain = 0;
            return Next::Rest(post.options.poll);
        }
        Next::GoOn
    }

    /// Gives up what was looked at and asked for.
    fn forget(&mut self) {
        self.next.clear();
        self.asked = FuturesUnordered::new();
        self.asking.clear();
        self.is_drained = false;
    }
}

/// Leaves messages alone whose person has to wait: they would stand in the way of others.
async fn postpone(post: &Post, postponed: &[(MessageId, Duration)]) -> Result<(), StorageError> {
    if postponed.is_empty() {
        return Ok(());
    }
    let now = post.clock.now();
    let until = |wait| now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::minutes(1));
    let messages: Vec<_> =
        postponed.iter().map(|(message, wait)| (*message, until(*wait))).collect();
    let mut conn = post.db.connection().await?;
    claim::postpone(&mut conn, &messages).await
}

/// What came of asking for slots.
enum Gathered {
    Ready(Vec<(MessageId, Slot)>, Arc<Line>, Vec<Seat>),
    Nothing(Next),
}
