//! The handshake by which Meta verifies the address.

use crate::client::Request;
use crate::stand::{PATH, Setup, VERIFY_TOKEN, with_stand};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_knows_the_token_gets_the_challenge_back_and_only_as_plain_text() {
    let right = format!("hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}");
    let longest = "a".repeat(128);
    let cases = [
        (format!("{right}&hub.challenge=1158201444"), 200),
        (format!("hub.challenge=Az_-09&{right}"), 200),
        (format!("{right}&hub.challenge={longest}"), 200),
        (format!("{right}&hub.challenge={longest}a"), 400),
        (format!("{right}&hub.challenge=%3Cscript%3E"), 400),
        (format!("{right}&hub.challenge=a%0D%0Ab"), 400),
        (format!("{right}&hub.challenge=a+b"), 400),
        (format!("{right}&hub.challenge="), 400),
        (right.clone(), 400),
        (format!("hub.mode=unsubscribe&hub.verify_token={VERIFY_TOKEN}&hub.challenge=1"), 403),
        (format!("hub.verify_token={VERIFY_TOKEN}&hub.challenge=1"), 403),
        ("hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1".to_owned(), 403),
        (format!("hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}x&hub.challenge=1"), 403),
        ("hub.mode=subscribe&hub.verify_token=&hub.challenge=1".to_owned(), 403),
        ("hub.mode=subscribe&hub.challenge=1".to_owned(), 403),
        (format!("{right}&hub.verify_token={VERIFY_TOKEN}&hub.challenge=1"), 403),
        (String::new(), 403),
    ];
    with_stand(Setup::default(), async move |stand| {
        for (query, status) in cases {
            let answer = Request::new("GET", &format!("{PATH}?{query}")).send(stand.address).await;
            assert_eq!(answer.status, status, "{query}");
            if status == 200 {
                let challenge =
                    query.split('&').find_map(|part| part.strip_prefix("hub.challenge="));
                assert_eq!(Some(answer.body.as_str()), challenge);
                assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
                assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            } else {
                assert_eq!(answer.header("content-type"), Some("application/problem+json"));
                assert!(!answer.body.contains("script"), "{}", answer.body);
            }
        }
        let unknown = format!("{PATH}/nobody?{right}&hub.challenge=1");
        assert_eq!(Request::new("GET", &unknown).send(stand.address).await.status, 404);
    })
    .await;
}
