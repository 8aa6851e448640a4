//! What webhooks say, as it takes effect: through the broker, as ingest hands it over.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use contracts::Message as _;
use contracts::inbound::{WebhookEvent, WebhookEventKind};
use conversations::Dependencies;
use coordination::Coordination;
use futures_util::FutureExt as _;
use kernel::{Clock, ManualClock};
use messaging::{Broker, BrokerOptions, Exchange, Family, Outgoing, Publisher, Topology};
use relay::Relay;
use serde_json::{Value, json};
use service::Life;
use storage::sealed::Sealer;
use testkit::{Servers, eventually, master_key, unique_name};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use whatsapp::webhook::{EventKind, split};

use crate::web::world::{Who, World, start};

const LENA: &str = "4915755512345";
/// The number of [`crate::web::world::connection_body`].
const LINE: &str = "290184457761305";

/// The service at work beside a world's API.
struct Stage {
    world: World,
    publisher: Publisher,
}

/// Runs `test` with the service, and removes what it declared whatever happens.
async fn on_stage(test: impl AsyncFnOnce(&Stage)) {
    let servers = Servers::from_env();
    let (life, stop_broker) = (Life::default(), CancellationToken::new());
    let topology = Topology::default()
        .with_prefix(format!("{}.", unique_name()))
        .with_families(vec![Family::Webhooks, Family::WebhooksSlow, Family::Chatbots])
        .with_ladder(vec![Duration::from_millis(200)]);
    let options = || BrokerOptions::new(&servers.amqp_url, topology.clone(), "test").unwrap();
    let broker = Broker::start(options(), life.tasks().clone(), stop_broker.clone());
    broker.wait_ready(Duration::from_secs(20)).await.unwrap();
    let world = World::new().await;
    world.connect(Who::Admin).await;
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&world.clock);
    let (db, publisher) = (world.db.database().clone(), broker.publisher());
    let tasks = life.tasks().clone();
    let redis = Coordination::connect(&servers.redis_url, &unique_name(), tasks).await.unwrap();
    let relay = Relay::start(
        db.clone(),
        broker.publisher(),
        Arc::clone(&clock),
        life.tasks(),
        life.stopping(),
    );
    let dependencies = Dependencies {
        db,
        broker,
        locks: redis.locks().clone(),
        relay,
        sealer: Sealer::new(&master_key()).unwrap(),
        clock,
        settings: settings::Conversations::default(),
        limits: settings::Limits::default(),
    };
    conversations::start(&life, dependencies);
    let stage = Stage { world, publisher };
    let outcome = AssertUnwindSafe(test(&stage)).catch_unwind().await;
    life.stop();
    stop_broker.cancel();
    life.tasks().close();
    life.tasks().wait().await;
    Broker::delete_topology(&options()).await.unwrap();
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

impl Stage {
    /// Hands over a webhook's body as ingest does.
    async fn post(&self, body: &Value) {
        let body = body.to_string();
        let outgoing = split(body.as_bytes()).unwrap().into_iter().map(|event| {
            let message = WebhookEvent {
                event_id: Bytes::copy_from_slice(&event.identity),
                kind: match event.kind {
                    EventKind::Message => WebhookEventKind::Message,
                    EventKind::Status => WebhookEventKind::Status,
                    EventKind::Echo => WebhookEventKind::Echo,
                    EventKind::Other => WebhookEventKind::Other,
                }
                .into(),
                phone_number_id: event.phone_number_id.to_string(),
                field: event.field.to_string(),
                item: Bytes::copy_from_slice(event.item),
                contact: event.contact.map(Bytes::copy_from_slice).unwrap_or_default(),
                received_at_us: start().timestamp_micros(),
                ..WebhookEvent::default()
            };
            let (id, body) = (Uuid::from_bytes(event.identity), contracts::encode(&message));
            let lane = Family::Webhooks.routing_key(0);
            Outgoing::new(Exchange::Lanes, lane, id, WebhookEvent::TYPE, body)
        });
        self.publisher.publish_all(outgoing.collect()).await.unwrap();
    }

    /// Lena writes, so many seconds after the start.
    async fn says(&self, wamid: &str, text: &str, seconds: i64) {
        let at = (start() + TimeDelta::seconds(seconds)).timestamp();
        let message = json!({
            "from": LENA, "id": wamid, "timestamp": at.to_string(), "type": "text",
            "text": { "body": text },
        });
        let value = json!({ "messages": [message] });
        self.post(&webhook("messages", value)).await;
    }

    /// Lena tells WhatsApp what she wishes.
    async fn wishes(&self, value: &str, seconds: i64) {
        let at = (start() + TimeDelta::seconds(seconds)).timestamp();
        let wish = json!({
            "wa_id": LENA, "category": "marketing_messages", "value": value, "timestamp": at,
            "detail": format!("User requested to {value} marketing messages"),
        });
        let value = json!({ "user_preferences": [wish] });
        self.post(&webhook("user_preferences", value)).await;
    }

    async fn count(&self, what: &str) -> i64 {
        self.world.db.count(&format!("SELECT count(*) AS count FROM {what}")).await.unwrap()
    }

    /// Waits until there are so many rows.
    async fn await_count(&self, what: &str, count: i64) {
        let is_there = async || (self.count(what).await == count).then_some(());
        eventually(&format!("{count} × {what}"), is_there).await;
    }

    async fn opted_out_at(&self) -> String {
        let sql = "SELECT (opted_out_at AT TIME ZONE 'UTC')::text AS text FROM contacts";
        self.world.db.text(sql).await.unwrap()
    }

    /// What was written down about her, in the order in which it was said.
    async fn proofs(&self) -> String {
        let sql = "SELECT string_agg(decision || ' ' || source || ' ' || text, ', ' ORDER BY said_at) AS text \
                   FROM contact_consents";
        self.world.db.text(sql).await.unwrap()
    }
}

fn webhook(field: &str, mut value: Value) -> Value {
    value["messaging_product"] = json!("whatsapp");
    value["metadata"] = json!({ "phone_number_id": LINE, "display_phone_number": "493055501200" });
    json!({
        "object": "whatsapp_business_account",
        "entry": [{ "id": "104996122399160", "changes": [{ "field": field, "value": value }] }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_stop_is_opted_out_once_and_the_message_is_kept() {
    on_stage(async |stage| {
        stage.world.clock.advance(TimeDelta::hours(1));
        stage.says("wamid.1", "Hello", 1).await;
        stage.says("wamid.2", " STOPP! ", 2).await;
        stage.says("wamid.2", " STOPP! ", 2).await;
        stage.says("wamid.3", "don't stop", 3).await;
        stage.await_count("messages", 3).await;
        assert_eq!(stage.opted_out_at().await, "2026-11-22 10:00:02");
        assert_eq!(stage.proofs().await, "withdrawn keyword STOPP!");
        assert_eq!(stage.count("events WHERE type = 'contact.opted_out'").await, 1);

        stage.says("wamid.4", "start", 4).await;
        stage.await_count("messages", 4).await;
        assert_eq!(stage.opted_out_at().await, "");
        assert_eq!(stage.proofs().await, "withdrawn keyword STOPP!, given keyword start");
        // Who hears from us already may mean a bot's word.
        stage.says("wamid.5", "START", 5).await;
        stage.await_count("messages", 5).await;
        assert_eq!(stage.count("contact_consents").await, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_and_start_in_one_batch_end_as_they_were_said() {
    on_stage(async |stage| {
        stage.world.clock.advance(TimeDelta::hours(1));
        let said = |wamid: &str, text: &str, at: DateTime<Utc>| {
            json!({
                "from": LENA, "id": wamid, "timestamp": at.timestamp().to_string(), "type": "text",
                "text": { "body": text },
            })
        };
        let at = |seconds| start() + TimeDelta::seconds(seconds);
        let messages = [
            said("wamid.1", "stop", at(1)),
            said("wamid.2", "start", at(2)),
            said("wamid.3", "unsubscribe", at(3)),
        ];
        stage.post(&webhook("messages", json!({ "messages": messages }))).await;
        stage.await_count("messages", 3).await;
        assert_eq!(stage.opted_out_at().await, "2026-11-22 10:00:03");
        let said = "withdrawn keyword stop, given keyword start, withdrawn keyword unsubscribe";
        assert_eq!(stage.proofs().await, said);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_stop_words_are_switched_off_stop_is_a_word_like_others() {
    on_stage(async |stage| {
        let one = stage.world.get(Who::Admin, "/v1/connections").await.ids().remove(0);
        let uri = format!("/v1/connections/{one}");
        let body = json!({ "stop_words": false });
        let changed =
            stage.world.send(Who::Admin, actix_web::http::Method::PATCH, &uri, &body).await;
        assert_eq!(changed.json()["stop_words"], json!(false));
        stage.says("wamid.1", "stop", 1).await;
        stage.await_count("messages", 1).await;
        assert_eq!(stage.opted_out_at().await, "");
        assert_eq!(stage.count("contact_consents").await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_to_whatsapp_last_holds_in_whatever_order_it_comes() {
    on_stage(async |stage| {
        stage.world.clock.advance(TimeDelta::hours(1));
        // Nobody has heard of her: she is remembered with her wish.
        stage.wishes("stop", 10).await;
        stage.await_count("webhook_records", 1).await;
        assert_eq!(stage.opted_out_at().await, "2026-11-22 10:00:10");
        assert_eq!(stage.count("events WHERE type = 'contact.created'").await, 1);
        stage.wishes("resume", 30).await;
        stage.await_count("webhook_records", 2).await;
        assert_eq!(stage.opted_out_at().await, "");
        // Late news of something said before.
        stage.wishes("stop", 20).await;
        stage.await_count("webhook_records", 3).await;
        assert_eq!(stage.opted_out_at().await, "");
        assert_eq!(stage.count("contact_consents WHERE source = 'meta'").await, 3);
        assert_eq!(stage.count("contacts").await, 1);
        assert_eq!(stage.count("events WHERE type LIKE 'contact.opted_%'").await, 2);
    })
    .await;
}
