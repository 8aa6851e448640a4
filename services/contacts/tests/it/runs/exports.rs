//! What an export makes of contacts.

use actix_web::test::TestRequest;
use serde_json::{Value, json};

use super::world::{MARKETER, Who, World, many};

async fn three(world: &World) {
    world.known("4915500000001", "=Ada", "{vip}", "{\"city\": \"Köln\", \"n\": 7}").await;
    world.known("4915500000002", "Bob, B", "{vip,x}", "{}").await;
    world.known("4915500000003", "", "{}", "{\"plan\": \"a\\nb\"}").await;
    world.execute("UPDATE contacts SET opted_out_at = '2026-02-02' WHERE wa_id LIKE '%3'").await;
    world.execute("UPDATE contacts SET source = 'api' WHERE wa_id LIKE '%2'").await;
}

async fn file(world: &World, process: &super::world::Process, export: &Value) -> Vec<u8> {
    assert!(export["file"]["url"].is_string(), "{export:#}");
    let url = export["file"]["url"].as_str().unwrap();
    let answer = world.call(process, Who::Nobody, TestRequest::get().uri(url)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let name = export["file"]["name"].as_str().unwrap();
    assert_eq!(answer.header("content-disposition"), format!("attachment; filename=\"{name}\""));
    assert_eq!(json!(answer.bytes.len()), export["file"]["bytes"]);
    answer.bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_become_a_file_that_no_spreadsheet_takes_for_formulas() {
    let world = World::new().await;
    let process = world.process().await;
    three(&world).await;
    let export = world.export(&process, &json!({ "bom": true })).await;
    assert_eq!((&export["status"], &export["file"]["rows"]), (&json!("completed"), &json!(3)));
    let text = String::from_utf8(file(&world, &process, &export).await).unwrap();
    let header = "\u{feff}contact_id,phone,name,tags,user_id,source,opted_out_at,created_at,updated_at,\
                  attributes.city,attributes.n,attributes.plan\r\n";
    assert!(text.starts_with(header), "{text}");
    assert!(text.contains(",'+4915500000001,'=Ada,vip,,webhook,,"), "{text}");
    assert!(text.contains(",\"Bob, B\",\"vip,x\",,api,"), "{text}");
    assert!(text.contains("Köln,7,\r\n") && text.contains(",,\"a\nb\"\r\n"), "{text}");
    let key = format!("/v1/contact-exports/{}/file", export["id"].as_str().unwrap());
    assert_eq!(world.get(&process, &key).await.text, text, "a key opens it, too");
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_exported_can_be_imported_and_changes_nothing() {
    let world = World::new().await;
    let process = world.process().await;
    world.import(&process, &many(12_000), &json!({ "tags": ["a", "b"] })).await;
    world
        .execute(
            "UPDATE contacts SET name = '=cmd', attributes = attributes || '{\"x\": \"-1\"}' \
                   WHERE wa_id LIKE '%7'",
        )
        .await;
    for format in ["csv", "xlsx"] {
        let export = world.export(&process, &json!({ "format": format })).await;
        assert_eq!(export["file"]["rows"], 12_000, "{export:#}");
        let bytes = file(&world, &process, &export).await;
        let path = world.upload(&process, &bytes, &json!({})).await;
        let import = world.over(&process, &path).await;
        let counts = &import["counts"];
        assert_eq!(
            (&counts["accepted"], &counts["rejected"]),
            (&json!(12_000), &json!(0)),
            "{import:#}"
        );
        assert_eq!(
            (&counts["created"], &counts["updated"]),
            (&json!(0), &json!(0)),
            "{format} {import:#}"
        );
    }
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_names_who_is_exported() {
    let world = World::new().await;
    let process = world.process().await;
    three(&world).await;
    for (filter, expected) in [
        (json!({}), 3),
        (json!({ "tags": ["vip"] }), 2),
        (json!({ "tags": ["x", "y"] }), 1),
        (json!({ "attributes": { "city": "Köln" } }), 1),
        (json!({ "source": ["api"] }), 1),
        (json!({ "opted_out": true }), 1),
        (json!({ "opted_out": false, "tags": ["vip"] }), 2),
        (json!({ "created_after": "2027-01-01T00:00:00Z" }), 0),
    ] {
        let export = world.export(&process, &json!({ "filter": filter })).await;
        assert_eq!(export["file"]["rows"], expected, "{filter}");
    }
    let mistyped = json!({ "filter": { "tag": ["vip"] } });
    assert_eq!(world.post(&process, "/v1/contact-exports", &mistyped).await.status, 422);
    let names = world.count("(SELECT DISTINCT file_name FROM contact_exports) AS names").await;
    assert_eq!(names, 8, "no two files have one name");
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_was_not_made_or_has_expired_opens_nothing() {
    let world = World::new().await;
    let process = world.process().await;
    three(&world).await;
    let export = world.export(&process, &json!({})).await;
    let url = export["file"]["url"].as_str().unwrap();
    let forged = url.replace("signature=", "signature=00");
    let id = export["id"].as_str().unwrap();
    let other = world.export(&process, &json!({})).await;
    let moved = url.replace(id, other["id"].as_str().unwrap());
    for link in [forged, moved] {
        let answer = world.call(&process, Who::Nobody, TestRequest::get().uri(&link)).await;
        assert_eq!(answer.outcome(), (404, "not_found"));
    }
    let bare = format!("/v1/contact-exports/{id}/file");
    let answer = world.call(&process, Who::Nobody, TestRequest::get().uri(&bare)).await;
    assert_eq!(answer.outcome(), (401, "key_invalid"));
    world.execute("UPDATE contact_exports SET status = 'expired'").await;
    let answer = world.call(&process, MARKETER, TestRequest::get().uri(&bare)).await;
    assert_eq!(answer.outcome(), (409, "state_conflict"));
    world.end(vec![process]).await;
}
