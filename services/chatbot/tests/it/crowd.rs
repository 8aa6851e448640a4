//! Chatbots beside each other on one database, each with a broker topology of its own, so that all
//! of them get every hint: what lanes keep apart in production happens here at once.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use chatbot::{Chatbot, Dependencies, Options, start};
use chrono::{DateTime, TimeDelta, Utc};
use coordination::Coordination;
use futures_util::FutureExt;
use futures_util::future::join_all;
use kernel::{Clock, SystemClock};
use messaging::{Broker, BrokerOptions, Family, Topology};
use relay::Relay;
use sending::{Sender, SenderDependencies, SenderOptions};
use service::Life;
use storage::events::Event;
use storage::sealed::Sealer;
use storage::send_ledger::Source;
use testkit::{Servers, master_key, unique_name};
use tokio_util::sync::CancellationToken;
use whatsapp::graph::{GraphClient, GraphOptions};

use crate::world::World;

/// How the chatbots of a test are set up.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) chatbots: usize,
    /// A Redis that nobody listens at, unless reachable.
    pub(crate) is_redis_up: bool,
    /// How far their clock goes ahead.
    pub(crate) ahead: TimeDelta,
}

impl Default for Setup {
    fn default() -> Self {
        Self { chatbots: 1, is_redis_up: true, ahead: TimeDelta::zero() }
    }
}

pub(crate) struct Crowd {
    members: Vec<Member>,
}

struct Member {
    life: Life,
    stop_broker: CancellationToken,
    relay: Relay,
    chatbot: Chatbot,
    cleaner: BrokerOptions,
}

struct Ahead(TimeDelta);

impl Clock for Ahead {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + self.0
    }
}

/// Runs `test` with chatbots, and removes what they declared whatever happens.
pub(crate) async fn with_crowd(world: &World, setup: Setup, test: impl AsyncFnOnce(&Crowd)) {
    let namespace = unique_name();
    let members = (0..setup.chatbots).map(|_| Member::start(world, setup, &namespace));
    let crowd = Crowd { members: join_all(members).await };
    let outcome = AssertUnwindSafe(test(&crowd)).catch_unwind().await;
    join_all(crowd.members.iter().map(Member::stop)).await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

impl Crowd {
    /// Tells every chatbot at once.
    pub(crate) async fn hint(&self, events: &[Event]) {
        join_all(self.members.iter().map(|member| member.relay.publish(events.to_vec()))).await;
    }

    pub(crate) fn chatbot(&self) -> &Chatbot {
        &self.members[0].chatbot
    }
}

impl Member {
    async fn start(world: &World, setup: Setup, namespace: &str) -> Self {
        let servers = Servers::from_env();
        let (life, stop_broker) = (Life::default(), CancellationToken::new());
        let topology = Topology::default()
            .with_prefix(format!("{}.", unique_name()))
            .with_families(vec![Family::Chatbots])
            .with_ladder(vec![Duration::from_millis(200)]);
        let options = || BrokerOptions::new(&servers.amqp_url, topology.clone(), "test").unwrap();
        let broker = Broker::start(options(), life.tasks().clone(), stop_broker.clone());
        broker.wait_ready(Duration::from_secs(20)).await.unwrap();
        let redis = if setup.is_redis_up { &servers.redis_url } else { "redis://127.0.0.1:1" };
        let coordination =
            Coordination::connect(redis, namespace, life.tasks().clone()).await.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(Ahead(setup.ahead));
        let db = world.db.database().clone();
        let relay = Relay::start(
            db.clone(),
            broker.publisher(),
            Arc::clone(&clock),
            life.tasks(),
            life.stopping(),
        );
        let sender = idle_sender(world, &coordination, &relay, &life);
        let dependencies = Dependencies {
            db,
            broker,
            limiter: coordination.limiter().clone(),
            sender,
            relay: relay.clone(),
            clock,
            options: Options { max_batch: 100, bot_per_minute: 5 },
        };
        let chatbot = start(life.clone(), dependencies).await.unwrap();
        Self { life, stop_broker, relay, chatbot, cleaner: options() }
    }

    async fn stop(&self) {
        self.life.stop();
        self.stop_broker.cancel();
        self.life.tasks().close();
        self.life.tasks().wait().await;
        Broker::delete_topology(&self.cleaner).await.unwrap();
    }
}

/// A sender that has stopped: replies stay in the ledger.
fn idle_sender(world: &World, coordination: &Coordination, relay: &Relay, life: &Life) -> Sender {
    let stopped = CancellationToken::new();
    stopped.cancel();
    let nowhere = "http://127.0.0.1:1".parse().unwrap();
    let dependencies = SenderDependencies {
        db: world.db.database().clone(),
        sealer: Sealer::new(&master_key()).unwrap(),
        limiter: coordination.limiter().clone(),
        graph: Arc::new(GraphClient::new(&GraphOptions::new(nowhere)).unwrap()),
        relay: relay.clone(),
        clock: Arc::new(SystemClock),
    };
    let options = SenderOptions {
        worker: "test".into(),
        claim_batch: 1,
        poll: Duration::from_secs(60),
        attempt_deadline: Duration::from_secs(10),
        request_timeout: Duration::from_secs(15),
        doubt_margin: Duration::from_secs(5),
        quiet_window: Duration::from_secs(900),
        min_probes: 20,
        status_lanes: 10,
        api_per_minute: 100,
        in_flight: 1,
        sources: Source::ALL.to_vec(),
    };
    Sender::start(dependencies, options, life.tasks(), stopped)
}
