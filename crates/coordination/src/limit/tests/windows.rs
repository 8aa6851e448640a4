//! No window holds more than the limit, and no wait is too short.

use super::*;

/// Asks at random moments for random amounts and gives some back; returns when units were used.
async fn storm(world: &mut World, limit: &Limit, seed: u64, per_us: u64) -> Vec<u64> {
    let mut dice = Dice(seed);
    let mut uses = Vec::new();
    let largest = u64::from(limit.most / 20).max(1);
    for _ in 0..900 {
        world.go_to(world.now + dice.below(per_us / 80)).await;
        let units = u32::try_from(1 + dice.below(largest)).unwrap();
        let Ok(permit) = world.ask(std::slice::from_ref(limit), units).await else { continue };
        if dice.below(10) == 0 {
            let _back = script::refund(&world.limiter.shared, &permit).await.unwrap();
        } else {
            uses.extend((0..units).map(|_| world.now));
        }
    }
    uses
}

/// What a limiter of fixed windows would have admitted of a steady stream around a window's edge.
fn fixed_window_admits(limit: usize, window_us: u64) -> Vec<u64> {
    let mut counts = std::collections::HashMap::new();
    let stream = (0..400_u64).map(|n| window_us / 2 + n * window_us / 400);
    stream
        .filter(|at| {
            let count = counts.entry(at / window_us).or_insert(0_usize);
            *count += 1;
            *count <= limit
        })
        .collect()
}

#[tokio::test]
async fn no_window_holds_more_than_the_limit_whatever_is_asked_when() {
    let window = Duration::from_secs(3);
    for (seed, most) in [(1, 1), (2, 7), (3, 100), (4, 1_000), (5, 1_001), (6, 5_000)] {
        let mut world = World::new().await;
        let limit = Limit::of(LimitName::TemplateSync(world.connection)).at_most(most).per(window);
        let uses = storm(&mut world, &limit, seed * 7_919, 3_000_000).await;
        let fullest = fullest_window(&uses, window);
        assert!(fullest <= usize::try_from(most).unwrap(), "{fullest} of {most} in one window");
        assert!(uses.len() > fullest, "only one window of {most} was looked at");
    }
    // The naive way: twice the limit around the edge.
    let naive = fixed_window_admits(100, 3_000_000);
    assert!(fullest_window(&naive, window) > 190, "a fixed window would do");
}

/// Takes 640 slots at once, each used at its time.
async fn burst(world: &mut World, line: &Limit) -> Vec<u64> {
    let mut uses = Vec::new();
    for _ in 0..10 {
        let (slots, _) = world.reserve(line, 64, Ahead::Horizon).await;
        uses.extend(slots.iter().map(|slot| slot.at));
    }
    uses
}

#[tokio::test]
async fn no_window_holds_more_than_a_line_though_slots_are_reserved_ahead_and_used_late() {
    let window = Duration::from_secs(6);
    for (seed, most) in [(1, 30), (2, 900), (3, 1_200), (4, 6_000)] {
        let mut world = World::new().await;
        let mut dice = Dice(seed * 104_729);
        let mut uses = Vec::new();
        for n in 0..900 {
            world.go_to(world.now + dice.below(60_000)).await;
            if n % 300 == 0 {
                // After some quiet, all that may pass at once does.
                world.pass(window).await;
                let line = world.line(most, Lane::Agent).per(window);
                uses.extend(burst(&mut world, &line).await);
            }
            let lane = Lane::ALL[usize::try_from(dice.below(4)).unwrap()];
            let line = world.line(most, lane).per(window);
            let count = usize::try_from(1 + dice.below(24)).unwrap();
            let (slots, _) = world.reserve(&line, count, Ahead::Horizon).await;
            uses.extend(slots.iter().map(|slot| slot.at + dice.below(250_001)));
        }
        let fullest = fullest_window(&uses, window);
        assert!(fullest <= usize::try_from(most).unwrap(), "{fullest} of {most} in one window");
    }
}

#[tokio::test]
async fn whoever_waits_exactly_as_told_is_admitted_and_not_a_moment_earlier() {
    let mut dice = Dice(31);
    for most in [3, 50, 1_000, 2_000] {
        let mut world = World::new().await;
        let limit = Limit::of(LimitName::Reminder).at_most(most).per(Duration::from_secs(5));
        let mut waits = 0;
        while waits < 20 {
            world.go_to(world.now + dice.below(30_000)).await;
            let units = u32::try_from(1 + dice.below(u64::from(most / 20) + 1)).unwrap();
            let Err((after, _)) = world.ask(std::slice::from_ref(&limit), units).await else {
                continue;
            };
            waits += 1;
            // A paced limit's interval is whole microseconds, the wait whole milliseconds.
            world.pass(after - Duration::from_millis(1)).await;
            if after > Duration::from_millis(1) {
                let early = world.ask(std::slice::from_ref(&limit), units).await;
                assert!(early.is_err(), "{most}: told {after:?}, admitted before");
            }
            world.pass(Duration::from_millis(1)).await;
            let then = world.ask(std::slice::from_ref(&limit), units).await;
            assert!(then.is_ok(), "{most}: {after:?} was too short");
        }
    }
}

#[tokio::test]
async fn a_line_told_to_wait_is_admitted_then_in_every_lane() {
    for most in [10, 600, 4_800] {
        for lane in Lane::ALL {
            let mut world = World::new().await;
            let line = world.line(most, lane);
            for _ in 0..5 {
                let wait = world.until_denied(&line).await;
                world.pass(wait).await;
                let (slots, _) = world.reserve(&line, 1, Ahead::Horizon).await;
                assert_eq!(slots.len(), 1, "{most}, {lane:?}: {wait:?} was too short");
            }
        }
    }
}

#[tokio::test]
async fn one_limit_that_denies_leaves_the_others_as_they_were_and_is_named() {
    let world = World::new().await;
    let (line, pair) = (world.line(10, Lane::Agent), world.pair("15551234567").at_most(2));
    let both = [line.clone(), pair.clone()];
    for _ in 0..2 {
        assert!(world.ask(&both, 1).await.is_ok());
    }
    for _ in 0..20 {
        let (after, binding) = world.ask(&both, 1).await.unwrap_err();
        assert_eq!((after, binding), (Duration::from_mins(1), 1));
    }
    assert!(world.ask(std::slice::from_ref(&line), 8).await.is_ok(), "a denied question cost");
    // The naive way: one limit after the other.
    let line = world.line(11, Lane::Agent);
    assert!(world.ask(std::slice::from_ref(&line), 1).await.is_ok());
    assert!(world.ask(&[pair], 1).await.is_err());
    assert!(world.ask(&[line], 1).await.is_err(), "looped limits would not leak");
}

#[tokio::test]
async fn a_message_whose_own_limit_binds_takes_nothing_and_lets_the_next_pass() {
    let world = World::new().await;
    let line = world.line(5, Lane::Chatbot);
    let busy = world.pair("1").at_most(1);
    let own: Vec<Option<Limit>> = [&busy, &busy, &world.pair("2"), &busy, &world.pair("3")]
        .map(|pair| Some(pair.clone()))
        .into();
    let asked = world.limiter.check_each(&line, &own).await;
    let admitted: Vec<bool> =
        asked.iter().map(|one| matches!(one, super::super::Decision::Go(_))).collect();
    assert_eq!(admitted, [true, false, true, false, true]);
    let rest = world.limiter.check_each(&line, &[None, None, None]).await;
    let admitted = rest.iter().filter(|one| matches!(one, super::super::Decision::Go(_))).count();
    assert_eq!(admitted, 2, "denied messages were charged to the line");
}

#[tokio::test]
async fn only_the_newest_slot_of_a_pace_is_taken_back() {
    let world = World::new().await;
    let line = world.line(6_000, Lane::Campaign);
    let (slots, _) = world.reserve(&line, 3, Ahead::Horizon).await;
    let permit = |slot: &Taken| Permit {
        charges: vec![super::super::Charge {
            limit: line.clone(),
            before: slot.before,
            after: slot.after,
        }],
        unit: Uuid::nil(),
        first: 1,
        last: 1,
        keeper: super::super::Keeper::Redis,
    };
    let shared = &world.limiter.shared;
    assert_eq!(script::refund(shared, &permit(&slots[0])).await.unwrap(), 0);
    assert_eq!(script::refund(shared, &permit(&slots[2])).await.unwrap(), 1);
    assert_eq!(script::refund(shared, &permit(&slots[1])).await.unwrap(), 1);
    let (again, _) = world.reserve(&line, 1, Ahead::Horizon).await;
    assert_eq!(again[0].at, slots[1].at, "the slot that was given back comes next");
}

#[tokio::test]
async fn clocks_of_clients_61_s_apart_change_nothing() {
    // Redis's clock stands in 2001 here: were a client's clock used anywhere, nothing would hold.
    let mut world = World::new().await;
    let limit = Limit::of(LimitName::Reminder).at_most(100);
    let mut admitted = 0;
    for _ in 0..1_000 {
        world.pass(Duration::from_millis(1)).await;
        admitted += u32::from(world.ask(std::slice::from_ref(&limit), 1).await.is_ok());
    }
    assert_eq!(admitted, 100);
    // The naive way: each client starts a window of its own time and clears the other's.
    let (mut start, mut used, mut naive) = (0_i64, 0, 0);
    for n in 0..1_000_i64 {
        let client = n / 1_000 + if n % 2 == 0 { 0 } else { 61 };
        if !(start..start + 60).contains(&client) {
            (start, used) = (client, 0);
        }
        used += 1;
        naive += i32::from(used <= 100);
    }
    assert_eq!(naive, 1_000, "the clients' clocks would do");
}
