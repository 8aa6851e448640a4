//! Which lane a message travels in.
//!
//! Invariant: everything about one person on one phone number has one lane, so it stays in order;
//! the hash is fixed for ever, because a changed hash would reorder what is already queued.

/// What decides the lane: equal keys, equal lane.
#[derive(Clone, Copy, Debug)]
pub struct LaneKey<'a> {
    /// The business side, e.g. the phone number id.
    pub line: &'a [u8],
    /// The person's side, e.g. the `wa_id`; may be empty.
    pub person: &'a [u8],
}

/// Maps `key` to `0..lanes` by FNV-1a (64 bit), whose text-book constants never change.
pub fn lane_of(key: LaneKey<'_>, lanes: u8) -> u8 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut hash = OFFSET;
    for byte in key.line.iter().chain(&[0]).chain(key.person) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
    }
    // The upper half mixes better than the lower one.
    u8::try_from((hash >> 32) % u64::from(lanes.max(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_pinned() {
        let lane = |line: &str, person: &str| {
            lane_of(LaneKey { line: line.as_bytes(), person: person.as_bytes() }, 8)
        };
        assert_eq!(
            lane("290184457761305", "4915755512345"),
            lane("290184457761305", "4915755512345")
        );
        let mut seen = [0_u32; 8];
        for n in 0..8_000 {
            seen[usize::from(lane("290184457761305", &format!("49157{n:08}")))] += 1;
        }
        assert!(seen.iter().all(|&n| (800..1_200).contains(&n)), "uneven lanes: {seen:?}");
    }

    #[test]
    fn line_and_person_do_not_run_together() {
        let ab_c = LaneKey { line: b"ab", person: b"c" };
        let a_bc = LaneKey { line: b"a", person: b"bc" };
        assert_ne!(lane_of(ab_c, 251), lane_of(a_bc, 251));
    }
}
