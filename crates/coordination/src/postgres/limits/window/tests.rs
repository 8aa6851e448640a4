use std::time::Duration;

use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000;

fn log(ceiling: u32) -> Ask {
    Ask { key: "log".into(), ceiling, window: Duration::from_secs(1), interval: None }
}

/// `most` in a second: the burst at once, the others spread.
fn pace(most: u32, burst: u32) -> Ask {
    let interval = Duration::from_micros(1_000_000_u64.div_ceil(u64::from(most - burst)));
    Ask {
        key: "pace".into(),
        ceiling: burst,
        window: Duration::from_secs(1),
        interval: Some(interval),
    }
}

/// Applies a change as the statement does.
fn apply(row: &mut Row, change: &Change, unit: Uuid) {
    let (dropped, added) =
        (usize::try_from(change.dropped).unwrap(), usize::try_from(change.added).unwrap());
    row.admitted_us.drain(..dropped);
    row.units.drain(..dropped);
    row.admitted_us.extend(std::iter::repeat_n(change.at_us, added));
    row.units.extend(std::iter::repeat_n(unit, added));
    row.paid_us = change.paid_us;
}

fn ask(row: &mut Row, ask: &Ask, now: i64, units: u32, need: u32) -> Verdict {
    let unit = Uuid::now_v7();
    let (rows, asks) = (std::slice::from_ref(&*row), std::slice::from_ref(ask));
    let verdict = decide(rows, asks, now, unit, units, need);
    if let Verdict::Granted { changes, .. } = &verdict {
        apply(row, &changes[0], unit);
    }
    verdict
}

proptest! {
    #[test]
    fn no_window_holds_more_than_the_limit_and_waiting_as_told_is_enough(
        arrivals in prop::collection::vec((0..120_000_i64, 1..4_u32, any::<bool>()), 1..200),
        is_paced in any::<bool>(),
        most in 4..30_u32,
    ) {
        let limit = if is_paced { pace(most, 3) } else { log(most) };
        let (mut row, mut now) = (Row::default(), 1_000 * SECOND);
        let mut admitted: Vec<i64> = Vec::new();
        for (gap, units, is_partial) in arrivals {
            now += gap;
            let need = if is_partial { 1 } else { units };
            match ask(&mut row, &limit, now, units, need) {
                Verdict::Granted { units: granted, .. } => {
                    prop_assert!((need..=units).contains(&granted));
                    admitted.extend((0..granted).map(|_| now));
                }
                Verdict::Denied { wait_us, .. } => {
                    let mut later = row.clone();
                    let is_free = |verdict| matches!(verdict, Verdict::Granted { .. });
                    prop_assert!(is_free(ask(&mut later, &limit, now + wait_us, need, need)));
                    let mut early = row.clone();
                    prop_assert!(!is_free(ask(&mut early, &limit, now + wait_us - 1, need, need)));
                }
            }
        }
        for start in &admitted {
            let within = admitted.iter().filter(|at| (*start..start + SECOND).contains(at)).count();
            prop_assert!(within <= usize::try_from(most).unwrap(), "{within} of {most}");
        }
    }
}

#[test]
fn a_denied_question_charges_none_of_its_limits_and_names_the_one_that_binds() {
    let asks = [log(5), Ask { key: "narrow".into(), ..log(1) }];
    let now = 1_000 * SECOND;
    let unit = Uuid::now_v7();
    let mut rows = [Row::default(), Row::default()];
    let Verdict::Granted { changes, .. } = decide(&rows, &asks, now, unit, 1, 1) else {
        panic!("an empty limit refused");
    };
    for (row, change) in rows.iter_mut().zip(&changes) {
        apply(row, change, unit);
    }
    let denied = decide(&rows, &asks, now + 10, Uuid::now_v7(), 1, 1);
    assert_eq!(denied, Verdict::Denied { wait_us: SECOND - 10, binding: 1 });
    let known = decide(&rows, &asks, now + 10, unit, 1, 1);
    let Verdict::Granted { units: 1, changes } = known else { panic!("{known:?}") };
    assert!(changes.iter().all(|change| change.added == 0), "charged twice");
}

#[test]
fn a_clock_that_went_back_neither_blocks_nor_widens_a_limit() {
    let now = 10_000 * SECOND;
    // From another age: forgotten. Half a window ahead: it counts.
    for (ahead, room) in [(3_600 * SECOND, 2), (SECOND / 2, 1)] {
        let row = Row {
            admitted_us: vec![now + ahead],
            units: vec![Uuid::now_v7()],
            paid_us: now + ahead,
        };
        let (mut logged, mut paced) = (row.clone(), row);
        let granted = (0..2)
            .filter(|_| matches!(ask(&mut logged, &log(2), now, 1, 1), Verdict::Granted { .. }))
            .count();
        assert_eq!(granted, room, "{ahead} us ahead");
        let verdict = ask(&mut paced, &pace(10, 2), now, 1, 1);
        assert_eq!(matches!(verdict, Verdict::Granted { .. }), ahead > 2 * SECOND);
    }
}
