use kernel::ids::{ConnectionId, ConversationId};
use proptest::prelude::*;

use super::*;

fn limit(most: u32, per: Duration) -> Limit {
    let connection = ConnectionId::from_uuid(Uuid::nil());
    Limit::of(LimitName::TemplateSync(connection)).at_most(most).per(per)
}

fn admit(share: &LocalShare, limits: &[Limit], units: u32, how: Extent, now: Instant) -> Answer {
    share.admit(limits, Uuid::now_v7(), units, how, now)
}

fn is_granted(answer: &Answer) -> bool {
    matches!(answer, Answer::Granted(1, _))
}

/// Runs questions of `units` after pauses of `pauses` ms; returns admissions as (ms, units).
fn run(limit: &Limit, questions: &[(u64, u32)], how: Extent) -> Vec<(u64, u32)> {
    let local = LocalShare::default();
    let start = Instant::now();
    let mut clock = 0;
    let mut admitted = Vec::new();
    for (pause, units) in questions {
        clock += pause;
        let now = start + Duration::from_millis(clock);
        if let Answer::Granted(granted, _) =
            admit(&local, std::slice::from_ref(limit), *units, how, now)
        {
            admitted.push((clock, granted));
        }
    }
    admitted
}

fn fullest_window(admitted: &[(u64, u32)], window_ms: u64) -> u32 {
    let from = |start: u64| {
        let inside = admitted.iter().filter(|(at, _)| (start..start + window_ms).contains(at));
        inside.map(|(_, units)| units).sum()
    };
    admitted.iter().map(|(at, _)| from(*at)).max().unwrap_or(0)
}

proptest! {
    #[test]
    fn no_window_holds_more_than_the_limit(
        most in prop_oneof![1_u32..40, Just(1_200_u32)],
        questions in prop::collection::vec((0_u64..400, 1_u32..30), 1..200),
        all in any::<bool>(),
    ) {
        let per_ms = 3_000;
        let limit = limit(most, Duration::from_millis(per_ms));
        let how = if all { Extent::All } else { Extent::Some };
        let admitted = run(&limit, &questions, how);
        prop_assert!(fullest_window(&admitted, per_ms) <= most);
    }
}

#[test]
fn a_wait_is_exactly_long_enough() {
    let (local, start) = (LocalShare::default(), Instant::now());
    let limits = [limit(2, Duration::from_secs(10))];
    for second in [0, 4] {
        let now = start + Duration::from_secs(second);
        assert!(is_granted(&admit(&local, &limits, 1, Extent::All, now)));
    }
    let now = start + Duration::from_secs(5);
    let Answer::Denied { after, binding: 0 } = admit(&local, &limits, 1, Extent::All, now) else {
        panic!("a third unit was admitted");
    };
    assert_eq!(after, Duration::from_secs(5));
    assert!(is_granted(&admit(&local, &limits, 1, Extent::All, now + after)));
}

#[test]
fn a_denied_question_charges_no_limit() {
    let (local, now) = (LocalShare::default(), Instant::now());
    let wide = Limit::of(LimitName::Bot(ConversationId::new())).at_most(1);
    let narrow = limit(0, Duration::from_secs(1));
    let both = [wide.clone(), narrow];
    let Answer::Denied { binding: 1, .. } = admit(&local, &both, 1, Extent::All, now) else {
        panic!("a limit of nothing admitted something");
    };
    assert!(is_granted(&admit(&local, &[wide], 1, Extent::All, now)));
}
