//! Chance that can be repeated: the same seed, key and ordinal always roll the same numbers.
//!
//! A decision about the third send to a person depends on nothing but the seed, the person and
//! "third", so it does not change with the order in which concurrent calls arrive.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::fault::Span;

/// The increment of `SplitMix64`: odd, so a counter multiplied by it never repeats in 2^64 steps.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A stream of pseudo-random numbers (`SplitMix64`).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Starts the stream that belongs to `key` and `ordinal` under `seed`.
    pub(crate) fn new(seed: u64, key: &str, ordinal: u64) -> Self {
        let hash = key.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
        Self(scramble(seed ^ hash).wrapping_add(ordinal.wrapping_mul(GOLDEN)))
    }

    /// The next number.
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        scramble(self.0)
    }

    /// `true` with the given probability (0 never, 1 always).
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        let roll = u32::try_from(self.roll() >> 32).unwrap_or(u32::MAX);
        f64::from(roll) / 4_294_967_296.0 < probability
    }

    /// A number of the span, both ends included.
    pub(crate) fn between(&mut self, span: Span) -> u64 {
        let width = span.1.saturating_sub(span.0).saturating_add(1);
        span.0.saturating_add(self.roll().checked_rem(width).unwrap_or(0))
    }
}

/// A bijection on 64-bit numbers whose output looks random.
pub(crate) fn scramble(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// The `index`-th member of a sequence without repetitions that starts at `nonce`.
pub(crate) fn distinct(nonce: u64, index: u64) -> u64 {
    scramble(nonce.wrapping_add(index.wrapping_mul(GOLDEN)))
}

/// A number nobody can predict, for ids that must differ between two runs with the same seed.
pub(crate) fn nonce() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_rolls_the_same_numbers() {
        let mut one = Dice::new(7, "491555", 3);
        let mut two = Dice::new(7, "491555", 3);
        let mut other = Dice::new(8, "491555", 3);
        let rolls: Vec<u64> = (0..8).map(|_| one.roll()).collect();
        assert_eq!(rolls, (0..8).map(|_| two.roll()).collect::<Vec<_>>());
        assert_ne!(rolls, (0..8).map(|_| other.roll()).collect::<Vec<_>>());
    }

    #[test]
    fn chance_comes_out_about_as_often_as_asked() {
        let hits = (0..10_000).filter(|n| Dice::new(1, "x", *n).chance(0.1)).count();
        assert!((850..1_150).contains(&hits), "{hits}");
        assert!((0..100).all(|n| Dice::new(1, "x", n).chance(1.0)));
        assert!(!(0..100).any(|n| Dice::new(1, "x", n).chance(0.0)));
    }

    #[test]
    fn a_span_includes_both_ends_and_nothing_else() {
        let rolls: Vec<u64> = (0..200).map(|n| Dice::new(1, "x", n).between(Span(3, 5))).collect();
        assert!(rolls.iter().all(|roll| (3..=5).contains(roll)));
        assert!(rolls.contains(&3) && rolls.contains(&5));
    }
}
