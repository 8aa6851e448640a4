//! The end of the process.

use std::time::Duration;

use actix_web::test::{TestRequest, call_service, init_service};
use settings::SecretString;
use testkit::eventually;
use tokio::time::timeout;
use whatsapp::signature::sign;

use crate::bodies::messages;
use crate::client::{Request, Socket};
use crate::stand::{PATH, SECRET, Setup, with_stand};

fn body() -> Vec<u8> {
    messages("290184457761305", &["4915755512345"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_in_hand_is_kept_and_answered_although_the_process_is_stopping() {
    with_stand(Setup::default(), async move |stand| {
        let whole = Request::signed(PATH, SECRET, body()).bytes();
        let (first, rest) = whole.split_at(whole.len() - 20);
        let mut socket = Socket::open(stand.address).await;
        socket.write(first).await;
        // A second request shows that the first one has arrived: connections are taken in order.
        assert_eq!(stand.post(body()).await, 200);
        let drained = timeout(Duration::from_millis(200), stand.ingest.drained()).await;
        assert!(drained.is_err(), "nobody has asked for the end");

        stand.life.stop();
        let drained = timeout(Duration::from_millis(200), stand.ingest.drained()).await;
        assert!(drained.is_err(), "a POST is in hand");
        socket.write(rest).await;
        assert_eq!(socket.answer().await.status, 200);
        stand.ingest.drained().await;
        assert_eq!(stand.kept().await.len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_process_sends_new_posts_elsewhere() {
    with_stand(Setup::default(), async move |stand| {
        let routes = stand.ingest.clone();
        stand.life.stop();
        let app = init_service(service::app(&|config| routes.routes(config))).await;
        let signature = sign(&SecretString::from(SECRET), &body()).unwrap();
        let request = TestRequest::post()
            .uri(PATH)
            .insert_header(("X-Hub-Signature-256", signature))
            .set_payload(body());
        let answer = call_service(&app, request.to_request()).await;
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers().get("retry-after").unwrap(), "1");
        stand.ingest.drained().await;
        assert!(stand.kept().await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_follows_the_publishing_connection() {
    with_stand(Setup::default(), async move |stand| {
        let health = stand.ingest.checked_by(service::Health::new(&stand.life));
        let app = init_service(service::app(&|config| health.routes(config))).await;
        let status = async || {
            call_service(&app, TestRequest::get().uri("/readyz").to_request())
                .await
                .status()
                .as_u16()
        };
        assert_eq!(status().await, 200);
        stand.stop_broker.cancel();
        eventually("not ready", async || (status().await == 503).then_some(())).await;
        assert_eq!(stand.post(body()).await, 503);
    })
    .await;
}
