//! Advances campaigns: scheduled → preparing → running → completed.

mod tick;

use service::Life;

pub(crate) use self::tick::Ticks;

pub(crate) fn start(_life: &Life) {}
