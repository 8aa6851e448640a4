//! Interactive lanes overtake bulk, bulk keeps its floor, and together they stay within the limit.

use super::*;

const SECOND: u64 = 1_000_000;

/// One process that has bulk to send without end, as the pacer asks for it.
#[derive(Default)]
struct Bulk {
    ahead: Vec<u64>,
    ready: u64,
    sent: Vec<u64>,
}

impl Bulk {
    /// Asks if it may; returns how many questions that took.
    async fn ask(&mut self, world: &World, line: &Limit) -> u32 {
        self.ahead.retain(|at| *at > world.now);
        if world.now < self.ready || self.ahead.len() > 4 {
            return 0;
        }
        let (slots, wait) = world.reserve(line, 8 - self.ahead.len(), Ahead::Horizon).await;
        self.ahead.extend(slots.iter().map(|slot| slot.at));
        self.sent.extend(slots.iter().map(|slot| slot.at));
        if let Some(wait) = wait {
            let patience = if line.most > 1_000 { 250_000 } else { 0 };
            let wait = u64::try_from(wait.as_micros()).unwrap();
            self.ready = world.now + wait.min(SECOND) + patience;
        }
        1
    }
}

struct Played {
    bulk: Vec<u64>,
    interactive: Vec<u64>,
    waits_us: Vec<u64>,
    questions: u32,
}

/// Four processes send bulk without end, while a chat message comes every `chat_every_us`.
async fn play(most: u32, seconds: u64, chat_every_us: u64) -> Played {
    let mut world = World::new().await;
    let (chat, bulk) = (world.line(most, Lane::Chatbot), world.line(most, Lane::Campaign));
    let mut processes: [Bulk; 4] = Default::default();
    let mut played =
        Played { bulk: Vec::new(), interactive: Vec::new(), waits_us: Vec::new(), questions: 0 };
    let (start, mut dice) = (world.now, Dice(99));
    let (mut next_chat, mut chat_ready, mut chats) = (start, start, Vec::new());
    while world.now < start + seconds * SECOND {
        world.pass(Duration::from_millis(5)).await;
        while next_chat <= world.now {
            chats.push(next_chat);
            next_chat += dice.below(2 * chat_every_us + 1);
        }
        while !chats.is_empty() && chat_ready <= world.now {
            played.questions += 1;
            let (slots, wait) = world.reserve(&chat, chats.len().min(8), Ahead::Horizon).await;
            for (slot, came) in slots.iter().zip(chats.drain(..slots.len())) {
                played.interactive.push(slot.at);
                played.waits_us.push(slot.at.saturating_sub(came));
            }
            chat_ready =
                world.now + wait.map_or(0, |wait| u64::try_from(wait.as_micros()).unwrap());
        }
        for process in &mut processes {
            played.questions += process.ask(&world, &bulk).await;
        }
    }
    played.bulk = processes.into_iter().flat_map(|process| process.sent).collect();
    played.waits_us.sort_unstable();
    played
}

impl Played {
    fn wait_of(&self, hundredth: usize) -> Duration {
        Duration::from_micros(self.waits_us[(self.waits_us.len() - 1) * hundredth / 100])
    }

    fn all(&self) -> Vec<u64> {
        [self.bulk.clone(), self.interactive.clone()].concat()
    }
}

#[tokio::test]
async fn chat_overtakes_saturating_bulk_and_all_of_the_limit_is_used() {
    let (most, seconds) = (4_800, 70);
    let played = play(most, seconds, SECOND / 8).await;
    // The clock moves in steps of 5 ms.
    let p99 = played.wait_of(99);
    assert!(p99 <= Duration::from_millis(10), "chat waits {p99:?} behind bulk");
    let all = played.all();
    assert!(fullest_window(&all, Duration::from_mins(1)) <= 4_800);
    let budget = 80 * usize::try_from(seconds).unwrap();
    assert!(all.len() * 100 >= budget * 98, "only {} of {budget} used", all.len());
    let questions = f64::from(played.questions) / f64::from(u32::try_from(all.len()).unwrap());
    assert!(questions < 0.5, "{questions} questions for each message");
}

#[tokio::test]
async fn campaigns_keep_a_fifth_though_chat_asks_for_everything() {
    for (most, seconds) in [(4_800, 60), (600, 240)] {
        let played = play(most, seconds, 60 * SECOND / u64::from(most) / 2).await;
        // Everything saved up is spent before: only the second half counts.
        let half = 1_000_000_000_000 + seconds * SECOND / 2;
        let late = |sent: &[u64]| sent.iter().filter(|at| **at >= half).count();
        let (bulk, chat) = (late(&played.bulk), late(&played.interactive));
        assert!(bulk * 100 >= (bulk + chat) * 19, "{most}: bulk has {bulk} beside {chat}");
        assert!(chat > bulk, "{most}: chat has {chat} beside {bulk}");
        let all = played.all();
        assert!(fullest_window(&all, Duration::from_mins(1)) <= usize::try_from(most).unwrap());
        let budget = usize::try_from(u64::from(most) * seconds / 120).unwrap();
        assert!((bulk + chat) * 100 >= budget * 95, "{most}: {} of {budget}", bulk + chat);
    }
}

#[tokio::test]
async fn each_lane_leaves_room_for_those_above() {
    for most in [100, 4_800] {
        let world = World::new().await;
        for lane in Lane::ALL.into_iter().rev() {
            let line = world.line(most, lane);
            let (slots, wait) = world.reserve(&line, 600, Ahead::Horizon).await;
            assert!(!slots.is_empty(), "{most}: nothing is left to {lane:?}");
            assert!(wait.is_some(), "{most}: {lane:?} has no ceiling");
        }
    }
}
