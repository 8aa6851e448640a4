//! The scripts under a clock that the test sets: thousands of admissions in no time, exactly.
//!
//! Everything is asked of a real Redis by the real scripts; only where they read the time, they read
//! a key instead.

#![expect(clippy::disallowed_methods, reason = "a test reads where its servers are")]

mod adaptive;
mod lanes;
mod windows;

use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{Client, cmd};
use kernel::WaId;
use kernel::ids::ConnectionId;
use uuid::Uuid;

use super::script::{self, Reservation, Scripts};
use super::shape::Ahead;
use super::{Answer, Extent, Lane, Limit, Limiter, Permit};
use crate::overrides::Overrides;
use crate::redis::deployment::Deployment;
use crate::redis::link::{Link, Role};
use crate::registry::LimitName;

/// One connection's limits under a clock of the test's own.
struct World {
    limiter: Limiter,
    redis: MultiplexedConnection,
    clock_key: String,
    /// The clock, in us; any age will do.
    now: u64,
    connection: ConnectionId,
}

/// A slot, and when it may be used by the world's clock.
struct Taken {
    at: u64,
    before: u64,
    after: u64,
}

impl World {
    async fn new() -> Self {
        let url = std::env::var("SWITCHYARD__REDIS__URL")
            .unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
        let namespace = format!("test-{}", Uuid::now_v7().simple());
        let clock_key = format!("{namespace}:clock");
        let link = Arc::new(
            Link::open(&Deployment::Single { url: url.clone() }, &namespace, Role::Calls)
                .await
                .unwrap(),
        );
        let clock = format!("redis.call('HMGET', '{clock_key}', 's', 'us')");
        let (overrides, scripts) = (Arc::new(Overrides::default()), Scripts::on_clock(&clock));
        let limiter = Limiter::with_scripts(link, None, &namespace, overrides, scripts);
        let client = Client::open(url).unwrap();
        let redis = client.get_multiplexed_async_connection().await.unwrap();
        let mut world = Self { limiter, redis, clock_key, now: 0, connection: ConnectionId::new() };
        world.go_to(1_000_000_000_000).await;
        world
    }

    async fn go_to(&mut self, now: u64) {
        self.now = now;
        let mut set = cmd("HSET");
        set.arg(&self.clock_key).arg("s").arg(now / 1_000_000).arg("us").arg(now % 1_000_000);
        set.exec_async(&mut self.redis).await.unwrap();
        cmd("EXPIRE").arg(&self.clock_key).arg(600).exec_async(&mut self.redis).await.unwrap();
    }

    async fn pass(&mut self, time: Duration) {
        self.go_to(self.now + u64::try_from(time.as_micros()).unwrap()).await;
    }

    fn line(&self, most: u32, lane: Lane) -> Limit {
        Limit::of(LimitName::WhatsAppApi(self.connection)).at_most(most).lane(lane)
    }

    fn pair(&self, person: &str) -> Limit {
        Limit::of(LimitName::Pair(self.connection, WaId::new(person)))
    }

    /// Asks past every memory of this process.
    async fn ask(&self, limits: &[Limit], units: u32) -> Result<Permit, (Duration, usize)> {
        let unit = Uuid::new_v4();
        let shared = &self.limiter.shared;
        match script::admit(shared, limits, unit, units, Extent::All).await {
            // A machine too busy to answer in 150 ms. What was charged in vain only makes it stricter.
            Err(_) => self.ask_again(limits, units).await,
            Ok(answer) => answer_of(answer),
        }
    }

    async fn ask_again(&self, limits: &[Limit], units: u32) -> Result<Permit, (Duration, usize)> {
        let shared = &self.limiter.shared;
        shared.link.available().await;
        let asked = script::admit(shared, limits, Uuid::new_v4(), units, Extent::All).await;
        answer_of(asked.expect("Redis answers within 150 ms"))
    }

    /// Asks for `count` slots; returns those granted, and the wait of the first that was not.
    async fn reserve(
        &self,
        line: &Limit,
        count: usize,
        ahead: Ahead,
    ) -> (Vec<Taken>, Option<Duration>) {
        let own = vec![None; count];
        let shared = &self.limiter.shared;
        let mut asked = script::reserve(shared, line, &own, Uuid::new_v4(), ahead).await;
        if asked.is_err() {
            shared.link.available().await;
            asked = script::reserve(shared, line, &own, Uuid::new_v4(), ahead).await;
        }
        let reserved = asked.expect("Redis answers within 150 ms");
        let (mut slots, mut wait) = (Vec::new(), None);
        for answer in reserved.answers {
            match answer {
                Reservation::Slot { delay, before, after } => {
                    let at = self.now + u64::try_from(delay.as_micros()).unwrap();
                    slots.push(Taken { at, before, after });
                }
                Reservation::Denied { after, .. } => wait = wait.or(Some(after)),
            }
        }
        (slots, wait)
    }
}

impl World {
    /// Takes all that a lane gives; returns how long it then has to wait.
    async fn until_denied(&self, line: &Limit) -> Duration {
        loop {
            if let (_, Some(wait)) = self.reserve(line, 8, Ahead::Horizon).await {
                return wait;
            }
        }
    }
}

fn answer_of(answer: Answer) -> Result<Permit, (Duration, usize)> {
    match answer {
        Answer::Granted(_, permit) => Ok(permit),
        Answer::Denied { after, binding } => Err((after, binding)),
    }
}

/// The most uses that any window of `window` holds.
fn fullest_window(uses: &[u64], window: Duration) -> usize {
    let window = u64::try_from(window.as_micros()).unwrap();
    let mut uses = uses.to_vec();
    uses.sort_unstable();
    let mut first = 0;
    let mut most = 0;
    for (last, at) in uses.iter().enumerate() {
        while uses[first] + window <= *at {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}
