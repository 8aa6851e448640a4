//! Webhooks, an import, a campaign and programs meet in the same people.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::http::Method;
use diesel::sql_types::{Array, Text};
use diesel_async::{AsyncConnection, RunQueryDsl};
use futures_util::future::{join_all, try_join_all};
use kernel::{UserId, WaId};
use serde_json::json;
use storage::contacts::{self, Consent, ConsentSource, Declaration, Sighting};
use storage::{AsyncPgConnection, StorageError};

use crate::world::{Who, World, start};

const PEOPLE: usize = 40;
const ROUNDS: usize = 6;

#[derive(diesel::QueryableByName)]
struct Made {
    #[diesel(sql_type = Text)]
    wa_id: String,
}

/// Everybody, beginning with another one for each who asks.
fn numbers(first: usize) -> Vec<String> {
    let mut numbers: Vec<String> = (0..PEOPLE).map(|n| format!("49157555{n:05}")).collect();
    numbers.rotate_left(first % PEOPLE);
    numbers
}

/// A batch of webhooks, some of which say STOP; answers with whom it made.
async fn webhooks(world: &World, round: usize) -> Result<Vec<String>, StorageError> {
    let numbers = numbers(round * 7);
    let sightings: Vec<Sighting> = numbers
        .iter()
        .map(|number| Sighting {
            workspace_id: world.home,
            wa_id: Some(WaId::new(number)),
            user_id: (round % 2 == 1).then(|| UserId::new(format!("DE.{number}"))),
            name: Some(format!("Round {round}")),
        })
        .collect();
    let declared = (0..PEOPLE).filter(|at| at % 5 == round % 5).map(|at| {
        let consent = if round.is_multiple_of(2) { Consent::Withdrawn } else { Consent::Given };
        let source = ConsentSource::Keyword;
        let declaration = Declaration {
            consent,
            source,
            text: None,
            actor: None,
            connection_id: None,
            said_at: start(),
        };
        (at, declaration)
    });
    let mut conn = world.db.database().connection().await?;
    let (met, _) = (*conn)
        .transaction(async |tx| contacts::hear(tx, &sightings, declared.collect(), start()).await)
        .await?;
    let made = numbers.into_iter().zip(met).filter(|(_, person)| person.is_new);
    Ok(made.map(|(number, _)| number).collect())
}

/// Whoever is new first, in the order of numbers; then whoever was there, in the order of ids.
async fn import(world: &World, round: usize) -> Result<Vec<String>, StorageError> {
    let (numbers, workspace) = (numbers(round * 11), world.home.as_uuid());
    let insert = format!(
        "INSERT INTO contacts (id, workspace_id, wa_id, source, created_at, updated_at) \
         SELECT gen_random_uuid(), '{workspace}', n, 'import', now(), now() FROM unnest($1) n ORDER BY n \
         ON CONFLICT DO NOTHING RETURNING wa_id"
    );
    let update = format!(
        "WITH theirs AS (SELECT id FROM contacts WHERE workspace_id = '{workspace}' AND wa_id = ANY($1) \
            ORDER BY id FOR UPDATE) \
         UPDATE contacts c SET tags = ARRAY['imported'] FROM theirs WHERE c.id = theirs.id"
    );
    let mut conn = world.db.database().connection().await?;
    (*conn)
        .transaction(async |tx| {
            let made = of_numbers(tx, &insert, &numbers).await?;
            diesel::sql_query(&update).bind::<Array<Text>, _>(&numbers).execute(tx).await?;
            Ok(made)
        })
        .await
}

/// A campaign's audience of numbers: made, then held while their chunk is fed.
async fn campaign(world: &World, round: usize) -> Result<Vec<String>, StorageError> {
    let (numbers, workspace) = (numbers(round * 13), world.home.as_uuid());
    let insert = format!(
        "INSERT INTO contacts (id, workspace_id, wa_id, source, created_at, updated_at) \
         SELECT gen_random_uuid(), '{workspace}', n, 'campaign', now(), now() FROM unnest($1) n \
         ORDER BY n ON CONFLICT DO NOTHING RETURNING wa_id"
    );
    let keep = format!(
        "SELECT wa_id FROM contacts WHERE workspace_id = '{workspace}' AND wa_id = ANY($1) \
         ORDER BY id FOR NO KEY UPDATE"
    );
    let mut conn = world.db.database().connection().await?;
    let made = of_numbers(&mut conn, &insert, &numbers).await?;
    (*conn)
        .transaction(async |tx| {
            let kept = of_numbers(tx, &keep, &numbers).await?;
            assert_eq!(kept.len(), PEOPLE);
            Ok(made)
        })
        .await
}

async fn of_numbers(
    conn: &mut AsyncPgConnection,
    sql: &str,
    numbers: &[String],
) -> Result<Vec<String>, StorageError> {
    let rows: Vec<Made> = diesel::sql_query(sql).bind::<Array<Text>, _>(numbers).load(conn).await?;
    Ok(rows.into_iter().map(|row| row.wa_id).collect())
}

/// A program brings everybody, one by one.
async fn program(world: &World, round: usize) -> Result<Vec<String>, StorageError> {
    let mut made = Vec::new();
    for number in numbers(round * 17) {
        let uri = format!("/v1/contacts/by-phone/+{number}");
        let body = json!({ "attributes": { format!("a{round}"): round } });
        let answer = world.send(Who::Admin, Method::PUT, &uri, &body).await;
        assert!(matches!(answer.status, 200 | 201), "{}", answer.body);
        if answer.status == 201 {
            made.push(number);
        }
    }
    Ok(made)
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_made_once_keeps_the_source_of_the_first_and_nobody_waits_in_a_circle() {
    let world = World::new().await;
    let all = async {
        let webhooks = try_join_all((0..ROUNDS).map(|round| webhooks(&world, round)));
        let imports = try_join_all((0..ROUNDS).map(|round| import(&world, round)));
        let campaigns = try_join_all((0..ROUNDS).map(|round| campaign(&world, round)));
        let programs = try_join_all((0..2).map(|round| program(&world, round)));
        tokio::join!(webhooks, imports, campaigns, programs)
    };
    let (webhooks, imports, campaigns, programs) =
        tokio::time::timeout(Duration::from_secs(60), all).await.unwrap();
    // A circle would have ended in an error: PostgreSQL takes one of those who wait out of it.
    let by_source = [
        ("webhook", webhooks.unwrap()),
        ("import", imports.unwrap()),
        ("campaign", campaigns.unwrap()),
        ("api", programs.unwrap()),
    ];
    let mut makers: BTreeMap<String, &str> = BTreeMap::new();
    for (source, made) in by_source {
        for number in made.into_iter().flatten() {
            assert_eq!(makers.insert(number, source), None, "made twice");
        }
    }
    assert_eq!(makers.len(), PEOPLE);
    let stored = world.db.text(
        "SELECT string_agg(wa_id || ' ' || source, E'\n' ORDER BY wa_id) AS text FROM contacts",
    );
    let expected: Vec<String> =
        makers.iter().map(|(number, source)| format!("{number} {source}")).collect();
    assert_eq!(stored.await.unwrap(), expected.join("\n"));
    let attributes =
        "SELECT count(*) AS count FROM contacts WHERE attributes = '{\"a0\": 0, \"a1\": 1}'";
    assert_eq!(world.db.count(attributes).await.unwrap(), i64::try_from(PEOPLE).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_two_ways_to_write_a_number_of_brazil_or_mexico_are_one_person() {
    let world = World::new().await;
    let tries = (0..20).map(|n| {
        let number = ["+5511987654321", "+551187654321"][n % 2];
        let world = &world;
        async move {
            let uri = format!("/v1/contacts/by-phone/{number}");
            world.send(Who::Admin, Method::PUT, &uri, &json!({})).await.status
        }
    });
    let mut made = join_all(tries).await;
    made.retain(|status| *status == 201);
    // Meta names the same person in the old way.
    world.writes("551187654321").await;
    world.writes("5215512345678").await;
    assert_eq!(made.len(), 1);
    for (asked, shown) in [
        ("551187654321", "+5511987654321"),
        ("5511987654321", "+5511987654321"),
        ("525512345678", "+525512345678"),
        ("5215512345678", "+525512345678"),
    ] {
        let found = world.get(Who::Viewer, &format!("/v1/contacts?phone=%2B{asked}")).await.data();
        assert_eq!((found.len(), &found[0]["phone"]), (1, &json!(shown)), "{asked}");
        let found = world.get(Who::Viewer, &format!("/v1/contacts?q={asked}")).await.data();
        assert_eq!(found.len(), 1, "{asked}");
    }
}
