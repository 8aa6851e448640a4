//! Advances campaigns: scheduled → preparing → running → completed.

use service::Life;

pub(crate) fn start(_life: &Life) {}
