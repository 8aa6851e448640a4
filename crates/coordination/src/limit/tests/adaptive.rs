//! What Meta's answers change.

use std::collections::VecDeque;

use super::super::Feedback;
use super::*;

/// A provider that takes `capacity` messages in any second.
struct Provider {
    taken: VecDeque<u64>,
}

impl Provider {
    fn takes(&mut self, at: u64, capacity: usize) -> bool {
        while self.taken.front().is_some_and(|taken| taken + 1_000_000 <= at) {
            self.taken.pop_front();
        }
        let is_taken = self.taken.len() < capacity;
        if is_taken {
            self.taken.push_back(at);
        }
        is_taken
    }
}

/// Sends without end at 80/s for three minutes to a provider that takes 80, 20 and 80 again, and
/// answers after 80 ms. Returns what was taken and what was refused.
async fn run(world: &mut World, is_adaptive: bool) -> (usize, usize) {
    let line = world.line(4_800, Lane::Campaign);
    let start = world.now;
    let mut provider = Provider { taken: VecDeque::new() };
    let (mut taken, mut refused) = (0, 0);
    let mut sends: VecDeque<u64> = VecDeque::new();
    let mut answers: VecDeque<u64> = VecDeque::new();
    while world.now < start + 180_000_000 {
        world.pass(Duration::from_millis(10)).await;
        while sends.front().is_some_and(|at| *at <= world.now) {
            let at = sends.pop_front().unwrap();
            let is_low = (60..120).contains(&((at - start) / 1_000_000));
            if provider.takes(at, if is_low { 20 } else { 80 }) {
                taken += 1;
            } else {
                refused += 1;
                answers.push_back(at + 80_000);
            }
        }
        while answers.front().is_some_and(|at| *at <= world.now) {
            answers.pop_front();
            if is_adaptive {
                let throttled = Feedback::Throttled { code: 130_429, retry_after: None };
                world.limiter.feedback(world.connection, throttled).await;
                // As the pacer does: what was reserved before is not used.
                sends.clear();
            }
        }
        if sends.len() <= 4 {
            let (slots, _) = world.reserve(&line, 8 - sends.len(), Ahead::Horizon).await;
            sends.extend(slots.iter().map(|slot| slot.at));
        }
    }
    (taken, refused)
}

#[tokio::test]
async fn a_provider_that_drops_from_80_to_20_and_back_is_followed() {
    let capacity = 60 * (80 + 20 + 80);
    let (taken, refused) = run(&mut World::new().await, true).await;
    assert!(taken * 100 >= capacity * 93, "only {taken} of {capacity} got through");
    assert!(refused * 1_000 <= (taken + refused) * 5, "{refused} refused beside {taken}");
    // The naive way: a fixed rate.
    let (taken, refused) = run(&mut World::new().await, false).await;
    assert!(refused * 100 > (taken + refused) * 20, "a fixed rate would do");
}

#[tokio::test]
async fn throttling_pauses_the_connection_and_cuts_its_rate_once_a_second() {
    let mut world = World::new().await;
    let connection = world.connection;
    let throttled = || Feedback::Throttled { code: 130_429, retry_after: None };
    for _ in 0..10 {
        world.limiter.feedback(connection, throttled()).await;
    }
    let learnt = world.limiter.learnt(LimitName::WhatsAppApi(connection)).await.unwrap();
    assert_eq!((learnt.factor, learnt.paused_for), (0.7, Duration::from_millis(500)));
    for most in [100, 4_800] {
        let denied = world.ask(&[world.line(most, Lane::Agent)], 1).await.unwrap_err();
        assert_eq!(denied.0, Duration::from_millis(500));
    }
    world.pass(Duration::from_millis(1_000)).await;
    world.limiter.feedback(connection, throttled()).await;
    let learnt = world.limiter.learnt(LimitName::WhatsAppApi(connection)).await.unwrap();
    assert!((0.49..0.56).contains(&learnt.factor), "{}", learnt.factor);
    for _ in 0..40 {
        world.limiter.feedback(connection, throttled()).await;
        world.pass(Duration::from_secs(1)).await;
    }
    let learnt = world.limiter.learnt(LimitName::WhatsAppApi(connection)).await.unwrap();
    assert!((0.05..0.06).contains(&learnt.factor), "never below a twentieth: {}", learnt.factor);
    world.pass(Duration::from_secs(15)).await;
    let learnt = world.limiter.learnt(LimitName::WhatsAppApi(connection)).await.unwrap();
    assert_eq!(learnt.factor, 1.0, "it does not recover by itself");
}

#[tokio::test]
async fn a_longer_wait_that_meta_asks_for_is_kept() {
    let world = World::new().await;
    let retry_after = Some(Duration::from_secs(7));
    world.limiter.feedback(world.connection, Feedback::Throttled { code: 4, retry_after }).await;
    let (after, _) = world.ask(&[world.line(100, Lane::Agent)], 1).await.unwrap_err();
    assert_eq!(after, Duration::from_secs(7));
}

#[tokio::test]
async fn a_throttled_pair_waits_four_times_longer_each_time_and_nobody_else_does() {
    let mut world = World::new().await;
    let (line, pair) = (world.line(100, Lane::Agent), world.pair("1"));
    let person = WaId::new("1");
    for seconds in [1, 4, 16, 64, 256, 1_024, 1_024] {
        // Three answers to what was in flight count once.
        for _ in 0..3 {
            let (person, code) = (person.clone(), 131_056);
            let throttled = Feedback::PairThrottled { person, code, retry_after: None };
            world.limiter.feedback(world.connection, throttled).await;
        }
        let (after, binding) = world.ask(&[line.clone(), pair.clone()], 1).await.unwrap_err();
        assert_eq!((after, binding), (Duration::from_secs(seconds), 1));
        assert!(world.ask(&[line.clone(), world.pair("2")], 1).await.is_ok());
        world.pass(Duration::from_secs(seconds)).await;
        assert!(world.ask(&[line.clone(), pair.clone()], 1).await.is_ok());
    }
}

#[tokio::test]
async fn a_block_stops_campaigns_for_ten_minutes_and_nothing_else() {
    let mut world = World::new().await;
    world.limiter.feedback(world.connection, Feedback::Blocked { code: 131_048 }).await;
    for most in [100, 4_800] {
        let (after, _) = world.ask(&[world.line(most, Lane::Campaign)], 1).await.unwrap_err();
        assert_eq!(after, Duration::from_mins(10));
        for lane in [Lane::Agent, Lane::Chatbot, Lane::Reminder] {
            assert!(world.ask(&[world.line(most, lane)], 1).await.is_ok(), "{lane:?} is stopped");
        }
    }
    world.pass(Duration::from_mins(10)).await;
    assert!(world.ask(&[world.line(100, Lane::Campaign)], 1).await.is_ok());
}
