//! D14, F5: templates come from Meta whatever dies, and what Meta decides about them reaches their
//! campaigns.

use std::time::Duration;

use graph_simulator::{Faults, TemplateRule};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually_within;

use crate::installation::Installation;

const PATIENCE: Duration = Duration::from_secs(120);
const WABA: &str = "104996122399160";
const FIRST_ID: u64 = 1_203_948_857_600_000;

fn templates(count: u64) -> Vec<Value> {
    let template = |number: u64| {
        json!({
            "id": (FIRST_ID + number).to_string(), "name": format!("template_{number}"),
            "language": "en_US", "status": "APPROVED", "category": "UTILITY",
            "components": [{ "type": "BODY", "text": format!("Hi, this is {number}.") }],
        })
    };
    (1..=count).map(template).collect()
}

/// An installation whose locks of syncs end soon after their holder, and whose pages are not limited.
async fn installation() -> Installation {
    let mut installation = Installation::new().await;
    installation.set("SWITCHYARD__COORDINATION__LOCKS", "template_sync.ttl=3s");
    installation.set("SWITCHYARD__LIMITS__TEMPLATE_SYNC_PER_MINUTE", "80");
    installation
}

async fn call(
    installation: &Installation,
    at: usize,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let url = installation.url(at).join(path).unwrap();
    let mut request = installation.http.request(method, url).bearer_auth(&installation.key);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}

async fn ended(installation: &Installation, at: usize, sync: &str) -> Value {
    let path = format!("v1/template-syncs/{sync}");
    eventually_within(PATIENCE, "the sync is over", async || {
        let (_, sync) = call(installation, at, Method::GET, &path, None).await;
        (sync["status"] != "running").then_some(sync)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_survives_kill_9_and_one_of_many_requests_over_four_processes_runs() {
    let mut installation = installation().await;
    installation.run("conversations").await;
    let connection = installation.connect(60_000).await;
    for _ in 0..4 {
        installation.run("template-sync").await;
    }
    installation.meta.set_templates(WABA, templates(1_150));
    installation
        .meta
        .set_faults(Faults { templates: vec![TemplateRule::slow(250)], ..Faults::default() });
    let body = json!({ "connection": connection });
    let (path, post) = ("v1/template-syncs", Method::POST);
    let [one, two, three, four] =
        [1, 2, 3, 4].map(|at| call(&installation, at, post.clone(), path, Some(body.clone())));
    let answers: [(u16, Value); 4] = tokio::join!(one, two, three, four).into();
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(status, _)| *status == 202);
    assert_eq!((won.len(), lost.len()), (1, 3), "{won:?} {lost:?}");
    for (status, problem) in &lost {
        assert_eq!((*status, &problem["code"]), (409, &json!("already_running")));
        assert_eq!(problem["detail"], "Template sync is already in progress");
        assert_eq!(problem["existing"]["id"], won[0].1["id"]);
    }
    let sync = won[0].1["id"].as_str().unwrap().to_owned();
    eventually_within(PATIENCE, "some pages are there", async || {
        let path = format!("v1/template-syncs/{sync}");
        let (_, sync) = call(&installation, 1, Method::GET, &path, None).await;
        (sync["pages"].as_i64()? >= 3).then_some(())
    })
    .await;
    assert_eq!(installation.count("templates").await, 0, "nothing is known before the end");
    for at in 1..=4 {
        installation.kill_and_restart(at).await;
    }
    for at in 1..=4 {
        installation.wait_ready(&installation.url(at)).await;
    }
    // What a dead worker had promised to look at is due when its minute has passed.
    installation.db.execute("UPDATE template_syncs SET next_look_at = now()").await.unwrap();
    let sync = ended(&installation, 1, &sync).await;
    assert_eq!((&sync["status"], &sync["added"]), (&json!("completed"), &json!(1_150)), "{sync}");
    assert_eq!(sync["pages"], 12);
    assert!(installation.meta.stats().template_calls <= 14, "it went on where it was");
    assert_eq!(installation.count("templates").await, 1_150);
    installation.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_paused_by_webhook_stops_its_campaign_and_the_command_line_shows_it() {
    let mut installation = installation().await;
    let url = installation.run("all").await;
    let connection = installation.connect(60_000).await;
    installation.meta.set_templates(WABA, templates(3));
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), &installation.key).unwrap();
    let (url, file) = (url.to_string(), key.path().to_str().unwrap().to_owned());
    let command = |rest: &[&str]| {
        let reach = ["template", "--url", &url, "--api-key-file", &file];
        let line: Vec<String> = reach.iter().chain(rest).map(|word| (*word).to_owned()).collect();
        line
    };
    let run = async |rest: &[&str]| {
        let line = command(rest);
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        installation.run_to_end(&line).await
    };
    let synced = run(&["sync", "--watch", "--every", "200ms"]).await;
    assert_eq!(synced.code, 0, "{}", synced.err);
    assert!(synced.out.contains("added 3 changed 0 removed 0"), "{}", synced.out);
    let listed = run(&["ls", "--connection", &connection, "--json"]).await;
    assert_eq!(listed.out.lines().count(), 3);
    let first: Value = serde_json::from_str(listed.out.lines().next().unwrap()).unwrap();
    let shown = run(&["show", first["id"].as_str().unwrap()]).await;
    assert!(shown.out.contains("APPROVED"), "{}", shown.out);
    assert_eq!(run(&["show", "tpl_00000000000000000000000000000000"]).await.code, 4);

    let campaign = json!({
        "name": "Sale", "connection": connection, "audience": { "tags": ["vip"] },
        "template": { "name": "template_1", "language": "en_US" },
    });
    let campaign = installation.api(Method::POST, "v1/campaigns", Some(campaign)).await;
    let campaign = campaign["id"].as_str().unwrap();
    let uuid = campaign.strip_prefix("cmp_").unwrap();
    let run_it = format!("UPDATE campaigns SET status = 'running' WHERE id = '{uuid}'");
    installation.db.execute(&run_it).await.unwrap();
    assert!(installation.meta.decide(WABA, &(FIRST_ID + 1).to_string(), "PAUSED"));
    let paused = format!("campaigns WHERE id = '{uuid}' AND reason_code = 'template_paused'");
    eventually_within(PATIENCE, "the campaign is paused", async || {
        (installation.count(&paused).await == 1).then_some(())
    })
    .await;
    let events =
        installation.api(Method::GET, "v1/events?type=template.status_changed", None).await;
    assert_eq!(events["data"][0]["data"]["now"], "PAUSED", "{events}");
    let again = format!("UPDATE campaigns SET status = 'draft' WHERE id = '{uuid}'");
    installation.db.execute(&again).await.unwrap();
    let start = format!("v1/campaigns/{campaign}/start");
    let (status, problem) = call(&installation, 0, Method::POST, &start, None).await;
    assert_eq!((status, &problem["code"]), (409, &json!("campaign_not_startable")));
    assert_eq!(problem["errors"][0]["code"], "template_paused");
    assert!(problem["detail"].as_str().unwrap().contains("'template_1' (en_US)"), "{problem}");
    installation.stop_all().await;
}
