//! People are found by whatever is known of them, newest first, in pages without gaps.

use actix_web::http::Method;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::world::{Who, World};

/// Keeps somebody, a minute after whoever was kept before.
async fn keep(world: &World, phone: &str, body: &Value) -> String {
    world.clock.advance(TimeDelta::minutes(1));
    let uri = format!("/v1/contacts/by-phone/{phone}");
    let kept = world.send(Who::Admin, Method::PUT, &uri, body).await;
    assert_eq!(kept.status, 201, "{}", kept.body);
    kept.json()["id"].as_str().unwrap().to_owned()
}

/// The names on the first page for a query.
async fn names(world: &World, query: &str) -> Vec<String> {
    let found = world.get(Who::Viewer, &format!("/v1/contacts?{query}")).await;
    let name = |contact: &Value| contact["name"].as_str().unwrap().to_owned();
    found.data().iter().map(name).collect()
}

/// Six people: made at 10:01, 10:02, … in this order.
async fn people() -> World {
    let world = World::new().await;
    let city = |city: &str| json!({ "city": city });
    for (phone, name, attributes) in [
        ("+4915755500001", "Anna-Lena Meier", json!({ "city": "Berlin", "orders": 3 })),
        ("+4915755500002", "Ännchen von Tharau", city("Bonn")),
        ("+4915755500003", "O'Neil, Bob", json!({ "is_member": true, "orders": "3" })),
        ("+351210000004", "Berta Annweiler", city("Berlin")),
        ("+351210000005", "王小明", json!({})),
    ] {
        keep(&world, phone, &json!({ "name": name, "attributes": attributes, "tags": ["all"] }))
            .await;
    }
    world.clock.advance(TimeDelta::minutes(1));
    world.writes("4915755500006").await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_found_by_the_beginnings_of_its_words() {
    let world = people().await;
    for (query, expected) in [
        ("name=anna", vec!["Anna-Lena Meier"]),
        ("name=ann", vec!["Berta Annweiler", "Anna-Lena Meier"]),
        ("name=mei%20an", vec!["Anna-Lena Meier"]),
        ("name=ANN%20ber", vec!["Berta Annweiler"]),
        ("q=o'neil", vec!["O'Neil, Bob"]),
        ("q=neil", vec!["O'Neil, Bob"]),
        ("q=%C3%A4nn", vec!["Ännchen von Tharau"]),
        ("q=%E7%8E%8B", vec!["王小明"]),
        ("q=eier", vec![]),
        ("q=anna%20bob", vec![]),
        // What a query of PostgreSQL's is made of is nothing but between words.
        ("q=a'%20|%20!b:*%20\\ann", vec!["Berta Annweiler"]),
    ] {
        assert_eq!(names(&world, query).await, expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_found_by_its_beginning_however_it_is_written() {
    let world = people().await;
    for (query, count) in [
        ("q=49157", 4),
        ("q=%2B49%20157-555", 4),
        ("q=0049157555", 4),
        ("q=4915755500001", 1),
        ("q=351", 2),
        ("q=999", 0),
    ] {
        let uri = format!("/v1/contacts?{query}");
        assert_eq!(world.get(Who::Viewer, &uri).await.data().len(), count, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_found_as_they_are_written() {
    let world = people().await;
    for (query, expected) in [
        ("attribute=city:Berlin", vec!["Berta Annweiler", "Anna-Lena Meier"]),
        ("attribute=city:Berlin&attribute=orders:3", vec!["Anna-Lena Meier"]),
        ("attribute=orders:3", vec!["O'Neil, Bob", "Anna-Lena Meier"]),
        ("attribute=is_member:true", vec!["O'Neil, Bob"]),
        ("attribute=city:berlin", vec![]),
        ("attribute=city:Berlin&name=berta", vec!["Berta Annweiler"]),
        ("attribute=city:Berlin&tag=none", vec![]),
    ] {
        assert_eq!(names(&world, query).await, expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn source_consent_and_age_narrow_a_list() {
    let world = people().await;
    let lena = world.get(Who::Viewer, "/v1/contacts?source=webhook").await.ids();
    world.post(Who::Admin, &format!("/v1/contacts/{}/opt-out", lena[0]), &Value::Null).await;
    for (query, count) in [
        ("source=api", 5),
        ("source=webhook", 1),
        ("source=api&source=webhook", 6),
        ("source=import", 0),
        ("opted_out=true", 1),
        ("opted_out=false", 5),
        ("created_after=2026-11-22T10:03:00Z", 3),
        ("created_before=2026-11-22T10:03:00Z", 3),
        ("created_after=2026-11-22T10:02:00Z&created_before=2026-11-22T10:04:00Z", 2),
    ] {
        let uri = format!("/v1/contacts?{query}&count=exact");
        let found = world.get(Who::Viewer, &uri).await;
        assert_eq!(
            (found.data().len(), found.json()["count"].clone()),
            (count, json!(count)),
            "{query}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other_without_gaps_newest_first() {
    let world = World::new().await;
    // Some at the same moment: the id decides between them.
    for n in 0..7 {
        let uri = format!("/v1/contacts/by-phone/+491575550000{n}");
        world.send(Who::Admin, Method::PUT, &uri, &json!({ "tags": ["all"] })).await;
        if n % 3 == 0 {
            world.clock.advance(TimeDelta::seconds(1));
        }
    }
    let all = world.get(Who::Viewer, "/v1/contacts").await.ids();
    let mut seen = Vec::new();
    let mut next = Some("/v1/contacts?tag=all&limit=2".to_owned());
    while let Some(uri) = next {
        let page = world.get(Who::Viewer, &uri).await;
        seen.extend(page.ids());
        let link = page.header("link").and_then(|link| link.split_once('>'));
        next = link.map(|(uri, _)| uri.trim_start_matches('<').to_owned());
    }
    assert_eq!((seen.len(), seen), (7, all));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_reads_nobody_and_is_near() {
    let world = World::new().await;
    let rows = format!(
        "INSERT INTO contacts (id, workspace_id, wa_id, source, created_at, updated_at) \
         SELECT gen_random_uuid(), '{}', n::text, 'import', now(), now() FROM generate_series(1, 3000) n",
        world.home.as_uuid()
    );
    world.db.execute(&rows).await.unwrap();
    world.db.execute("ANALYZE contacts").await.unwrap();
    let count = async |query: &str| {
        let page = world.get(Who::Viewer, &format!("/v1/contacts?{query}")).await;
        page.json()["count"].as_i64()
    };
    let about = count("count=estimate").await.unwrap();
    assert!((2_700..=3_300).contains(&about), "{about}");
    assert_eq!(count("count=exact&source=import").await, Some(3_000));
    assert_eq!(count("limit=1").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_looked_for_is_pointed_at() {
    let world = World::new().await;
    for (query, pointer) in [
        ("q=a", "q"),
        ("name=!", "name"),
        ("attribute=city", "attribute"),
        ("source=fax", "source"),
        ("opted_out=maybe", "opted_out"),
        ("created_after=yesterday", "created_after"),
        ("count=roughly", "count"),
        ("cursor=x", "cursor"),
    ] {
        let answer = world.get(Who::Viewer, &format!("/v1/contacts?{query}")).await;
        let pointed = answer.json()["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned();
        assert!(answer.status == 422 && pointed.starts_with(pointer), "{query}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_of_another_workspace_is_found_by_anything() {
    let world = people().await;
    for query in
        ["q=anna", "q=49157", "tag=all", "attribute=city:Berlin", "source=api", "count=exact"]
    {
        let found = world.get(Who::Stranger, &format!("/v1/contacts?{query}")).await;
        assert!(found.data().is_empty(), "{query}");
        assert!(matches!(found.json()["count"].as_i64(), None | Some(0)), "{query}");
    }
}
