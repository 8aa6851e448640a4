//! The load generator counts what it was told.

use std::collections::HashSet;
use std::time::Duration;

use graph_simulator::{FloodError, FloodOptions, Load, Number, Until, flood};

use crate::receiver::{Receiver, SECRET, hmac};

fn options(receiver: &Receiver) -> FloodOptions {
    FloodOptions {
        targets: vec![receiver.url()],
        app_secret: SECRET.to_owned(),
        numbers: vec![Number::new("1", "111"), Number::new("1", "222")],
        persons: 10,
        per_post: 3,
        load: Load::Closed { connections: 4 },
        until: Until::Posts(200),
        prepared: 100,
        ..FloodOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_flood_delivers_each_message_once_and_tells_refusals() {
    let receiver = Receiver::start();
    receiver.answer(&[503, 503]);
    let report = flood(options(&receiver)).await.unwrap();
    assert_eq!((report.posts, report.acknowledged, report.events), (200, 198, 594));
    assert_eq!(report.refused, [(503, 2)].into());
    assert!(report.p50_us > 0 && report.p50_us <= report.p99_us && report.p99_us <= report.max_us);
    let posts = receiver.posts();
    assert!(posts.iter().all(|post| post.signature == hmac(SECRET, &post.body)));
    let ids: HashSet<String> =
        receiver.messages().iter().map(|message| message["id"].to_string()).collect();
    assert_eq!((posts.len(), ids.len()), (200, 600));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_flood_keeps_its_rate() {
    let receiver = Receiver::start();
    let load = Load::Rate { per_second: 200.0, connections: 4 };
    let until = Until::Elapsed(Duration::from_millis(500));
    let report = flood(FloodOptions { load, until, ..options(&receiver) }).await.unwrap();
    assert!((50..=100).contains(&report.posts), "{}", report.posts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_against_nobody_ends_and_says_so() {
    let receiver = Receiver::start();
    let options = FloodOptions { until: Until::Posts(8), ..options(&receiver) };
    drop(receiver);
    let report = flood(options.clone()).await.unwrap();
    assert_eq!((report.posts, report.events), (8, report.acknowledged * 3));
    assert_eq!(report.unreachable, 8);
    let nobody = flood(FloodOptions { persons: 0, ..options }).await;
    assert!(matches!(nobody, Err(FloodError::Nothing)));
}
