//! Limits in PostgreSQL, without any Redis: the same promises.

use std::time::Duration;

use coordination::{Coordination, Decision, Limit, LimitName, Policy};
use kernel::WaId;
use kernel::ids::{ConnectionId, ConversationId};
use testkit::TestDatabase;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::database::on_postgres;

async fn is_go(here: &Coordination, limit: &Limit, cost: u32) -> bool {
    let decision = here.limiter().check(std::slice::from_ref(limit), cost).await;
    matches!(decision, Decision::Go(_))
}

async fn ask_four_times(here: Coordination, limit: Limit) -> u32 {
    let mut admitted = 0;
    for _ in 0..4 {
        admitted += u32::from(is_go(&here, &limit, 1).await);
    }
    admitted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_tasks_in_four_processes_get_exactly_five_of_five() {
    let database = TestDatabase::create().await.unwrap();
    let limit = Limit::of(LimitName::Bot(ConversationId::new()));
    let mut tasks = JoinSet::new();
    for _process in 0..4 {
        let here = on_postgres(&database).await;
        for _ in 0..4 {
            let (here, limit) = (here.clone(), limit.clone());
            tasks.spawn(ask_four_times(here, limit));
        }
    }
    assert_eq!(tasks.join_all().await.into_iter().sum::<u32>(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_limits_admit_together_or_charge_none_and_the_binding_one_is_named() {
    let database = TestDatabase::create().await.unwrap();
    let here = on_postgres(&database).await;
    let connection = ConnectionId::new();
    let sync = Limit::of(LimitName::TemplateSync(connection)).at_most(3);
    let pair = Limit::of(LimitName::Pair(connection, WaId::new("15551234567"))).at_most(1);
    let both = [sync.clone(), pair];
    assert!(matches!(here.limiter().check(&both, 1).await, Decision::Go(_)));
    for _ in 0..3 {
        let denied = here.limiter().check(&both, 1).await;
        assert!(matches!(denied, Decision::Wait { by: Policy::Pair, .. }), "{denied:?}");
    }
    assert!(is_go(&here, &sync, 2).await, "a denied question was charged");
    assert!(!is_go(&here, &sync, 1).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_asked_again_is_charged_once_and_a_refund_may_be_used_by_another() {
    let database = TestDatabase::create().await.unwrap();
    let here = on_postgres(&database).await;
    let limit = Limit::of(LimitName::Bot(ConversationId::new()));
    let message = Uuid::now_v7();
    for _ in 0..10 {
        let go = here.limiter().check_unit(&limit, message).await;
        assert!(matches!(go, Decision::Go(_)));
    }
    assert!(is_go(&here, &limit, 4).await, "one unit was charged more than once");
    for most in [2, 2_000] {
        let limit = Limit::of(LimitName::TemplateSync(ConnectionId::new())).at_most(most);
        let burst = if most > 1_000 { most / 10 } else { most };
        let asked = std::slice::from_ref(&limit);
        let Decision::Go(permit) = here.limiter().check(asked, burst).await else {
            panic!("a whole burst was refused");
        };
        assert!(!is_go(&here, &limit, burst).await);
        here.limiter().refund(permit).await;
        assert!(is_go(&here, &limit, burst).await, "the refund was lost at {most}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_as_told_is_admitted() {
    let database = TestDatabase::create().await.unwrap();
    let here = on_postgres(&database).await;
    // An exact limit asked for one, and a paced one asked for its whole burst.
    for (most, cost) in [(3, 1), (2_000, 200)] {
        let name = LimitName::TemplateSync(ConnectionId::new());
        let limit = Limit::of(name).at_most(most).per(Duration::from_millis(500));
        let mut waits = 0;
        while waits < 3 {
            let asked = here.limiter().check(std::slice::from_ref(&limit), cost).await;
            let Decision::Wait { after, .. } = asked else { continue };
            waits += 1;
            sleep(after).await;
            assert!(is_go(&here, &limit, cost).await, "{after:?} was too short");
        }
    }
}

/// When each admission may have happened at the earliest and at the latest.
async fn hammer(here: Coordination, limit: Limit, cost: u32) -> Vec<(Instant, Instant)> {
    let (start, mut admitted) = (Instant::now(), Vec::new());
    while start.elapsed() < Duration::from_millis(1_500) {
        let asked = Instant::now();
        if is_go(&here, &limit, cost).await {
            admitted.extend((0..cost).map(|_| (asked, Instant::now())));
        }
        sleep(Duration::from_millis(3)).await;
    }
    admitted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_window_holds_more_than_the_limit() {
    let database = TestDatabase::create().await.unwrap();
    let window = Duration::from_millis(400);
    for (most, cost) in [(12_u32, 1_u32), (1_100, 30)] {
        let limit = Limit::of(LimitName::TemplateSync(ConnectionId::new())).at_most(most);
        let limit = limit.per(window);
        let mut tasks = JoinSet::new();
        for _process in 0..3 {
            let (here, limit) = (on_postgres(&database).await, limit.clone());
            tasks.spawn(hammer(here, limit, cost));
        }
        let mut admitted = tasks.join_all().await.concat();
        let most = usize::try_from(most).unwrap();
        assert!(admitted.len() > most * 3 / 2, "only {} of {most} a window", admitted.len());
        admitted.sort_by_key(|(_, latest)| *latest);
        for ending in admitted.windows(most + 1) {
            let earliest = ending.iter().map(|(earliest, _)| *earliest).min().unwrap();
            let took = ending[most].1 - earliest;
            assert!(took >= window, "{} in {took:?}", most + 1);
        }
    }
}
