//! R4: the surplus of a noisy connection.

use kernel::ids::ConnectionId;
use kernel::{Clock, PhoneNumberId, SystemClock, WabaId};
use messaging::Family;
use serde_json::json;
use storage::connections::{self, Limits, NewConnection};
use testkit::TestDatabase;

use crate::bodies::{change, messages, text_of, webhook};
use crate::client::Request;
use crate::stand::{Kept, PATH, SECRET, Setup, Stand, with_stand};
use crate::tenants::{TOKEN, tenant};

const NOISY: &str = "290184457761305";
const REFUSING: &str = "290184457761306";
const QUIET: &str = "290184457761307";

/// A door that knows three connections: 4 events a minute for the first two, 100 for the third.
async fn with_connections<F: Future<Output = ()>>(test: impl FnOnce(std::sync::Arc<Stand>) -> F) {
    let database = TestDatabase::create().await.unwrap();
    let (workspace_id, _) = tenant(database.database(), "acme").await;
    let mut conn = database.database().connection().await.unwrap();
    for (number, per_minute, over_limit) in
        [(NOISY, Some(4), None), (REFUSING, Some(4), Some("refuse")), (QUIET, None, None)]
    {
        let new = NewConnection {
            id: ConnectionId::new(),
            workspace_id,
            name: number.to_owned(),
            phone_number_id: PhoneNumberId::new(number),
            waba_id: WabaId::new("318264501773920"),
            display_phone_number: None,
            access_token_sealed: vec![1],
            limits: Limits {
                webhook_per_minute: per_minute,
                webhook_over_limit: over_limit.map(str::to_owned),
                ..Limits::default()
            },
        };
        connections::insert(&mut conn, new, SystemClock.now()).await.unwrap();
    }
    let setup = Setup { database: database.database().clone(), ..Setup::default() };
    with_stand(setup, async move |stand| {
        stand.knows(&format!("{PATH}/acme"), TOKEN).await;
        test(stand).await;
    })
    .await;
}

/// Positions of the events of `family`, in the order of their queue and by number.
fn positions(kept: &[Kept], number: &str, family: Family) -> Vec<u32> {
    let mut positions: Vec<u32> = kept
        .iter()
        .filter(|kept| kept.family == family && kept.event.phone_number_id == number)
        .map(|kept| text_of(&kept.event.item).parse().unwrap())
        .collect();
    positions.sort_unstable();
    positions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_surplus_of_a_connection_takes_the_slow_lane_and_no_other_connection_notices() {
    with_connections(async |stand| {
        let people = ["491", "492", "493", "491", "492", "493", "491"];
        let noisy = &messages(NOISY, &people);
        assert_eq!(stand.post(noisy).await, 200);
        assert_eq!(stand.post(messages(QUIET, &people)).await, 200);
        assert_eq!(stand.post(messages("unknown", &people)).await, 200);
        let kept = stand.kept().await;
        // The first ones go fast and the end of the POST goes slow: nobody overtakes himself.
        assert_eq!(positions(&kept, NOISY, Family::Webhooks), [0, 1, 2, 3]);
        assert_eq!(positions(&kept, NOISY, Family::WebhooksSlow), [4, 5, 6]);
        assert_eq!(positions(&kept, QUIET, Family::Webhooks).len(), people.len());
        assert_eq!(positions(&kept, "unknown", Family::Webhooks).len(), people.len());
        let of_one: Vec<u32> = kept
            .iter()
            .filter(|kept| kept.family == Family::WebhooksSlow)
            .filter(|kept| String::from_utf8_lossy(&kept.event.item).contains("\"from\":\"492\""))
            .map(|kept| text_of(&kept.event.item).parse().unwrap())
            .collect();
        assert_eq!(of_one, [4]);

        assert_eq!(stand.post(noisy).await, 200);
        let kept = stand.kept().await;
        assert_eq!(positions(&kept, NOISY, Family::WebhooksSlow), [0, 1, 2, 3, 4, 5, 6]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_refuses_its_surplus_gets_nothing_of_the_post_published() {
    with_connections(async |stand| {
        assert_eq!(stand.post(messages(REFUSING, &["491", "492", "493"])).await, 200);
        assert_eq!(stand.kept().await.len(), 3);

        let both = webhook(&[
            change(QUIET, &json!({ "messages": [{ "from": "499", "id": "wamid.q" }] })),
            change(
                REFUSING,
                &json!({ "statuses": [
                { "id": "wamid.1", "status": "sent", "recipient_id": "491" },
                { "id": "wamid.1", "status": "read", "recipient_id": "491" },
            ] }),
            ),
        ]);
        let answer = Request::signed(PATH, SECRET, &both).send(stand.address).await;
        assert_eq!(answer.status, 429);
        let seconds: u32 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
        assert!(stand.kept().await.is_empty());

        assert_eq!(stand.post(messages(REFUSING, &["494"])).await, 200, "there was room for one");
        assert_eq!(stand.kept().await.len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_larger_than_the_limit_itself_is_not_refused_for_ever() {
    with_connections(async |stand| {
        let people = ["491"; 10];
        assert_eq!(stand.post(messages(REFUSING, &people)).await, 200);
        assert_eq!(stand.kept().await.len(), people.len());
        assert_eq!(stand.post(messages(REFUSING, &["491"])).await, 429);
    })
    .await;
}
