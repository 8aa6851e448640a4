//! What the engine counts.

const RUNS: &str = "switchyard_template_syncs_total";
const PAGES: &str = "switchyard_template_sync_pages_total";
const NEWS: &str = "switchyard_template_news_total";

/// Makes the series exist before they first count.
pub(super) fn register() {
    for outcome in ["completed", "failed"] {
        metrics::counter!(RUNS, "outcome" => outcome).increment(0);
    }
    metrics::counter!(PAGES).increment(0);
    metrics::counter!(NEWS).increment(0);
}

/// A sync ended.
pub(super) fn ended(outcome: &'static str) {
    metrics::counter!(RUNS, "outcome" => outcome).increment(1);
}

/// A page was kept.
pub(super) fn page() {
    metrics::counter!(PAGES).increment(1);
}

/// Webhooks about templates were acted upon.
pub(super) fn news(webhooks: usize) {
    metrics::counter!(NEWS).increment(u64::try_from(webhooks).unwrap_or(0));
}
