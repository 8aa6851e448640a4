//! Bodies as large as Meta sends them.

use std::sync::Arc;

use crate::bodies::{change, text_of, webhook};
use crate::client::Request;
use crate::stand::{PATH, SECRET, Setup, with_stand};
use serde_json::json;
use testkit::eventually;

/// 100 messages of five people, with texts of `length` bytes after their number.
fn large(length: usize) -> Vec<u8> {
    let messages: Vec<_> = (0..100)
        .map(|at| {
            let text = format!("{at} {}", "x".repeat(length));
            json!({
                "from": format!("49157555123{}", at % 5), "id": format!("wamid.{at}"),
                "type": "text", "text": { "body": text },
            })
        })
        .collect();
    webhook(&[change("290184457761305", &json!({ "messages": messages }))])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_post_of_meta_is_taken_whole_and_everybodys_events_keep_their_order() {
    with_stand(Setup::default(), async move |stand| {
        let body = large(30_000);
        assert!((3_000_000..4 << 20).contains(&body.len()), "{}", body.len());
        assert_eq!(stand.post(&body).await, 200);
        let kept = stand.kept().await;
        assert_eq!(kept.len(), 100);
        for person in 0..5 {
            let from = format!("\"from\":\"49157555123{person}\"");
            let numbers: Vec<u32> = kept
                .iter()
                .filter(|kept| String::from_utf8_lossy(&kept.event.item).contains(&from))
                .map(|kept| text_of(&kept.event.item).split(' ').next().unwrap().parse().unwrap())
                .collect();
            assert_eq!(numbers, (0..100).filter(|at| at % 5 == person).collect::<Vec<_>>());
        }
        let body = "x".repeat((4 << 20) + 1);
        assert_eq!(stand.post(&body).await, 413, "the default limit is 4 MiB");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_large_bodies_than_are_worked_on_at_once_are_all_answered() {
    with_stand(Setup::default(), async move |stand| {
        let body = Arc::new(large(3_000));
        assert!(body.len() > 256 * 1024);
        let posts = (0..24).map(|at| {
            // Every third one is forged.
            let secret = if at % 3 == 0 { "another secret" } else { SECRET };
            let request = Request::signed(PATH, secret, &*body);
            let address = stand.address;
            async move { (at % 3 == 0, request.send(address).await.status) }
        });
        for (is_forged, status) in futures_util::future::join_all(posts).await {
            assert_eq!(status, if is_forged { 401 } else { 200 });
        }
        let kept = eventually("everything is kept", async || {
            let kept = stand.kept().await.len();
            (kept > 0).then_some(kept)
        });
        assert_eq!(kept.await, 16 * 100);
    })
    .await;
}
