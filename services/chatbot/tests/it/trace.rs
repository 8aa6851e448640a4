//! A reply belongs to the trace of the message it answers (F16).

use telemetry::{LogFormat, Options};

use crate::crowd::{Setup, with_crowd};
use crate::world::{World, number, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_continues_the_trace_of_its_message() {
    let _telemetry = telemetry::init(&Options {
        service: "chatbot",
        version: "0",
        log_format: LogFormat::Pretty,
        log_filter: "info".into(),
        otlp_endpoint: None,
    })
    .unwrap();
    let world = World::new().await;
    world.bot(&[("any", "", "hello")]).await;
    let mut events = world.say(number("4915755512345"), &[text("hi")]).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    events[0].traceparent = Some(format!("00-{trace}-00f067aa0ba902b7-01"));
    with_crowd(&world, Setup::default(), async |crowd| {
        crowd.hint(&events).await;
        world.until(1, "outbound_messages").await;
    })
    .await;
    let traced = format!("outbound_messages WHERE traceparent LIKE '00-{trace}-%-01'");
    assert_eq!(world.count(&traced).await, 1);
    let metrics = telemetry::metrics::render();
    for line in [
        "switchyard_inbound_handled_total{kind=\"bot_turn\",outcome=\"replied\"} 1",
        "switchyard_inbound_handled_total{kind=\"bot_turn\",outcome=\"error\"} 0",
        "switchyard_duplicate_suppressed_total{stage=\"bot_reply\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}
