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

/// Maps `key` to `0..lanes`: FNV-1a (64 bit), then the finaliser of `MurmurHash3`, because FNV alone
/// hardly lets the last digits of a number change the lane. All constants are the published ones.
pub fn lane_of(key: LaneKey<'_>, lanes: u8) -> u8 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut hash = OFFSET;
    for byte in key.line.iter().chain(&[0]).chain(key.person) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    u8::try_from((hash >> 33) % u64::from(lanes.max(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(person: &str, lanes: u8) -> u8 {
        lane_of(LaneKey { line: b"290184457761305", person: person.as_bytes() }, lanes)
    }

    #[test]
    fn the_hash_is_pinned() {
        let lanes =
            ["", "4915755512345", "4915755512346", "DE.9081"].map(|person| lane(person, 251));
        assert_eq!(lanes, [125, 230, 90, 34], "a changed hash reorders what is queued");
    }

    #[test]
    fn neighbouring_numbers_spread_evenly() {
        for lanes in [2_u8, 4, 8] {
            let mut seen = vec![0_u32; usize::from(lanes)];
            for n in 0..4_000 {
                seen[usize::from(lane(&format!("49157{n:08}"), lanes))] += 1;
            }
            let fair = 4_000 / u32::from(lanes);
            let even = (fair - fair / 5)..(fair + fair / 5);
            assert!(seen.iter().all(|count| even.contains(count)), "uneven lanes: {seen:?}");
        }
    }

    #[test]
    fn line_and_person_do_not_run_together() {
        let ab_c = LaneKey { line: b"ab", person: b"c" };
        let a_bc = LaneKey { line: b"a", person: b"bc" };
        assert_ne!(lane_of(ab_c, 251), lane_of(a_bc, 251));
    }
}
