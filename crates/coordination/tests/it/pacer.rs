//! Slots: few questions, fair turns, nothing lost by those who leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use coordination::{Coordination, Feedback, Lane, Limit, LimitName, Pacer, Parked, Policy, Share};
use deadpool_redis::redis::cmd;
use kernel::WaId;
use kernel::ids::CampaignId;
use kernel::ids::ConnectionId;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::stack::{OwnRedis, alone, connect, raw, until};

fn pacer(here: &Coordination) -> Pacer {
    Pacer::new(here.limiter().clone(), TaskTracker::new())
}

fn line(connection: ConnectionId, most: u32, lane: Lane) -> Limit {
    Limit::of(LimitName::WhatsAppApi(connection)).at_most(most).lane(lane)
}

/// Takes slots until told to stop; returns how many were used.
async fn work(pacer: Pacer, line: Limit, share: Share, stop: Arc<AtomicBool>) -> u32 {
    let mut used = 0;
    while !stop.load(Ordering::Relaxed) {
        used += u32::from(pacer.slot(&line, None, share).await.unwrap().spend().await);
    }
    used
}

/// Takes a slot now and then; returns the waits.
async fn chat(pacer: Pacer, line: Limit, stop: Arc<AtomicBool>) -> Vec<Duration> {
    let mut waits = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        assert!(pacer.slot(&line, None, Share::NONE).await.unwrap().spend().await);
        waits.push(start.elapsed());
        sleep(Duration::from_millis(60)).await;
    }
    waits
}

async fn script_calls(url: &str) -> u32 {
    let stats: String =
        cmd("INFO").arg("commandstats").query_async(&mut raw(url).await).await.unwrap();
    let calls = stats.split("cmdstat_evalsha:calls=").nth(1);
    calls.map_or(0, |text| text.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chat_overtakes_the_bulk_of_four_processes_which_ask_rarely() {
    let own = OwnRedis::start().await;
    let connection = ConnectionId::new();
    let stop = Arc::new(AtomicBool::new(false));
    let (mut bulk, mut chats) = (JoinSet::new(), JoinSet::new());
    let bulk_line = line(connection, 4_800, Lane::Campaign);
    let chat_line = line(connection, 4_800, Lane::Chatbot);
    for process in 0..4 {
        let pacer = pacer(&connect(&own.url(), "sw").await);
        for _ in 0..16 {
            bulk.spawn(work(pacer.clone(), bulk_line.clone(), Share::NONE, Arc::clone(&stop)));
        }
        if process == 0 {
            chats.spawn(chat(pacer, chat_line.clone(), Arc::clone(&stop)));
        }
    }
    sleep(Duration::from_secs(3)).await;
    stop.store(true, Ordering::Relaxed);
    let mut waits = chats.join_all().await.concat();
    let sent = bulk.join_all().await.into_iter().sum::<u32>();
    waits.sort_unstable();
    let sent = sent + u32::try_from(waits.len()).unwrap();
    assert!((200..=340).contains(&sent), "{sent} sent in 3 s to 4 s at 80/s");
    let typical = waits[waits.len() * 9 / 10];
    assert!(typical < Duration::from_millis(100), "chat waits {typical:?} behind bulk");
    let calls = script_calls(&own.url()).await;
    assert!(calls * 2 < sent, "{calls} questions for {sent} messages");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn campaigns_get_their_shares_however_many_workers_they_have() {
    let here = alone().await;
    let pacer = pacer(&here);
    let stop = Arc::new(AtomicBool::new(false));
    let line = line(ConnectionId::new(), 12_000, Lane::Campaign);
    let mut campaigns = Vec::new();
    for (workers, weight) in [(30, 1), (12, 1), (12, 2)] {
        let share = Share { campaign: Some(CampaignId::new()), weight };
        let mut tasks = JoinSet::new();
        for _ in 0..workers {
            tasks.spawn(work(pacer.clone(), line.clone(), share, Arc::clone(&stop)));
        }
        campaigns.push(tasks);
    }
    sleep(Duration::from_millis(2_500)).await;
    stop.store(true, Ordering::Relaxed);
    let mut sent = Vec::new();
    for tasks in campaigns {
        sent.push(tasks.join_all().await.into_iter().sum::<u32>());
    }
    let [many, few, heavy] = sent[..] else { panic!("three campaigns") };
    assert!(few * 100 >= many * 80, "12 workers got {few}, 30 workers {many}");
    assert!(heavy * 100 >= few * 150, "twice the weight got {heavy} beside {few}");
}

#[tokio::test]
async fn a_slot_that_was_not_used_is_given_back() {
    let here = alone().await;
    let pacer = pacer(&here);
    let line = line(ConnectionId::new(), 10, Lane::Agent);
    let mut slots = Vec::new();
    for _ in 0..10 {
        slots.push(pacer.slot(&line, None, Share::NONE).await.unwrap());
    }
    assert_eq!(here.limiter().show(&line).await.unwrap().used, 10);
    drop(slots);
    until("all are given back", async || here.limiter().show(&line).await.unwrap().used == 0).await;
    for _ in 0..10 {
        assert!(pacer.slot(&line, None, Share::NONE).await.unwrap().spend().await);
    }
    assert_eq!(here.limiter().show(&line).await.unwrap().used, 10);
}

#[tokio::test]
async fn who_gives_up_waiting_leaves_nothing_behind() {
    let here = alone().await;
    let pacer = pacer(&here);
    let window = Duration::from_millis(600);
    let line = line(ConnectionId::new(), 2, Lane::Agent).per(window);
    for _ in 0..2 {
        assert!(pacer.slot(&line, None, Share::NONE).await.unwrap().spend().await);
    }
    for _ in 0..5 {
        let waiting = pacer.slot(&line, None, Share::NONE);
        assert!(timeout(Duration::from_millis(20), waiting).await.is_err());
    }
    // Whoever comes later is not behind those who left: their five slots would take three windows,
    // of 850 ms each with the time a slot may be late.
    let start = Instant::now();
    let last = pacer.slot(&line, None, Share::NONE).await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(1_700), "{:?}", start.elapsed());
    assert!(last.spend().await);
}

#[tokio::test]
async fn a_process_holds_eight_slots_of_the_future_at_most() {
    let here = alone().await;
    let pacer = pacer(&here);
    let line = line(ConnectionId::new(), 1_200, Lane::Campaign);
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        tasks.spawn(work(pacer.clone(), line.clone(), Share::NONE, Arc::clone(&stop)));
    }
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1_500) {
        let ahead = here.limiter().show(&line).await.unwrap().used;
        assert!(ahead <= 9, "{ahead} slots would be lost with this process");
        sleep(Duration::from_millis(10)).await;
    }
    tasks.shutdown().await;
}

#[tokio::test]
async fn a_message_to_a_full_pair_is_parked_and_the_next_one_goes() {
    let here = alone().await;
    let pacer = pacer(&here);
    let connection = ConnectionId::new();
    let line = line(connection, 100, Lane::Chatbot);
    let pair = |person: &str| Limit::of(LimitName::Pair(connection, WaId::new(person))).at_most(1);
    assert!(pacer.slot(&line, Some(&pair("1")), Share::NONE).await.unwrap().spend().await);
    let parked = pacer.slot(&line, Some(&pair("1")), Share::NONE).await.unwrap_err();
    assert_eq!(parked.by, Policy::Pair);
    assert!(parked.after > Duration::from_secs(59), "{parked:?}");
    assert!(pacer.slot(&line, Some(&pair("2")), Share::NONE).await.unwrap().spend().await);
}

#[tokio::test]
async fn a_stopped_campaign_is_parked_and_a_throttled_line_pauses() {
    let here = alone().await;
    let pacer = pacer(&here);
    let connection = ConnectionId::new();
    here.limiter().feedback(connection, Feedback::Blocked { code: 131_048 }).await;
    let campaign = line(connection, 100, Lane::Campaign);
    let Err(Parked { after, .. }) = pacer.slot(&campaign, None, Share::NONE).await else {
        panic!("a blocked connection sends campaigns");
    };
    assert!(after > Duration::from_mins(9), "{after:?}");
    let throttled = Feedback::Throttled { code: 130_429, retry_after: None };
    let start = Instant::now();
    here.limiter().feedback(connection, throttled).await;
    let agent = line(connection, 100, Lane::Agent);
    assert!(pacer.slot(&agent, None, Share::NONE).await.unwrap().spend().await);
    assert!(start.elapsed() >= Duration::from_millis(490), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_go_on_when_redis_dies_and_when_it_comes_back() {
    let mut own = OwnRedis::start().await;
    let here = connect(&own.url(), "sw").await;
    let pacer = pacer(&here);
    let line = line(ConnectionId::new(), 60_000, Lane::Chatbot);
    let used = Arc::new(AtomicU32::new(0));
    let (worker, counted) = (pacer.clone(), Arc::clone(&used));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let Ok(slot) = worker.slot(&line, None, Share::NONE).await else { continue };
            counted.fetch_add(u32::from(slot.spend().await), Ordering::Relaxed);
        }
    });
    let more = async |what: &str| {
        let before = used.load(Ordering::Relaxed);
        until(what, async || used.load(Ordering::Relaxed) > before + 20).await;
    };
    more("slots come").await;
    own.kill();
    more("slots come without Redis").await;
    own.start_again().await;
    more("slots come after the restart").await;
    tasks.shutdown().await;
}
