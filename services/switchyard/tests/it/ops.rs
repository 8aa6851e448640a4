//! Locks and limits as an operator sees them at the command line.

use std::time::Duration;

use coordination::{Coordination, Decision, Hold, Limit, LimitName, LockName, Options, Patience};
use graph_simulator::{InboundMessage, Repeat};
use kernel::WaId;
use kernel::ids::ConnectionId;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually_within;
use tokio_util::task::TaskTracker;

use crate::installation::{Installation, PHONE};

/// A process that holds locks and asks limits of this installation.
async fn process(installation: &Installation) -> Coordination {
    let mut options = Options::new(&installation.redis_url, &installation.namespace);
    options.label = "conversations@pod-1/17".to_owned();
    Coordination::start(options, TaskTracker::new()).await.unwrap()
}

/// Every line of `text` as JSON.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_listed_shown_and_released_with_a_reason() {
    let installation = Installation::new().await;
    let process = process(&installation).await;
    let connection = ConnectionId::new();
    let sync = LockName::TemplateSync(connection);
    let guard = process.locks().lock_many([sync], Patience::None).await.unwrap();
    let name = format!("template_sync:connection:{connection}");

    let listed = installation.run_to_end(&["locks", "ls", "--held"]).await;
    assert_eq!(listed.code, 0, "{}", listed.err);
    assert!(
        listed.out.contains(&name) && listed.out.contains("conversations@pod-1/17"),
        "{}",
        listed.out
    );
    assert!(listed.out.lines().all(|line| line.chars().count() <= 80), "{}", listed.out);
    let held = lines(&installation.command(&["locks", "ls", "--held", "--json"]).await);
    assert_eq!((held.len(), &held[0]["name"]), (1, &json!(name)));
    let classes = lines(&installation.command(&["locks", "ls", "--json"]).await);
    assert_eq!(classes.len(), 12);
    let sync = classes.iter().find(|class| class["class"] == "template_sync").unwrap();
    assert_eq!(sync["held"], 1);

    let shown = installation.run_to_end(&["locks", "show", &name]).await;
    assert!(shown.out.contains("if released"), "{}", shown.out);
    let release = ["locks", "release", name.as_str(), "--reason", "its process is gone"];
    let refused = installation.run_to_end(&release).await;
    assert_eq!(refused.code, 5, "the holder may be at work: {}", refused.err);
    assert!(refused.err.contains("--confirm"), "{}", refused.err);
    let dry = installation.run_to_end(&[&release[..], &["--dry-run"]].concat()).await;
    assert_eq!(dry.code, 0, "{}", dry.err);
    assert!(guard.is_valid());
    let other = [&release[..], &["--owner", "0000000000000000", "--confirm", &name]].concat();
    assert_eq!(installation.run_to_end(&other).await.code, 5, "another owner");

    let token = held[0]["owner_token_prefix"].as_str().unwrap();
    let confirmed = [&release[..], &["--owner", token, "--confirm", &name, "--by", "ana"]].concat();
    let released = installation.run_to_end(&confirmed).await;
    assert_eq!(released.code, 0, "{}", released.err);
    assert!(released.out.contains("It is free"), "{}", released.out);
    assert_eq!(guard.release().await, Hold::Lost);
    let entries = "audit_log WHERE actor LIKE 'ana@%' AND workspace_id IS NULL \
                   AND reason = 'its process is gone' AND action IN ('lock.release', 'lock.released')";
    assert_eq!(installation.count(entries).await, 2);
    assert_eq!(installation.run_to_end(&["locks", "show", &name]).await.code, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_name_is_enough_to_release_the_lock_it_stands_for() {
    let installation = Installation::new().await;
    let process = process(&installation).await;
    let connection = ConnectionId::new();
    let send = LockName::WhatsAppSend(connection, WaId::new("15551234567"));
    let guard = process.locks().lock_many([send], Patience::None).await.unwrap();
    let listed = installation.command(&["locks", "ls", "--held"]).await;
    assert!(!listed.contains("1555"), "{listed}");
    let name = format!("whatsapp_send:{connection}:*4567");
    assert!(listed.contains(&name), "{listed}");
    let unmasked = installation.command(&["locks", "ls", "--held", "--unmask"]).await;
    assert!(unmasked.contains("15551234567"), "{unmasked}");
    installation
        .command(&["locks", "release", &name, "--reason", "stuck", "--confirm", &name])
        .await;
    assert_eq!(guard.release().await, Hold::Lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_registry_does_not_have_is_not_found() {
    let installation = Installation::new().await;
    for arguments in [
        &["locks", "show", "no_such:1"][..],
        &["locks", "ls", "--held", "--class", "no_such"],
        &["limits", "show", "no_such"],
        &["limits", "set", "whatsapp_api", "10/min", "--connection", "cnx_1", "--reason", "typo"],
    ] {
        let ended = installation.run_to_end(arguments).await;
        assert_eq!((ended.code, ended.out.as_str()), (4, ""), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains("fix:"), "{}", ended.err);
    }
    let unreadable = ["limits", "set", "whatsapp_api", "fast", "--reason", "typo"];
    assert_eq!(installation.run_to_end(&unreadable).await.code, 2);
    assert_eq!(installation.count("audit_log").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raised_limit_acts_in_the_running_service_and_ends_by_command() {
    let mut installation = Installation::new().await;
    installation.run("all").await;
    let process = process(&installation).await;
    let connection = connect(&installation).await;
    let limit = Limit::of(LimitName::WhatsAppApi(connection.parse().unwrap()));
    let decision = process.limiter().check(&[limit], 60).await;
    assert!(matches!(decision, Decision::Go(_)), "{decision:?}");
    let hot = installation.run_to_end(&["limits", "ls", "--hot"]).await;
    assert!(hot.out.contains(&connection) && hot.out.contains("100/min"), "{}", hot.out);
    assert!(hot.out.lines().all(|line| line.chars().count() <= 80), "{}", hot.out);

    let set = ["limits", "set", "whatsapp_api", "2000/min", "--connection", connection.as_str()];
    let why = ["--for", "2h", "--reason", "launch day"];
    let dry = installation.command(&[&set[..], &why, &["-n"]].concat()).await;
    assert!(dry.contains("would become 2000/min"), "{dry}");
    assert_eq!(installation.count("coordination_overrides").await, 0);
    let said = installation.command(&[&set[..], &why].concat()).await;
    assert!(said.contains("100/min -> 2000/min, for 2 h"), "{said}");
    assert_eq!(installation.count("audit_log WHERE action = 'limit.set'").await, 1);
    // The API of the workspace sees it, too.
    let one = format!("v1/ops/limits/whatsapp_api?key={connection}");
    let shown = installation.api(Method::GET, &one, None).await;
    assert_eq!(
        (&shown["limit"], &shown["override"]["reason"]),
        (&json!(2000), &json!("launch day"))
    );
    let lines = lines(&installation.command(&["limits", "ls", "--json"]).await);
    assert_eq!(lines.len(), 7);
    assert_eq!(lines[0]["overridden_keys"], 1);

    let end = ["limits", "set", "whatsapp_api", "default", "--connection", connection.as_str()];
    let said = installation.command(&[&end[..], &["--reason", "over"]].concat()).await;
    assert!(said.contains("2000/min -> 100/min"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bots_limit_is_raised_while_it_runs() {
    let mut installation = Installation::new().await;
    installation.set("SWITCHYARD__LIMITS__BOT_PER_MINUTE", "1");
    installation.run("all").await;
    installation.connect_echo_bot().await;
    installation
        .command(&["limits", "set", "bot", "50/min", "--reason", "a busy day", "--by", "ana"])
        .await;
    let line = installation.command(&["limits", "show", "bot"]).await;
    assert!(line.contains("50/min") && line.contains("a busy day"), "{line}");
    // One person writes until more than the default's one answer came within a minute.
    let mut written = 0;
    eventually_within(Duration::from_secs(60), "the new limit is in force", async || {
        written += 1;
        let message = InboundMessage::text(PHONE, "15551234567", "Ada", format!("hi {written}"));
        installation.meta.deliver(vec![message], 1, Repeat::ONCE);
        installation.wait_quiet(Duration::from_secs(60)).await;
        (installation.meta.sent_count() >= 3).then_some(())
    })
    .await;
}

/// A connection without limits of its own, made by the API.
async fn connect(installation: &Installation) -> String {
    let body = json!({
        "name": "Main", "phone_number_id": PHONE, "waba_id": "104996122399160",
        "access_token": "EAAG-a-token",
    });
    let made = installation.api(Method::POST, "v1/connections", Some(body)).await;
    made["id"].as_str().unwrap().to_owned()
}
