//! Files of numbers.

use actix_web::http::Method;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::world::{Extra, MARKETER, World, uuid, with_api};

async fn lines(world: &World, path: &str) -> String {
    let sql = format!(
        "SELECT string_agg(concat_ws('|', line, wa_id, name, attributes), ' ' ORDER BY line) AS text \
         FROM campaign_uploads WHERE campaign_id = '{}'",
        uuid(path)
    );
    world.db.text(&sql).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_taken_and_its_bad_lines_are_told_one_by_one() {
    with_api(async |world| {
        let path = world.drafted().await;
        let file = "phone;name;city\n+49 157 55512345;Ada;Berlin\nhello;Bob;\n0049157 55512346;;\n\
                    +4915755512347;\"open;x\n";
        let answer = world.upload(&path, file).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!((&answer.body["accepted"], &answer.body["rejected"]), (&json!(2), &json!(2)));
        let errors = answer.body["errors"].as_array().unwrap();
        let told: Vec<_> = errors.iter().map(|error| (&error["line"], &error["code"])).collect();
        let (three, five) = (json!(3), json!(5));
        let (phone, quote) = (json!("invalid_phone"), json!("quote_not_closed"));
        assert_eq!(told, [(&three, &phone), (&five, &quote)]);
        let stored = lines(world, &path).await;
        assert_eq!(stored, "2|4915755512345|Ada|{\"city\": \"Berlin\"} 4|4915755512346|{}");
        let campaign = world.get(&path).await;
        assert_eq!(campaign.body["audience"], json!({ "tags": ["vip"], "upload": true }));
        assert_eq!(campaign.header("etag"), answer.header("etag"));

        let answer = world.upload(&path, "+4915755512399\n").await;
        assert_eq!(answer.body["accepted"], 1, "{}", answer.body);
        assert_eq!(
            lines(world, &path).await,
            "1|4915755512399|{}",
            "the new file replaces the old"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_stored_whole() {
    with_api(async |world| {
        let path = world.drafted().await;
        let file: String = (0..20_001).map(|n| format!("+491575{n:07}\r\n")).collect();
        let answer = world.upload(&path, file).await;
        assert_eq!(answer.body["accepted"], 20_001, "{}", answer.body);
        assert_eq!(world.count("campaign_uploads").await, 20_001);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_anybody_counts_for_nothing() {
    with_api(async |world| {
        let path = world.drafted().await;
        let utf_16: Vec<u8> =
            [0xff, 0xfe].into_iter().chain("+49157".bytes().flat_map(|b| [b, 0])).collect();
        assert_eq!(world.upload(&path, utf_16).await.outcome(), (415, "unsupported_media"));
        for file in ["", "phone\n", "hello\n\"\n", "\u{0}\n", &"x".repeat(100_000)] {
            let answer = world.upload(&path, file).await;
            assert_eq!(answer.outcome(), (422, "validation_failed"), "{}", answer.body);
        }
        let json_type = vec![("content-type", "application/json".to_owned())];
        let extra = Extra { bytes: Some(b"[]".to_vec()), headers: json_type, ..Extra::default() };
        let answer =
            world.call(MARKETER, Method::PUT, &format!("{path}/audience/file"), extra).await;
        assert_eq!(answer.outcome(), (415, "unsupported_media"));
        assert_eq!(world.get(&path).await.body["audience"]["upload"], Value::Null);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_files_sent_at_once_one_is_used_whole() {
    with_api(async |world| {
        let path = world.drafted().await;
        let files = (0..4).map(|file| {
            let lines = (0..4_500).map(|n| format!("+49157{file}{n:07}\n"));
            world.upload(&path, lines.collect::<String>())
        });
        let answers = join_all(files).await;
        let taken = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(taken, 1, "{:?}", answers.iter().map(|a| a.outcome()).collect::<Vec<_>>());
        assert_eq!(world.count("campaign_uploads").await, 4_500);
        let files = "(SELECT DISTINCT left(wa_id, 6) FROM campaign_uploads) AS f";
        assert_eq!(world.count(files).await, 1);
    })
    .await;
}
