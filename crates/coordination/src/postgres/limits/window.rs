//! Decides upon rows that were read: the arithmetic of `admit.lua`, without its lanes.

use uuid::Uuid;

use super::Ask;
use crate::postgres::microseconds;

/// What is known of a limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// Admissions, oldest first, and whose they are.
    pub(super) admitted_us: Vec<i64>,
    pub(super) units: Vec<Uuid>,
    pub(super) paid_us: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Granted { units: u32, changes: Vec<Change> },
    Denied { wait_us: i64, binding: usize },
}

/// What an admission does to a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Entries that do not count any more, from the oldest on.
    pub(super) dropped: i64,
    /// Entries that are added, and their time.
    pub(super) added: i64,
    pub(super) at_us: i64,
    pub(super) paid_before_us: i64,
    pub(super) paid_us: i64,
}

/// A limit's answer: how many units fit, and how long until `need` do.
struct Room {
    free: i64,
    late_us: i64,
    change: Change,
    /// This unit was admitted already and still counts.
    is_known: bool,
}

/// All limits admit, or none is charged.
pub(super) fn decide(
    rows: &[Row],
    asks: &[Ask],
    now: i64,
    unit: Uuid,
    units: u32,
    need: u32,
) -> Verdict {
    let rooms: Vec<Room> = rows
        .iter()
        .zip(asks)
        .map(|(row, ask)| match ask.interval {
            Some(interval) => paced(row, ask, microseconds(interval).max(1), now, need),
            None => logged(row, ask, now, unit, need),
        })
        .collect();
    let late = rooms.iter().enumerate().filter(|(_, room)| room.free < i64::from(need));
    if let Some((binding, room)) = late.max_by_key(|(place, room)| (room.late_us, *place)) {
        return Verdict::Denied { wait_us: room.late_us.max(1), binding };
    }
    let free = rooms.iter().map(|room| room.free).min().unwrap_or(i64::MAX);
    let units = u32::try_from(free).unwrap_or(u32::MAX).min(units);
    let changes = rooms.into_iter().zip(asks).map(|(room, ask)| room.charge(ask, units));
    Verdict::Granted { units, changes: changes.collect() }
}

impl Room {
    fn charge(self, ask: &Ask, units: u32) -> Change {
        let mut change = self.change;
        match ask.interval {
            Some(interval) => {
                let cost = microseconds(interval).max(1).saturating_mul(i64::from(units));
                change.paid_us = change.paid_us.saturating_add(cost);
            }
            None if self.is_known => (),
            None => change.added = i64::from(units),
        }
        change
    }
}

fn logged(row: &Row, ask: &Ask, now: i64, unit: Uuid, need: u32) -> Room {
    let window = microseconds(ask.window);
    let newest = row.admitted_us.last().copied().unwrap_or(now);
    // The clock went back: stay at the newest entry, or forget a log from another age.
    let is_of_another_age = newest > now.saturating_add(window);
    let now = if is_of_another_age { now } else { newest.max(now) };
    let counts = |at: &&i64| !is_of_another_age && **at > now.saturating_sub(window);
    let kept: Vec<i64> = row.admitted_us.iter().filter(counts).copied().collect();
    let dropped = row.admitted_us.len() - kept.len();
    let is_known = row.units.iter().skip(dropped).any(|known| *known == unit);
    let used = i64::try_from(kept.len()).unwrap_or(i64::MAX);
    let free = if is_known { i64::MAX } else { i64::from(ask.ceiling).saturating_sub(used) };
    // The entry whose leaving makes room enough.
    let leaver = i64::from(need).saturating_sub(free).saturating_sub(1);
    let leaver = usize::try_from(leaver).ok().and_then(|place| kept.get(place));
    let is_possible = need <= ask.ceiling;
    let late_us = match leaver {
        Some(at) if is_possible => at.saturating_add(window).saturating_sub(now),
        _ => window,
    };
    let dropped = i64::try_from(dropped).unwrap_or(i64::MAX);
    let change = Change { dropped, at_us: now, paid_us: row.paid_us, ..Change::default() };
    Room { free, late_us, change, is_known }
}

fn paced(row: &Row, ask: &Ask, interval: i64, now: i64, need: u32) -> Room {
    let window = microseconds(ask.window);
    let burst = i64::from(ask.ceiling);
    // More debt than two windows or the whole burst was written under another clock.
    let most_debt = window.saturating_mul(2).max(burst.saturating_mul(interval));
    let is_of_another_age = row.paid_us > now.saturating_add(most_debt);
    let paid = if is_of_another_age { now } else { row.paid_us.max(now) };
    let free = (now.saturating_add(burst.saturating_mul(interval)) - paid).div_euclid(interval);
    let late = i64::from(need).saturating_sub(burst).saturating_mul(interval);
    let late_us = if need > ask.ceiling { window } else { paid.saturating_add(late) - now };
    let change = Change { paid_before_us: paid, paid_us: paid, at_us: now, ..Change::default() };
    Room { free: free.max(0), late_us, change, is_known: false }
}

#[cfg(test)]
mod tests;
