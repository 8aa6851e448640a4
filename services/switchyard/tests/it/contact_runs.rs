//! D3, D12, D13 over real processes: imports and exports while `kill -9` strikes whoever is at them.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually_within;
use tokio::time::sleep;
use url::Url;

use crate::installation::Installation;

const PROCESSES: usize = 4;
const PEOPLE: i64 = 100_000;
const PATIENCE: Duration = Duration::from_secs(120);

fn people() -> Vec<u8> {
    let mut file = b"phone,name,city\n".to_vec();
    for n in 0..PEOPLE {
        file.extend_from_slice(format!("+49155{n:08},Person {n},Berlin\n").as_bytes());
    }
    file
}

/// Sends a file; answers with status and body.
async fn upload(installation: &Installation, base: &Url, file: &[u8]) -> (u16, Value) {
    let mut form =
        b"--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n"
            .to_vec();
    form.extend_from_slice(file);
    form.extend_from_slice(b"\r\n--XX--\r\n");
    let answer = installation
        .http
        .post(base.join("v1/contact-imports").unwrap())
        .bearer_auth(&installation.key)
        .header("content-type", "multipart/form-data; boundary=XX")
        .body(form)
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Kills each process in turn, again and again, until the run is over; answers with how it ended.
async fn rage(installation: &mut Installation, path: &str) -> Value {
    let mut kills = 0;
    loop {
        sleep(Duration::from_millis(300)).await;
        if kills < 3 * PROCESSES {
            installation.kill_and_restart(kills % PROCESSES).await;
            kills += 1;
        }
        let survivor = installation.url((kills + 1) % PROCESSES);
        let shown =
            installation.http.get(survivor.join(path).unwrap()).bearer_auth(&installation.key);
        let Ok(answer) = shown.send().await else { continue };
        let shown: Value = answer.json().await.unwrap();
        if !matches!(shown["status"].as_str(), Some("queued" | "running" | "writing")) {
            assert!(kills > 0, "it ended before anybody was killed");
            return shown;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_and_exports_end_once_however_often_their_processes_are_killed() {
    let mut installation = Installation::new().await;
    let folder = tempfile::tempdir().unwrap();
    installation.set("SWITCHYARD__FILES__FOLDER", folder.path().to_str().unwrap());
    let soon = "contact_import.ttl=2s,contact_export.ttl=2s";
    installation.set("SWITCHYARD__COORDINATION__LOCKS", soon);
    for _ in 0..PROCESSES {
        installation.run("contacts").await;
    }
    let file = people();
    let urls = installation.urls();
    let sent = urls.iter().map(|url| upload(&installation, url, &file));
    let answers = futures_util::future::join_all(sent).await;
    let taken: Vec<&Value> =
        answers.iter().filter(|(status, _)| *status == 202).map(|(_, body)| body).collect();
    // One at a time: a second one was refused, or came after the first had ended.
    for (status, body) in answers.iter().filter(|(status, _)| *status != 202) {
        assert_eq!((*status, &body["code"]), (409, &json!("already_running")));
    }
    let path = format!("v1/contact-imports/{}", taken[0]["id"].as_str().unwrap());
    let import = tokio::time::timeout(PATIENCE, rage(&mut installation, &path)).await.unwrap();
    assert_eq!(import["status"], "completed", "{import:#}");
    assert_eq!(installation.count("contacts").await, PEOPLE);

    eventually_within(PATIENCE, "somebody takes an export", async || {
        let url = installation.url(0).join("v1/contact-exports").unwrap();
        let asked = installation.http.post(url).bearer_auth(&installation.key).json(&json!({}));
        asked.send().await.ok()?.status().is_success().then_some(())
    })
    .await;
    let id = installation
        .db
        .text("SELECT replace(id::text, '-', '') AS text FROM contact_exports")
        .await;
    let path = format!("v1/contact-exports/exp_{}", id.unwrap());
    let export = tokio::time::timeout(PATIENCE, rage(&mut installation, &path)).await.unwrap();
    assert_eq!((&export["status"], &export["file"]["rows"]), (&json!("completed"), &json!(PEOPLE)));
    let files: Vec<String> = std::fs::read_dir(folder.path().join("exports"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.contains('#'))
        .collect();
    assert_eq!(files, [export["file"]["name"].as_str().unwrap()]);
    for url in installation.urls() {
        installation.wait_ready(&url).await;
    }
    let link = export["file"]["url"].as_str().unwrap();
    let fetched =
        installation.http.get(installation.url(0).join(link).unwrap()).send().await.unwrap();
    let text = fetched.text().await.unwrap();
    assert_eq!(text.lines().count(), usize::try_from(PEOPLE).unwrap() + 1);
    for event in ["import.completed", "export.completed"] {
        assert_eq!(
            installation.count(&format!("events WHERE type = '{event}'")).await,
            1,
            "{event}"
        );
    }
    let listed = installation.api(Method::GET, "v1/contact-imports", None).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    installation.stop_all().await;
}
