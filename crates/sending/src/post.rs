//! What every stream's task works with, and the request itself.

use std::sync::Arc;

use chrono::TimeDelta;
use coordination::{Feedback, Limiter, Pacer, Slot};
use kernel::{Clock, chain};
use storage::send_ledger::Recipient;
use storage::send_ledger::claim::{self, Claimed, Stream};
use storage::{Database, StorageError};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info_span, warn};
use whatsapp::graph::{self, GraphClient, SendRequest};

use crate::content::Content;
use crate::lines::{Line, Lines};
use crate::outcome::{Judged, judge, unposted};
use crate::rests::Rests;
use crate::room::{Room, Seat};
use crate::sender::SenderOptions;
use crate::settler::Job;
use crate::{admission, callback};

/// Shared by the tasks of all streams.
pub(crate) struct Post {
    pub(crate) db: Database,
    pub(crate) lines: Lines,
    pub(crate) limiter: Limiter,
    pub(crate) pacer: Pacer,
    pub(crate) graph: Arc<GraphClient>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: SenderOptions,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) room: Room,
    pub(crate) rests: Arc<Rests>,
    pub(crate) settled: mpsc::Sender<Job>,
}

impl Post {
    pub(crate) async fn claim(
        &self,
        stream: &Stream,
        ids: &[kernel::ids::MessageId],
    ) -> Result<Vec<Claimed>, StorageError> {
        let mut conn = self.db.connection().await?;
        let now = self.clock.now();
        let wait = TimeDelta::from_std(self.options.attempt_deadline).unwrap_or(TimeDelta::zero());
        claim::claim(&mut conn, stream, ids, &self.options.worker, now, now + wait).await
    }

    /// Posts at the slot's time, in a task of its own, which is never cancelled: between claim and
    /// settlement nothing may be dropped.
    pub(crate) fn send(
        &self,
        message: Claimed,
        line: Arc<Line>,
        deadline: Instant,
        seat: Seat,
        slot: Slot,
    ) {
        let span =
            info_span!("send message", message.id = %message.message_id, epoch = message.epoch);
        if let Some(parent) = &message.traceparent {
            telemetry::trace::set_parent(&span, parent);
        }
        let (graph, clock) = (Arc::clone(&self.graph), Arc::clone(&self.clock));
        let (rests, settled) = (Arc::clone(&self.rests), self.settled.clone());
        let limiter = self.limiter.clone();
        let task = async move {
            if !slot.spend().await {
                hand_over(&settled, Job::new(message, unposted(clock.now()))).await;
                return;
            }
            let (judged, feedback) = call(&graph, &line, &message, deadline, clock.as_ref()).await;
            let connection = message.connection_id;
            if let Some(rest) = judged.hold_connection {
                rests.add(connection, rest);
            }
            hand_over(&settled, Job::new(message, judged)).await;
            drop(seat);
            if let Some(feedback) = feedback {
                limiter.feedback(connection, feedback).await;
            }
        };
        self.tasks.spawn(task.instrument(span));
    }

    /// Releases a message that was claimed and not posted.
    pub(crate) async fn give_back(&self, message: Claimed) {
        let judged = unposted(self.clock.now());
        hand_over(&self.settled, Job::new(message, judged)).await;
    }
}

async fn hand_over(settled: &mpsc::Sender<Job>, job: Job) {
    if settled.send(job).await.is_err() {
        warn!("settler is gone: the attempt stays open");
    }
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
            return (Judged::unreadable(), None);
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
    (judge(sent, message.campaign_id.is_some(), message.epoch, clock.now()), feedback)
}
