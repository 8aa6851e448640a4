//! The broker goes away, and comes back.

use std::time::Duration;

use testkit::{Servers, eventually};
use tokio::time::Instant;

use crate::bodies::messages;
use crate::client::Request;
use crate::proxy::{Proxy, State};
use crate::stand::{PATH, SECRET, Setup, with_stand};

const PUBLISH_DEADLINE: Duration = Duration::from_secs(1);
/// What a busy machine adds.
const SLACK: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_the_answer_is_503_in_time_and_with_it_200_again() {
    let servers = Servers::from_env();
    let at = servers.amqp_url.split(['@', '/']).nth(3).unwrap().to_owned();
    let proxy = Proxy::before(at.clone()).await;
    let amqp_url = servers.amqp_url.replace(&at, &format!("127.0.0.1:{}", proxy.port));
    let setup = Setup { amqp_url, publish_deadline: PUBLISH_DEADLINE, ..Setup::default() };
    with_stand(setup, async move |stand| {
        let request = Request::signed(PATH, SECRET, messages("290184457761305", &["49157"]));
        assert_eq!(request.send(stand.address).await.status, 200);

        for state in [State::Stalled, State::Cut] {
            proxy.set(state);
            for _ in 0..3 {
                let begun = Instant::now();
                let answer = request.send(stand.address).await;
                assert!(begun.elapsed() < PUBLISH_DEADLINE + SLACK, "{:?}", begun.elapsed());
                assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
                assert!(!answer.body.contains("amqp"), "no cause is told: {}", answer.body);
            }
        }

        proxy.set(State::Open);
        eventually("webhooks are taken again", async || {
            (request.send(stand.address).await.status == 200).then_some(())
        })
        .await;
        let kept = stand.kept().await;
        // Meta delivers what was answered 503 again; the broker may have had it all the same.
        assert!(kept.len() >= 2, "{}", kept.len());
        let id = uuid::Uuid::from_slice(&kept[0].event.event_id).unwrap().to_string();
        assert!(kept.iter().all(|kept| kept.message_id == id), "known as copies of one event");
    })
    .await;
}
