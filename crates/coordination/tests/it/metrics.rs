//! What coordination does can be seen in numbers, from the first scrape on.

use coordination::{Feedback, Lane, Limit, LimitName, LockName, Patience};
use kernel::Wamid;
use kernel::ids::ConnectionId;
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
        r#"switchyard_ratelimit_lane_decisions_total{lane="campaign",decision="delayed"} 0"#,
        r#"switchyard_ratelimit_provider_throttled_total{code="130429"} 0"#,
        r#"switchyard_ratelimit_campaigns_stopped_total{code="368"} 0"#,
        "switchyard_ratelimit_slots_unused_total 0",
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
    let connection = ConnectionId::new();
    let line = Limit::of(LimitName::WhatsAppApi(connection)).at_most(10).lane(Lane::Chatbot);
    let asked = here.limiter().check_each(&line, &vec![None; 11]).await;
    assert_eq!(asked.len(), 11);
    for code in [130_429, 17] {
        let throttled = Feedback::Throttled { code, retry_after: None };
        here.limiter().feedback(connection, throttled).await;
    }
    here.limiter().feedback(connection, Feedback::Blocked { code: 131_048 }).await;
    let end = page.render();
    let hot = format!(
        r#"switchyard_ratelimit_usage_ratio{{policy="whatsapp_api",connection="{connection}"}} 1"#
    );
    let slowed = format!(r#"switchyard_ratelimit_rate_factor{{connection="{connection}"}} 0.7"#);
    for line in [hot, slowed] {
        assert!(end.contains(&line), "{line} is missing in\n{end}");
    }
    for line in [
        r#"switchyard_lock_held{lock_class="webhook_message"} 0"#,
        r#"switchyard_lock_acquire_total{lock_class="webhook_message",outcome="acquired"} 1"#,
        r#"switchyard_lock_hold_duration_seconds_count{lock_class="webhook_message"} 1"#,
        r#"switchyard_lock_wait_duration_seconds_count{lock_class="webhook_message"} 1"#,
        r#"switchyard_ratelimit_decisions_total{policy="reminder",outcome="allowed"} 2"#,
        r#"switchyard_ratelimit_decisions_total{policy="reminder",outcome="delayed"} 1"#,
        r#"switchyard_ratelimit_lane_decisions_total{lane="chatbot",decision="allowed"} 10"#,
        r#"switchyard_ratelimit_lane_decisions_total{lane="chatbot",decision="delayed"} 1"#,
        r#"switchyard_ratelimit_delay_seconds_count{policy="whatsapp_api"} 1"#,
        r#"switchyard_ratelimit_provider_throttled_total{code="130429"} 1"#,
        r#"switchyard_ratelimit_provider_throttled_total{code="other"} 1"#,
        r#"switchyard_ratelimit_campaigns_stopped_total{code="131048"} 1"#,
    ] {
        assert!(end.contains(line), "{line} is missing in\n{end}");
    }
}
