//! Starts and wakes what claims, posts and settles.

use std::sync::{Arc, Weak};
use std::time::Duration;

use coordination::{Limiter, Pacer};
use kernel::Clock;
use relay::Relay;
use storage::Database;
use storage::sealed::Sealer;
use storage::send_ledger::Source;
use storage::send_ledger::claim::Stream;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use whatsapp::graph::GraphClient;

use crate::doubt::{self, Resolver};
use crate::lines::Lines;
use crate::post::Post;
use crate::room::Room;
use crate::settler::{self, Settler};
use crate::streams::Streams;

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
    /// Requests in flight at once at most; an eighth of them is kept from campaigns.
    pub in_flight: usize,
    /// The work that this sender does; other sources are left to other processes.
    pub sources: Vec<Source>,
}

/// A running sender; cheap to clone.
#[derive(Clone)]
pub struct Sender {
    look: Arc<Notify>,
    streams: Weak<Streams>,
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
        let look = Arc::new(Notify::new());
        let (settled, jobs) = mpsc::channel(options.in_flight.max(1));
        let SenderDependencies { db, sealer, limiter, graph, relay, clock } = dependencies;
        let settler = Settler::new(db.clone(), relay.clone(), Arc::clone(&clock));
        let resolver = Resolver::new(db.clone(), relay, Arc::clone(&clock), options.clone());
        tasks.spawn(doubt::run(resolver, Arc::clone(&look), stop.clone()));
        let post = Post {
            lines: Lines::new(db.clone(), sealer),
            db,
            pacer: Pacer::new(limiter.clone(), tasks.clone()),
            limiter,
            graph,
            clock,
            room: Room::new(options.in_flight.max(1)),
            options,
            tasks: tasks.clone(),
            stop,
            rests: Arc::default(),
            settled,
        };
        let streams = Arc::new(Streams::new(Arc::new(post), Arc::clone(&look)));
        let sender = Self { look, streams: Arc::downgrade(&streams) };
        tasks.spawn(settler::run(settler, jobs, Weak::clone(&sender.streams)));
        // The tasks of the streams keep them; everything ends with the last of them.
        tasks.spawn(streams.run());
        sender
    }

    /// Says that something was enqueued, without saying what. A lost nudge costs one poll.
    pub fn nudge(&self) {
        self.look.notify_one();
    }

    /// Says where something was enqueued: nobody has to look for it.
    pub fn nudge_streams(&self, streams: impl IntoIterator<Item = Stream>) {
        let Some(all) = self.streams.upgrade() else { return };
        for stream in streams {
            all.ring(stream);
        }
    }
}
