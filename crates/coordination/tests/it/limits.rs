//! No window holds more than the limit, whoever asks.

use std::time::Duration;

use coordination::{Coordination, Decision, Lane, Limit, LimitName, Mode, Overriding, Policy};
use deadpool_redis::redis::cmd;
use kernel::WaId;
use kernel::ids::{ConnectionId, ConversationId};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::stack::{OwnRedis, alone, connect, fresh_namespace, raw, shared_url};

async fn check(here: &Coordination, limit: &Limit, cost: u32) -> Decision {
    here.limiter().check(std::slice::from_ref(limit), cost).await
}

fn is_go(decision: &Decision) -> bool {
    matches!(decision, Decision::Go(_))
}

async fn ask_five_times(here: Coordination, limit: Limit) -> u32 {
    let mut admitted = 0;
    for _ in 0..5 {
        admitted += u32::from(is_go(&check(&here, &limit, 1).await));
    }
    admitted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_tasks_in_two_processes_get_exactly_five_of_five() {
    let namespace = fresh_namespace();
    let limit = Limit::of(LimitName::Bot(ConversationId::new()));
    let mut tasks = JoinSet::new();
    for _process in 0..2 {
        let here = connect(&shared_url(), &namespace).await;
        for _ in 0..8 {
            tasks.spawn(ask_five_times(here.clone(), limit.clone()));
        }
    }
    let admitted: u32 = tasks.join_all().await.into_iter().sum();
    assert_eq!(admitted, 5);
}

#[tokio::test]
async fn a_unit_asked_again_is_admitted_again_and_charged_once() {
    let here = alone().await;
    let limit = Limit::of(LimitName::Bot(ConversationId::new()));
    let message = Uuid::now_v7();
    for _ in 0..20 {
        assert!(is_go(&here.limiter().check_unit(&limit, message).await));
    }
    for _ in 0..4 {
        assert!(is_go(&here.limiter().check_unit(&limit, Uuid::now_v7()).await));
    }
    let sixth = here.limiter().check_unit(&limit, Uuid::now_v7()).await;
    assert!(matches!(sixth, Decision::Wait { by: Policy::Bot, .. }), "{sixth:?}");
    let again = here.limiter().check_unit(&limit, message).await;
    assert!(is_go(&again), "a redelivered message lost its reply: {again:?}");
}

#[tokio::test]
async fn several_limits_admit_together_or_charge_none_and_the_binding_one_is_named() {
    let here = alone().await;
    let connection = ConnectionId::new();
    let wide = Limit::of(LimitName::WhatsAppApi(connection)).at_most(3);
    let narrow = Limit::of(LimitName::Pair(connection, WaId::new("15551234567"))).at_most(1);
    let both = [wide.clone(), narrow];
    assert!(is_go(&here.limiter().check(&both, 1).await));
    for _ in 0..5 {
        let denied = here.limiter().check(&both, 1).await;
        assert!(matches!(denied, Decision::Wait { by: Policy::Pair, .. }), "{denied:?}");
    }
    assert!(is_go(&check(&here, &wide, 2).await), "a denied question was charged");
    assert!(!is_go(&check(&here, &wide, 1).await));
}

#[tokio::test]
async fn a_refunded_admission_may_be_used_by_another() {
    let here = alone().await;
    for most in [2, 2_000] {
        let limit = Limit::of(LimitName::TemplateSync(ConnectionId::new())).at_most(most);
        let burst = if most > 1_000 { most / 10 } else { most };
        let Decision::Go(permit) = check(&here, &limit, burst).await else {
            panic!("a whole burst was refused");
        };
        assert!(!is_go(&check(&here, &limit, burst).await));
        here.limiter().refund(permit).await;
        assert!(is_go(&check(&here, &limit, burst).await), "the refund was lost at {most}");
    }
}

#[tokio::test]
async fn whoever_waits_as_told_is_admitted() {
    let here = alone().await;
    // An exact limit asked for one, and a paced one asked for its whole burst.
    for (most, cost) in [(3, 1), (2_000, 200)] {
        let limit = Limit::of(LimitName::Reminder).at_most(most).per(Duration::from_millis(500));
        let mut waits = 0;
        while waits < 3 {
            let Decision::Wait { after, .. } = check(&here, &limit, cost).await else { continue };
            waits += 1;
            sleep(after).await;
            assert!(is_go(&check(&here, &limit, cost).await), "{after:?} was too short");
        }
    }
}

/// When an admission may have happened at the earliest and at the latest.
type Span = (Instant, Instant);

#[derive(Clone, Copy)]
enum Ask {
    /// All of so many, or none.
    AllOf(u32),
    /// From a block taken in advance.
    UpTo(u32),
}

/// Asks from several tasks in two processes for `time`.
async fn hammer(limit: Limit, ask: Ask, time: Duration) -> Vec<Span> {
    let namespace = fresh_namespace();
    let mut tasks = JoinSet::new();
    for process in 0..2 {
        let here = connect(&shared_url(), &namespace).await;
        for task in 0..3 {
            let pause = Duration::from_millis(1 + task * 3 + process);
            tasks.spawn(ask_for(here.clone(), limit.clone(), ask, time, pause));
        }
    }
    tasks.join_all().await.concat()
}

async fn ask_for(
    here: Coordination,
    limit: Limit,
    ask: Ask,
    time: Duration,
    pause: Duration,
) -> Vec<Span> {
    let start = Instant::now();
    let mut admitted = Vec::new();
    while start.elapsed() < time {
        let asked = Instant::now();
        let granted = match ask {
            Ask::AllOf(cost) if is_go(&check(&here, &limit, cost).await) => cost,
            Ask::AllOf(_) => 0,
            Ask::UpTo(units) => here.limiter().admit_up_to(&limit, units).await,
        };
        admitted.extend((0..granted).map(|_| (asked, Instant::now())));
        sleep(pause).await;
    }
    admitted
}

/// Fails when more than `most` admissions certainly happened within `window`.
fn assert_no_window_holds_more(mut admitted: Vec<Span>, most: usize, window: Duration) {
    admitted.sort_by_key(|(_, latest)| *latest);
    for ending in admitted.windows(most + 1) {
        let earliest = ending.iter().map(|(earliest, _)| *earliest).min().unwrap();
        let latest = ending[most].1;
        assert!(latest - earliest >= window, "{} in {:?}", most + 1, latest - earliest);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_window_holds_more_than_an_exact_limit() {
    let window = Duration::from_millis(400);
    let limit = Limit::of(LimitName::Reminder).at_most(20).per(window);
    let admitted = hammer(limit, Ask::AllOf(1), Duration::from_millis(1_500)).await;
    assert!(admitted.len() >= 60, "only {} of about 80 were admitted", admitted.len());
    assert_no_window_holds_more(admitted, 20, window);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_window_holds_more_than_a_paced_limit() {
    let window = Duration::from_millis(500);
    let sync = LimitName::TemplateSync(ConnectionId::new());
    let limit = Limit::of(sync).at_most(1_100).per(window);
    let admitted = hammer(limit, Ask::AllOf(7), Duration::from_millis(1_500)).await;
    assert!(admitted.len() >= 1_600, "only {} of about 3,000 were admitted", admitted.len());
    assert_no_window_holds_more(admitted, 1_100, window);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_never_exceed_the_limit_and_leave_little_unused() {
    for most in [100, 1_000] {
        let limit = Limit::of(LimitName::Webhook(ConnectionId::new())).at_most(most);
        let admitted = hammer(limit, Ask::UpTo(3), Duration::from_millis(1_500)).await.len();
        let most = usize::try_from(most).unwrap();
        assert!(admitted <= most, "{admitted} of {most}");
        let floor = if most == 100 { 100 } else { 940 };
        assert!(admitted >= floor, "only {admitted} of {most}");
    }
}

#[tokio::test]
async fn a_hot_key_asks_redis_rarely() {
    let own = OwnRedis::start().await;
    let here = connect(&own.url(), "sw").await;
    let limit = Limit::of(LimitName::Webhook(ConnectionId::new())).at_most(100_000);
    let mut admitted = 0;
    let start = Instant::now();
    for _ in 0..9_000 {
        admitted += here.limiter().admit_up_to(&limit, 1).await;
    }
    assert_eq!(admitted, 9_000);
    let mut redis = raw(&own.url()).await;
    let stats: String = cmd("INFO").arg("commandstats").query_async(&mut redis).await.unwrap();
    let calls = stats.split("cmdstat_evalsha:calls=").nth(1).unwrap().split(',').next().unwrap();
    let calls: u32 = calls.parse().unwrap();
    assert!(calls <= 100, "{calls} calls for 9,000 questions");
    let each = start.elapsed() / 9_000;
    assert!(each < Duration::from_micros(100), "{each:?} for each question");
}

#[tokio::test]
async fn an_exhausted_limit_is_denied_without_asking_redis() {
    let own = OwnRedis::start().await;
    let here = connect(&own.url(), "sw").await;
    let limit = Limit::of(LimitName::Bot(ConversationId::new())).at_most(1);
    assert!(is_go(&check(&here, &limit, 1).await));
    assert!(!is_go(&check(&here, &limit, 1).await));
    own.freeze();
    let start = Instant::now();
    assert!(!is_go(&check(&here, &limit, 1).await));
    assert!(start.elapsed() < Duration::from_millis(50));
}

#[tokio::test]
async fn a_redis_clock_that_went_back_neither_blocks_nor_widens_a_limit() {
    let namespace = fresh_namespace();
    let here = connect(&shared_url(), &namespace).await;
    let mut redis = raw(&shared_url()).await;
    let (seconds, micros): (u64, u64) = cmd("TIME").query_async(&mut redis).await.unwrap();
    let key = format!("{namespace}:r:reminder_rate_limit");
    let limit = Limit::of(LimitName::Reminder).at_most(2);
    // An hour ahead of the window: from another age, forgotten. Ten seconds ahead: it counts.
    for (ahead, room) in [(3_600, 2), (10, 1)] {
        let then = (seconds + ahead) * 1_000_000 + micros;
        cmd("DEL").arg(&key).exec_async(&mut redis).await.unwrap();
        cmd("ZADD").arg(&key).arg(then).arg("early:1").exec_async(&mut redis).await.unwrap();
        assert!(is_go(&here.limiter().check_unit(&limit, Uuid::now_v7()).await));
        let second = here.limiter().check_unit(&limit, Uuid::now_v7()).await;
        assert_eq!(is_go(&second), room == 2, "{ahead} s ahead");
    }
}

#[tokio::test]
async fn a_block_used_late_is_not_admitted_twice() {
    let window = Duration::from_secs(1);
    let limit = Limit::of(LimitName::Webhook(ConnectionId::new())).at_most(1_000).per(window);
    let namespace = fresh_namespace();
    let here = connect(&shared_url(), &namespace).await;
    let there = connect(&shared_url(), &namespace).await;
    // Blocks grow to ten; the other process takes all that Redis has left.
    for _ in 0..20 {
        assert_eq!(here.limiter().admit_up_to(&limit, 1).await, 1);
    }
    let stock = 980 - there.limiter().admit_up_to(&limit, 1_000).await;
    assert!(stock > 0, "nothing was left of the last block");
    sleep(Duration::from_millis(850)).await;
    let before = Instant::now();
    let late = here.limiter().admit_up_to(&limit, stock).await;
    sleep(Duration::from_millis(250)).await;
    let next = there.limiter().admit_up_to(&limit, 1_000).await;
    assert!(before.elapsed() > window || late + next <= 1_000, "{late} and {next} in one window");
}

#[tokio::test]
async fn operators_see_the_fullest_keys_first() {
    let here = alone().await;
    let limiter = here.limiter();
    let mut connections = Vec::new();
    for used in [3, 9, 1] {
        let connection = ConnectionId::new();
        let line = Limit::of(LimitName::WhatsAppApi(connection)).at_most(10);
        assert!(is_go(&check(&here, &line, used).await));
        let shown = limiter.show(&line).await.unwrap();
        assert_eq!((shown.used, shown.limit), (used, 10));
        assert!(shown.resets_in > Duration::from_secs(59), "{shown:?}");
        connections.push(connection);
    }
    let paced = Limit::of(LimitName::WhatsAppApi(ConnectionId::new())).at_most(6_000);
    assert!(is_go(&check(&here, &paced, 9).await));
    assert!(is_go(&check(&here, &Limit::of(LimitName::Reminder), 1).await));
    let hottest = limiter.inspect(Policy::WhatsAppApi, 3).await.unwrap();
    let used: Vec<(u32, u32)> = hottest.iter().map(|key| (key.used, key.limit)).collect();
    assert_eq!(used, [(9, 10), (3, 10), (1, 10)]);
    assert!(hottest[0].key.contains(&connections[1].to_string()), "{}", hottest[0].key);
    assert_eq!(limiter.inspect(Policy::WhatsAppApi, 10).await.unwrap().len(), 4);
    assert_eq!(limiter.inspect(Policy::Reminder, 10).await.unwrap().len(), 1);
    assert!(limiter.inspect(Policy::Bot, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_denied_lane_is_answered_from_memory_and_the_lanes_above_are_not() {
    let own = OwnRedis::start().await;
    let here = connect(&own.url(), "sw").await;
    let connection = ConnectionId::new();
    let line = |lane| Limit::of(LimitName::WhatsAppApi(connection)).at_most(100).lane(lane);
    while is_go(&check(&here, &line(Lane::Chatbot), 1).await) {}
    assert!(is_go(&check(&here, &line(Lane::Agent), 1).await), "an agent waits behind the chatbot");
    own.freeze();
    let start = Instant::now();
    assert!(!is_go(&check(&here, &line(Lane::Chatbot), 1).await));
    assert!(start.elapsed() < Duration::from_millis(50));
}

fn set(here: &Coordination, policy: Policy, mode: Mode) {
    let overriding = Overriding { limit_modes: [(policy, mode)].into(), ..Overriding::default() };
    here.overrides().replace(overriding);
}

#[tokio::test]
async fn a_limit_that_is_off_is_not_asked_and_an_observed_one_counts_without_binding() {
    let here = alone().await;
    let connection = ConnectionId::new();
    let line = Limit::of(LimitName::WhatsAppApi(connection)).at_most(3);
    let pair = Limit::of(LimitName::Pair(connection, WaId::new("1"))).at_most(1);
    let both = [line.clone(), pair.clone()];
    for (mode, counted) in [(Mode::Off, 0), (Mode::Observe, 1)] {
        set(&here, Policy::Pair, mode);
        let each = here.limiter().check_each(&line, &[Some(pair.clone())]).await;
        assert!(each.iter().all(is_go));
        assert_eq!(here.limiter().show(&pair).await.unwrap().used, counted);
    }
    assert!(is_go(&here.limiter().check(&both, 1).await), "an observed limit binds");
    let denied = here.limiter().check(&both, 1).await;
    assert!(matches!(denied, Decision::Wait { by: Policy::WhatsAppApi, .. }), "{denied:?}");
    set(&here, Policy::Webhook, Mode::Off);
    let webhooks = Limit::of(LimitName::Webhook(connection));
    assert_eq!(here.limiter().admit_up_to(&webhooks, 5_000).await, 5_000);
    set(&here, Policy::Webhook, Mode::Observe);
    assert_eq!(here.limiter().admit_up_to(&webhooks, 5_000).await, 5_000);
}
