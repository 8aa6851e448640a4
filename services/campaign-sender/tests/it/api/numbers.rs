//! The campaign object: counts that add up, why it waits, when it ends, what may be done.

use std::collections::HashMap;

use coordination::{LimitName, Overriding};
use serde_json::{Value, json};

use super::frozen::frozen;
use super::world::{MARKETER, OPERATOR, VIEWER, Who, World, uuid, with_api};

#[tokio::test(flavor = "multi_thread")]
async fn the_counts_of_a_campaign_add_up() {
    with_api(async |world| {
        let path = frozen(world, "running").await;
        let shown = world.get(&path).await.body;
        assert_eq!(
            shown["counts"],
            json!({
                "total": 12, "pending": 2, "in_flight": 1, "accepted": 3, "failed": 3,
                "skipped": 2, "uncertain": 1, "expired": 0,
            })
        );
        assert_eq!(
            shown["reasons"],
            json!({
                "failed": { "131000": 1, "131026": 2 },
                "skipped": { "cancelled": 1, "opted_out": 1 },
            })
        );
        assert_eq!(
            shown["delivery"],
            json!({ "sent": 2, "delivered": 2, "read": 1, "replied": 0 })
        );
        assert_eq!(
            (&shown["progress"]["done"], &shown["progress"]["total"]),
            (&json!(9), &json!(12))
        );
        assert_eq!(shown["progress"]["eta_basis"], "limit");
        assert_eq!(shown["attention"]["uncertain"], 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_campaign_says_why() {
    with_api(async |world| {
        let path = frozen(world, "running").await;
        let id = uuid(&path);
        let why = async || world.get(&path).await.body["why"].clone();
        assert_eq!(why().await, Value::Null);

        world
            .execute(&format!(
                "UPDATE campaigns SET waits_for = 'quiet_hours', next_look_at = '2099-01-01T07:00:00Z' \
                 WHERE id = '{id}'"
            ))
            .await;
        assert_eq!(why().await["code"], "quiet_hours");
        assert_eq!(why().await["until"], "2099-01-01T07:00:00.000Z");
        world
            .execute(&format!(
                "UPDATE campaigns SET waits_for = NULL, next_look_at = NULL WHERE id = '{id}'"
            ))
            .await;

        let old = "UPDATE outbound_messages SET created_at = now() - interval '2 minutes'";
        world.execute(old).await;
        assert_eq!(why().await["code"], "sender_away");
        let minutes = "(date_trunc('minute', now()) - make_interval(mins => n))";
        world
            .execute(&format!(
                "INSERT INTO campaign_minutes SELECT '{id}', {minutes}, 'accepted', 96 \
                 FROM generate_series(1, 3) AS n"
            ))
            .await;
        let waits = why().await;
        assert_eq!((&waits["code"], &waits["policy"]), (&json!("waiting_for_quota"), &json!("whatsapp_api")));
        assert_eq!(waits["text"], "Limited to 100 per minute on +493055501200.");
        assert_eq!(world.get(&path).await.body["progress"]["rate_per_minute"], 96.0);

        world
            .execute(&format!(
                "UPDATE campaigns SET status = 'paused', reason_code = 'template_paused', \
                 reason = 'Meta paused the template.' WHERE id = '{id}'"
            ))
            .await;
        assert_eq!(why().await, json!({ "code": "template_paused", "text": "Meta paused the template." }));
        assert_eq!(world.get(&path).await.body["attention"]["template_warning"], true);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_set_at_run_time_is_what_a_campaign_waits_for_and_goes_by() {
    with_api(async |world| {
        let path = frozen(world, "running").await;
        let id = uuid(&path);
        world
            .execute(&format!(
                "INSERT INTO campaign_minutes SELECT '{id}', date_trunc('minute', now()) \
                 - make_interval(mins => n), 'accepted', 9 FROM generate_series(1, 3) AS n"
            ))
            .await;
        let before = world.get(&path).await.body;
        assert_eq!(
            (&before["why"], &before["progress"]["eta_basis"]),
            (&Value::Null, &json!("speed"))
        );
        let limit = LimitName::WhatsAppApi(world.connection);
        let limit_most_of = HashMap::from([(limit, 10)]);
        let set = Overriding { limit_most_of, ..Overriding::default() };
        world.coordination.overrides().replace(set);
        let after = world.get(&path).await.body;
        assert_eq!(after["why"]["text"], "Limited to 10 per minute on +493055501200.");
        assert_eq!(after["progress"]["eta_basis"], "limit");
        let preview = world.post(MARKETER, &format!("{path}/audience/preview"), Value::Null).await;
        assert_eq!(preview.body["estimate"]["limit_per_minute"], 10, "{}", preview.body);
    })
    .await;
}

async fn actions(world: &World, who: Who, path: &str) -> Vec<String> {
    let answer = world.call(who, actix_web::http::Method::GET, path, Default::default()).await;
    serde_json::from_value(answer.body["actions"].clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_actions_shown_are_those_of_the_state_and_of_the_key() {
    with_api(async |world| {
        let path = frozen(world, "running").await;
        assert_eq!(actions(world, OPERATOR, &path).await, ["pause", "cancel"]);
        assert!(actions(world, VIEWER, &path).await.is_empty());
        let marketer = actions(world, MARKETER, &path).await;
        assert_eq!(marketer, ["test_send", "pause", "cancel", "resolve", "clone"]);
    })
    .await;
}
