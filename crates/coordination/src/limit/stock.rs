//! Units that this process took in advance for hot keys.
//!
//! Invariant: a block is used within [`BLOCK_VALID`] of being asked for, and a leased limit's window is
//! that much longer, so no window of the limit's own length sees more uses than the limit.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Limit;
use super::shape::{BLOCK_VALID, largest_block};
use crate::registry::LimitName;

/// Blocks used up faster than this double, slower ones than twice this shrink: a process then holds
/// a quarter of a second's demand, and leaves little unused.
const BRISK: Duration = Duration::from_millis(250);

/// Never forgets a name: only hot keys come here, one for each connection.
#[derive(Default)]
pub(super) struct Stock {
    by_name: Mutex<HashMap<LimitName, Block>>,
}

struct Block {
    /// The limit it was taken from: a changed limit starts afresh.
    limit: Limit,
    units: u32,
    size: u32,
    taken: Instant,
    dry_until: Instant,
}

/// What the stock gave.
pub(super) enum Taken {
    /// Everything that was wanted.
    Enough,
    /// Less; the rest is to be asked for.
    Part(Order),
}

/// What to ask Redis for.
pub(super) struct Order {
    /// Units taken from the stock already.
    pub(super) in_hand: u32,
    /// Units to ask for; 0 while the limit is known to be used up.
    pub(super) block: u32,
}

impl Stock {
    pub(super) fn take(&self, limit: &Limit, units: u32, now: Instant) -> Taken {
        let largest = largest_block(limit.most);
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let block = by_name.entry(limit.name.clone()).or_insert_with(|| Block::new(limit, now));
        if block.limit != *limit {
            *block = Block::new(limit, now);
        }
        let age = now.saturating_duration_since(block.taken);
        if age >= BLOCK_VALID {
            block.units = 0;
        }
        let in_hand = block.units.min(units);
        block.units -= in_hand;
        if in_hand == units {
            return Taken::Enough;
        }
        if age < BRISK {
            block.size = block.size.saturating_mul(2).min(largest);
        } else if age > BRISK * 2 {
            block.size = (block.size / 2).max(1);
        }
        let wanted = (units - in_hand).max(block.size);
        let order = if now < block.dry_until { 0 } else { wanted };
        Taken::Part(Order { in_hand, block: order })
    }

    /// Keeps what a block has left after its first use.
    pub(super) fn put(&self, limit: &Limit, units: u32, asked: Instant) {
        self.change(limit, |block| {
            // A block that another task took meanwhile is used up with this one, by the older date.
            block.taken = if block.units > 0 { block.taken.min(asked) } else { asked };
            block.units = block.units.saturating_add(units);
        });
    }

    /// Asks nobody until the limit has room again.
    pub(super) fn dry(&self, limit: &Limit, asked: Instant, after: Duration) {
        self.change(limit, |block| block.dry_until = asked + after);
    }

    fn change(&self, limit: &Limit, change: impl FnOnce(&mut Block)) {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = by_name.get_mut(&limit.name).filter(|block| block.limit == *limit) {
            change(block);
        }
    }
}

impl Block {
    fn new(limit: &Limit, now: Instant) -> Self {
        Self { limit: limit.clone(), units: 0, size: 1, taken: now, dry_until: now }
    }
}
