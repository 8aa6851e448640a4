//! `switchyard campaign`, as an operator meets it, against an API that answers as ours does.

mod fake_api;

use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use self::fake_api::FakeApi;

const ID: &str = "cmp_019aa3c1e2f37b1c8d4e5f60718293a4";
const KEY: &str = "swk_live_0123_c2VjcmV0";

/// The object that the HTTP API's rules show, in another state.
fn campaign(status: &str, done: i64) -> Value {
    json!({
        "object": "campaign", "id": ID, "name": "Spring sale", "status": status,
        "why": {"code": "waiting_for_quota", "policy": "whatsapp_api", "until": "2026-11-22T10:14:32.000Z",
            "text": "Limited to 100 per minute on +1 555 0100."},
        "counts": {"total": 20000, "pending": 7410, "in_flight": 12, "accepted": 12508, "failed": 41,
            "skipped": 26, "uncertain": 3},
        "delivery": {"sent": 12480, "delivered": 12101, "read": 5220, "replied": 311},
        "progress": {"done": done, "total": 20000, "rate_per_minute": 99.6, "eta": null, "eta_basis": "limit"},
        "attention": {"uncertain": 3, "failed_retryable": 9, "template_warning": false},
        "actions": ["start", "pause", "cancel", "retry_failed"],
    })
}

/// The same when nothing waits for anybody.
fn calm(status: &str, done: i64) -> Value {
    let mut calm = campaign(status, done);
    calm["why"] = Value::Null;
    calm["attention"] = json!({"uncertain": 0, "failed_retryable": 0, "template_warning": false});
    calm
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    /// As a snapshot keeps it: no addresses, no times of day.
    fn shown(&self) -> String {
        let is_time = |word: &str| word.len() == 8 && word.matches(':').count() == 2;
        let masked = |line: &str| match line.split_once(' ') {
            Some((first, rest)) if is_time(first) => format!("HH:MM:SS {rest}"),
            Some(_) | None => line.to_owned(),
        };
        let err: Vec<String> = self.err.lines().map(masked).collect();
        format!("exit {}\n--- stdout\n{}--- stderr\n{}", self.code, self.out, err.join("\n"))
    }
}

/// The command, called at `api` with a key in a file.
fn command(api: &FakeApi, key: &NamedTempFile, arguments: &[&str]) -> Command {
    std::fs::write(key.path(), format!("{KEY}\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchyard"));
    command
        .arg("campaign")
        .args(arguments)
        .env_clear()
        .env("SWITCHYARD_URL", &api.url)
        .env("SWITCHYARD_API_KEY_FILE", key.path());
    command
}

async fn say(api: &FakeApi, arguments: &[&str]) -> Said {
    let key = NamedTempFile::new().unwrap();
    let output = command(api, &key, arguments).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = Said {
        code: output.status.code().unwrap(),
        out: text(&output.stdout),
        err: text(&output.stderr),
    };
    assert!(!said.out.contains(KEY) && !said.err.contains(KEY), "the key was printed");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_is_shown_with_why_it_waits_and_what_to_do() {
    let api = FakeApi::always(200, &campaign("running", 12_578)).await;
    let said = say(&api, &["show", ID]).await;
    insta::assert_snapshot!("campaign_show", said.shown());
    let asked = api.asked();
    assert_eq!(asked[0].line(), format!("GET /v1/campaigns/{ID}"));
    assert_eq!(asked[0].headers["authorization"], format!("Bearer {KEY}"));
    let said = say(&api, &["show", ID, "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&said.out).unwrap(), campaign("running", 12_578));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_is_found_by_its_exact_name_over_several_pages() {
    let api = FakeApi::start(|asked| {
        let mut other = campaign("draft", 0);
        other["name"] = json!("Spring sale 2");
        let page = match asked.target.contains("cursor=abc") {
            false => json!({"object": "list", "data": [other], "has_more": true, "next_cursor": "abc"}),
            true => json!({"object": "list", "data": [campaign("paused", 10)], "has_more": false, "next_cursor": null}),
        };
        (200, page.to_string())
    })
    .await;
    let said = say(&api, &["show", "Spring sale"]).await;
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.starts_with("Spring sale   paused"), "{}", said.out);
    assert_eq!(
        api.lines(),
        [
            "GET /v1/campaigns?q=Spring+sale&limit=200",
            "GET /v1/campaigns?q=Spring+sale&limit=200&cursor=abc"
        ]
    );
    let said = say(&api, &["show", "Spring"]).await;
    assert_eq!(said.code, 4, "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_two_campaigns_is_refused() {
    let both = json!({"data": [campaign("draft", 0), campaign("paused", 0)], "has_more": false});
    let api = FakeApi::always(200, &both).await;
    let said = say(&api, &["pause", "Spring sale"]).await;
    assert_eq!(said.code, 5, "{}", said.err);
    assert!(said.err.contains(ID), "{}", said.err);
    assert!(!api.lines().iter().any(|line| line.starts_with("POST")));
}

#[tokio::test(flavor = "multi_thread")]
async fn campaigns_are_listed() {
    let page = json!({"data": [campaign("running", 12_578), calm("draft", 0)], "has_more": false});
    let api = FakeApi::always(200, &page).await;
    let said = say(&api, &["ls", "--status", "running", "--status", "draft"]).await;
    insta::assert_snapshot!("campaign_ls", said.shown());
    assert_eq!(api.lines(), ["GET /v1/campaigns?status=running&status=draft&limit=50"]);
    let said = say(&api, &["ls", "--json"]).await;
    assert_eq!(said.out.lines().count(), 2);
}

/// Answers each look at the campaign with the next of `documents`, then with the last for ever.
async fn story(documents: Vec<(u16, Value)>) -> FakeApi {
    let mut documents = documents.into_iter().peekable();
    let mut now = (200, Value::Null);
    FakeApi::start(move |_| {
        now = documents.next().unwrap_or_else(|| now.clone());
        (now.0, now.1.to_string())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_follows_a_campaign_to_its_end_in_plain_lines() {
    let api = story(vec![
        (200, campaign("preparing", 0)),
        (200, campaign("running", 0)),
        (200, campaign("running", 9_000)),
        (200, calm("completed", 20_000)),
    ])
    .await;
    let said = say(&api, &["watch", ID, "--every", "10ms"]).await;
    insta::assert_snapshot!("campaign_watch", said.shown());
    assert_eq!(api.asked().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_of_a_watch_says_how_it_ended() {
    for (status, code) in
        [("completed", 0), ("completed_with_issues", 8), ("cancelled", 8), ("failed", 1)]
    {
        let api = FakeApi::always(200, &calm(status, 20_000)).await;
        assert_eq!(say(&api, &["watch", ID, "--progress", "none"]).await.code, code, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_outlives_an_api_that_is_away_for_a_moment() {
    let away = json!({"status": 503, "code": "draining", "detail": "It is stopping."});
    let api = story(vec![
        (200, campaign("running", 0)),
        (503, away.clone()),
        (503, away),
        (200, calm("completed", 20_000)),
    ])
    .await;
    let said = say(&api, &["watch", ID, "--every", "10ms", "--json"]).await;
    assert_eq!((said.code, said.out.lines().count()), (0, 2), "{}", said.err);
    // One that says no for good is not asked again.
    let gone = json!({"detail": "There is nothing at this address."});
    let api = story(vec![(200, campaign("running", 0)), (404, gone)]).await;
    assert_eq!(say(&api, &["watch", ID, "--every", "10ms"]).await.code, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_detaches_and_the_campaign_goes_on() {
    let api = FakeApi::always(200, &campaign("running", 12_578)).await;
    let key = NamedTempFile::new().unwrap();
    let mut command = command(&api, &key, &["watch", ID, "--every", "10ms"]);
    let mut watch = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stderr.take().unwrap()).lines();
    let first = lines.next_line().await.unwrap().unwrap();
    assert!(first.contains("done=12578 total=20000"), "{first}");
    let pid = watch.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let last = lines.next_line().await.unwrap().unwrap();
    let expected = format!(
        "Detached. The campaign keeps running. Pause it with:  switchyard campaign pause {ID}"
    );
    assert_eq!(last, expected);
    assert_eq!(watch.wait().await.unwrap().code(), Some(130));
    assert!(!api.lines().iter().any(|line| line.starts_with("POST")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_says_what_it_did_and_what_comes_next() {
    let mut shown = String::new();
    for (verb, status) in [("start", "preparing"), ("pause", "paused"), ("resume", "running")] {
        let api = FakeApi::always(200, &calm(status, 0)).await;
        let said = say(&api, &[verb, ID]).await;
        assert_eq!(api.lines()[1], format!("POST /v1/campaigns/{ID}/{verb}"));
        shown.push_str(&format!("$ {verb}\n{}\n", said.shown()));
    }
    insta::assert_snapshot!("campaign_actions", shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_wants_the_campaigns_name() {
    let api = FakeApi::always(200, &calm("running", 0)).await;
    for arguments in [&["cancel", ID][..], &["cancel", ID, "--confirm", "Spring"]] {
        let said = say(&api, arguments).await;
        insta::assert_snapshot!("campaign_cancel_unconfirmed", said.shown());
    }
    assert!(!api.lines().iter().any(|line| line.starts_with("POST")));
    let said = say(&api, &["cancel", ID, "--confirm", "Spring sale"]).await;
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(api.lines().last().unwrap(), &format!("POST /v1/campaigns/{ID}/cancel"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing() {
    let api = FakeApi::always(200, &campaign("running", 0)).await;
    for verb in ["start", "pause", "cancel"] {
        let said = say(&api, &[verb, ID, "-n"]).await;
        assert!(said.code == 0 && said.err.contains("Nothing was changed"), "{}", said.err);
    }
    let said = say(&api, &["resume", ID, "-n"]).await;
    assert_eq!(said.code, 5, "it is not among the actions: {}", said.err);
    assert!(api.lines().iter().all(|line| line.starts_with("GET")));

    let said = say(&api, &["retry-failed", ID, "-n"]).await;
    assert!(said.out.starts_with("9 failed sends of Spring sale would be"), "{}", said.out);
    let asked = api.asked().pop().unwrap();
    assert_eq!(asked.line(), format!("POST /v1/campaigns/{ID}/retry-failed"));
    assert_eq!(asked.body, r#"{"dry_run":true}"#);
    say(&api, &["retry-failed", ID]).await;
    assert_eq!(api.asked().pop().unwrap().body, r#"{"dry_run":false}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_are_shown_as_a_table_or_passed_on_as_csv() {
    let recipients = json!({"has_more": true, "next_cursor": "x", "data": [
        {"n": 1, "id": "msg_1", "phone": "+15550100", "state": "accepted", "delivery": "read"},
        {"n": 2, "id": "msg_2", "phone": "+15550101", "state": "failed", "error_code": 131026},
    ]});
    let api = FakeApi::start(move |asked| match &*asked.headers["accept"] {
        "text/csv" => (200, "n,id\r\n1,msg_1\r\n".to_owned()),
        _ if asked.target.contains("/recipients") => (200, recipients.to_string()),
        _ => (200, campaign("running", 0).to_string()),
    })
    .await;
    let filter = ["--status", "uncertain", "--error-code", "131026"];
    let said = say(&api, &[&["recipients", ID, "--limit", "2"], &filter[..]].concat()).await;
    insta::assert_snapshot!("campaign_recipients", said.shown());
    let query = "state=uncertain&error_code=131026";
    assert_eq!(api.lines()[1], format!("GET /v1/campaigns/{ID}/recipients?{query}&limit=2"));
    let said = say(&api, &[&["recipients", ID, "--csv"], &filter[..]].concat()).await;
    assert_eq!((said.code, said.out.as_str()), (0, "n,id\r\n1,msg_1\r\n"));
    assert_eq!(*api.lines().last().unwrap(), format!("GET /v1/campaigns/{ID}/recipients?{query}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_an_exit_code_and_a_way_out() {
    let codes =
        [(400, 2), (401, 7), (403, 7), (404, 4), (409, 5), (412, 5), (422, 2), (429, 6), (500, 1)];
    for (status, code) in codes {
        let problem = json!({"detail": "It was refused.", "errors": [{"pointer": "/a", "detail": "It is wrong."}]});
        let api = FakeApi::always(status, &problem).await;
        let said = say(&api, &["show", ID]).await;
        assert_eq!(said.code, code, "{status}: {}", said.err);
        assert!(
            said.err.starts_with("error: It was refused. /a: It is wrong.\nfix: "),
            "{}",
            said.err
        );
    }
    let api = FakeApi::start(|_| (200, "<html>".to_owned())).await;
    let said = say(&api, &["show", ID]).await;
    assert!(said.code == 1 && said.err.contains("--url"), "{}", said.err);
    let said = say(&FakeApi::nobody(), &["show", ID]).await;
    assert!(said.code == 1 && said.err.contains("does not answer"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_nothing_is_asked() {
    let api = FakeApi::always(200, &campaign("running", 0)).await;
    let key = NamedTempFile::new().unwrap();
    for text in [None, Some(""), Some("two words")] {
        let mut command = command(&api, &key, &["show", ID]);
        match text {
            None => command.env_remove("SWITCHYARD_API_KEY_FILE"),
            Some(text) => {
                std::fs::write(key.path(), text).unwrap();
                &mut command
            }
        };
        let output = command.output().await.unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("--api-key-file"));
    }
    assert!(api.asked().is_empty());
}
