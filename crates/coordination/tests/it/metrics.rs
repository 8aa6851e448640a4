//! What coordination does can be seen in numbers, from the first scrape on.

use coordination::{Limit, LimitName, LockName, Patience};
use kernel::Wamid;
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::stack::alone;

#[tokio::test]
async fn every_label_set_is_there_from_the_start_and_counts() {
    let page = PrometheusBuilder::new().install_recorder().unwrap();
    let here = alone().await;
    let start = page.render();
    for line in [
        r#"switchyard_lock_acquire_total{lock_class="whatsapp_send",outcome="timeout"} 0"#,
        r#"switchyard_lock_lost_total{lock_class="webhook_message",why="taken"} 0"#,
        r#"switchyard_lock_degraded_total{lock_class="webhook_message"} 0"#,
        r#"switchyard_ratelimit_decisions_total{policy="bot",outcome="suppressed"} 0"#,
        r#"switchyard_ratelimit_decisions_total{policy="webhook",outcome="fallback"} 0"#,
        "switchyard_redis_available 1",
    ] {
        assert!(start.contains(line), "{line} is missing in\n{start}");
    }
    let name = LockName::WebhookMessage(Wamid::new("wamid.A"));
    let guard = here.locks().lock_many([name], Patience::None).await.unwrap();
    let holding = page.render();
    assert!(holding.contains(r#"switchyard_lock_held{lock_class="webhook_message"} 1"#));
    guard.release().await;
    here.limiter().admit_up_to(&Limit::of(LimitName::Reminder).at_most(2), 3).await;
    let end = page.render();
    for line in [
        r#"switchyard_lock_held{lock_class="webhook_message"} 0"#,
        r#"switchyard_lock_acquire_total{lock_class="webhook_message",outcome="acquired"} 1"#,
        r#"switchyard_lock_hold_duration_seconds_count{lock_class="webhook_message"} 1"#,
        r#"switchyard_lock_wait_duration_seconds_count{lock_class="webhook_message"} 1"#,
        r#"switchyard_ratelimit_decisions_total{policy="reminder",outcome="allowed"} 2"#,
        r#"switchyard_ratelimit_decisions_total{policy="reminder",outcome="delayed"} 1"#,
    ] {
        assert!(end.contains(line), "{line} is missing in\n{end}");
    }
}
