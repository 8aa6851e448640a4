//! What the engine counts.

const FED: &str = "switchyard_campaign_fed_total";
const DRIVERS: &str = "switchyard_campaign_drivers";
const IMBALANCE: &str = "switchyard_campaign_ledger_imbalance";

/// Makes the series exist before they first count.
pub(super) fn register() {
    metrics::counter!(FED).increment(0);
    metrics::gauge!(DRIVERS).increment(0.0);
    metrics::gauge!(IMBALANCE).set(0.0);
}

/// Messages were handed to the send ledger.
pub(super) fn fed(messages: usize) {
    metrics::counter!(FED).increment(u64::try_from(messages).unwrap_or(0));
}

/// By how many recipients the numbers of the campaigns at work differ from their rows.
pub(super) fn imbalance(recipients: i64) {
    metrics::gauge!(IMBALANCE).set(f64::from(i32::try_from(recipients).unwrap_or(i32::MAX)));
}

/// Counts as a driver at work while it lives.
pub(super) struct Driver(());

impl Driver {
    pub(super) fn new() -> Self {
        metrics::gauge!(DRIVERS).increment(1.0);
        Self(())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        metrics::gauge!(DRIVERS).decrement(1.0);
    }
}
