//! What an import makes of a file.

use serde_json::{Value, json};
use testkit::eventually;

use super::world::{World, many};

fn counts(import: &Value) -> [i64; 6] {
    ["accepted", "rejected", "duplicates", "created", "updated", "unchanged"]
        .map(|name| import["counts"][name].as_i64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_becomes_contacts_and_says_what_became_of_it() {
    let world = World::new().await;
    let process = world.process().await;
    let file = "Handy;Vorname;Nachname;Stadt\n+49 155 00000001;Ada;Lovelace;London\n0155 00000002;Bob;;\nx;Eve;;\n";
    let options = json!({ "tags": ["vip", "berlin"], "default_country": "DE" });
    let import = world.import(&process, file, &options).await;
    assert_eq!(import["status"], "completed", "{import:#}");
    assert_eq!(counts(&import), [2, 1, 0, 2, 0, 0]);
    assert_eq!(import["understood"]["delimiter"], ";");
    assert_eq!(import["progress"]["done"], import["file"]["bytes"]);
    let ada = "Ada Lovelace {berlin,vip} {\"stadt\": \"London\"} import";
    assert_eq!(world.contact("4915500000001").await, ada);
    assert_eq!(world.contact("4915500000002").await, "Bob {berlin,vip} {} import");
    assert_eq!(world.count("events WHERE type = 'import.completed'").await, 1);
    eventually("the upload is gone", async || world.files("imports").is_empty().then_some(()))
        .await;
    // Once more: nothing changes.
    let again = world.import(&process, file, &options).await;
    assert_eq!(counts(&again), [2, 1, 0, 0, 0, 2]);
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_known_is_updated_kept_or_filled_and_keeps_their_source() {
    let world = World::new().await;
    let process = world.process().await;
    let file = "phone,name,city,plan\n+4915500000001,New,,gold\n+4915500000002,Other,Rome,\n";
    for (on_conflict, expected) in [
        ("update", "New {a,vip} {\"city\": \"Paris\", \"plan\": \"gold\"} webhook"),
        ("fill_empty", "Old {a,vip} {\"city\": \"Paris\", \"plan\": \"gold\"} webhook"),
        ("skip", "Old {a} {\"city\": \"Paris\"} webhook"),
    ] {
        world.execute("DELETE FROM contacts").await;
        world.known("4915500000001", "Old", "{a}", "{\"city\": \"Paris\"}").await;
        let options = json!({ "on_conflict": on_conflict, "tags": ["vip"] });
        // What it would do, then what it does.
        let would = json!({ "on_conflict": on_conflict, "tags": ["vip"], "dry_run": true });
        let foreseen = counts(&world.import(&process, file, &would).await);
        assert_eq!(world.count("contacts").await, 1, "a dry run changes nothing");
        let import = world.import(&process, file, &options).await;
        assert_eq!(counts(&import), foreseen, "{on_conflict}");
        assert_eq!(world.contact("4915500000001").await, expected, "{on_conflict}");
        let other = "Other {vip} {\"city\": \"Rome\"} import";
        assert_eq!(world.contact("4915500000002").await, other, "{on_conflict}");
    }
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_one_number_become_one_person() {
    let world = World::new().await;
    let process = world.process().await;
    let file = "phone,name,tags,city,plan\n\
                +4915500000001,Ada,a,Rome,\n\
                +4915500000002,Bob,,,\n\
                004915500000001,,\"b,c\",Paris,gold\n\
                +55 11 8765-4321,Ana,,,\n\
                +55 11 98765-4321,,br,,\n";
    let import = world.import(&process, file, &json!({ "tags": ["z"] })).await;
    assert_eq!(counts(&import), [5, 0, 2, 3, 0, 0]);
    let ada = "Ada {a,b,c,z} {\"city\": \"Paris\", \"plan\": \"gold\"} import";
    assert_eq!(world.contact("4915500000001").await, ada);
    assert_eq!(world.contact("5511987654321").await, "Ana {br,z} {} import");
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_many_people_is_imported_whole() {
    let world = World::new().await;
    let process = world.process().await;
    for n in 0..50 {
        world.known(&format!("49155{n:08}"), "", "{}", "{}").await;
    }
    let import = world.import(&process, &many(30_000), &json!({})).await;
    assert_eq!(counts(&import), [30_000, 0, 0, 29_950, 50, 0]);
    assert_eq!(world.count("contacts WHERE source = 'webhook' AND name IS NOT NULL").await, 50);
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_out_comes_back_with_line_and_reason() {
    let world = World::new().await;
    let process = world.process().await;
    let file = "phone,name\n+4915500000001,Ada\nx,=Eve\n+49,\"Bob, B\"\n";
    let path = world.upload(&process, file.as_bytes(), &json!({})).await;
    world.over(&process, &path).await;
    let request = actix_web::test::TestRequest::get().uri(&format!("{path}/rejects?limit=1"));
    let page = world.call(&process, super::world::MARKETER, request).await;
    assert_eq!(page.body["data"][0]["line"], 3);
    assert_eq!(page.body["data"][0]["code"], "phone_invalid");
    assert_eq!(page.body["has_more"], true);
    let uri = format!("{path}/rejects");
    let request =
        actix_web::test::TestRequest::get().uri(&uri).insert_header(("accept", "text/csv"));
    let csv = world.call(&process, super::world::MARKETER, request).await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    let lines: Vec<&str> = csv.text.lines().collect();
    assert_eq!(lines.len(), 3, "{}", csv.text);
    assert_eq!(lines[0], "line,code,reason,record");
    assert!(lines[1].starts_with("3,phone_invalid,\"'x' is not a phone number"), "{}", lines[1]);
    assert!(lines[2].starts_with("4,phone_too_short,"), "{}", lines[2]);
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_used_changes_nothing_and_says_why() {
    let world = World::new().await;
    let process = world.process().await;
    for (file, code) in [
        ("name,city\nAda,London\n", "no_phone_column"),
        ("phone,name\n", "nobody"),
        ("phone,name\nx,Ada\ny,Bob\n", "nobody"),
        ("%PDF-1.7", "unknown_format"),
        ("", "empty_file"),
    ] {
        let import = world.import(&process, file, &json!({})).await;
        assert_eq!((&import["status"], &import["error"]["code"]), (&json!("failed"), &json!(code)));
        assert!(import["error"]["detail"].as_str().unwrap().len() > 15, "{import:#}");
    }
    assert_eq!(world.count("contacts").await, 0);
    assert_eq!(world.count("contact_import_rejects").await, 2);
    assert_eq!(world.count("events WHERE type = 'import.completed'").await, 5);
    world.end(vec![process]).await;
}
