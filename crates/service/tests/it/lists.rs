//! Pages.

use actix_web::test::TestRequest;
use insta::assert_snapshot;
use serde_json::Value;

use crate::api::call;

#[actix_web::test]
async fn following_next_visits_everything_once_and_in_order() {
    let mut seen = Vec::new();
    let mut uri = "/v1/numbers?status=a&limit=50&status=b".to_owned();
    loop {
        let answer = call(TestRequest::get().uri(&uri)).await;
        let page: Value = serde_json::from_str(&answer.body).unwrap();
        seen.extend(page["data"].as_array().unwrap().iter().cloned());
        match answer.header("link") {
            Some(link) => {
                assert_eq!(page["has_more"], true);
                let (next, rel) = link.split_once(">; ").unwrap();
                assert_eq!(rel, "rel=\"next\"");
                uri = next.trim_start_matches('<').to_owned();
            }
            None => {
                assert_eq!(
                    (&page["has_more"], &page["next_cursor"]),
                    (&false.into(), &Value::Null)
                );
                break;
            }
        }
    }
    let wanted: Vec<Value> = (1..=120).map(|n| format!("{n}ab").into()).collect();
    assert_eq!(seen, wanted);
}

#[actix_web::test]
async fn a_page_has_fifty_things_unless_told() {
    let answer = call(TestRequest::get().uri("/v1/numbers")).await;
    let page: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(page["data"].as_array().unwrap().len(), 50);
    assert_snapshot!("page", call(TestRequest::get().uri("/v1/numbers?limit=2")).await.shown());
}
