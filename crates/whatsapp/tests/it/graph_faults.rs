//! What the client says after each fault, against what the server really received.
//!
//! "Not sent" must never be said of a request that the server has complete.

mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use kernel::{PhoneNumberId, WaId};
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};
use whatsapp::ErrorClass;
use whatsapp::graph::{
    Content, DoubtReason, GraphClient, GraphOptions, GraphSetupError, HeldBack, NotSentReason,
    Recipient, SendOutcome, SendRequest,
};

pub(crate) use self::server::{Fault, Server};

/// A client with short times, so that a test of a time-out is short too.
pub(crate) fn client(root: &str) -> GraphClient {
    GraphClient::new(&options(root)).unwrap()
}

fn options(root: &str) -> GraphOptions {
    GraphOptions {
        connect_timeout: Duration::from_millis(500),
        timeout: Duration::from_millis(1500),
        ..GraphOptions::new(root.parse().unwrap())
    }
}

fn root_of(address: SocketAddr) -> String {
    format!("http://{address}")
}

struct Try {
    text: String,
    deadline: Duration,
    cancelled: bool,
}

impl Default for Try {
    fn default() -> Self {
        Self { text: "hello".to_owned(), deadline: Duration::from_secs(1), cancelled: false }
    }
}

async fn send(client: &GraphClient, how: Try) -> SendOutcome {
    let request = SendRequest {
        phone_number_id: &PhoneNumberId::new("290184457761305"),
        token: &SecretString::from("token"),
        to: Recipient::Phone(&WaId::new("4915755512345")),
        content: Content::Text { body: &how.text, preview_url: false, reply_to: None },
        callback_data: "sw1.test",
        deadline: Instant::now() + how.deadline,
        cancelled: Some(Arc::new(AtomicBool::new(how.cancelled))),
    };
    // The client's own limits must end it long before.
    timeout(Duration::from_secs(10), client.send(request)).await.unwrap()
}

/// One try against a server with this fault; the outcome, and how many complete requests it received.
async fn try_with(fault: Fault, how: Try) -> (SendOutcome, usize) {
    let server = Server::start(fault).await;
    let outcome = send(&client(&server.root()), how).await;
    (outcome, server.complete_requests())
}

async fn try_fault(fault: Fault) -> (SendOutcome, usize) {
    try_with(fault, Try::default()).await
}

fn is_hard_doubt(outcome: &SendOutcome) -> bool {
    matches!(outcome, SendOutcome::Doubt { soft: false, .. })
}

fn is_not_sent(outcome: &SendOutcome) -> bool {
    matches!(outcome, SendOutcome::NotSent { .. })
}

#[tokio::test]
async fn an_answer_with_an_id_is_accepted() {
    let (outcome, complete) = try_fault(Fault::None).await;
    let SendOutcome::Accepted { wamid, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(wamid.as_str(), "wamid.X");
    assert_eq!(complete, 1);
}

#[tokio::test]
async fn a_connection_closed_at_once_is_never_called_sent() {
    // Who is first, the close or the body, is a race: both answers are right, if they fit the server.
    for fault in [Fault::CloseOnAccept, Fault::ResetOnAccept] {
        let (outcome, complete) = try_fault(fault).await;
        assert!(is_not_sent(&outcome) || is_hard_doubt(&outcome), "{outcome:?}");
        assert_eq!(complete, 0);
    }
}

#[tokio::test]
async fn a_connection_lost_after_the_body_was_handed_over_is_in_doubt() {
    let faults = [
        Fault::CloseAfterHeaders,
        Fault::ResetAfterHeaders,
        Fault::CloseAfterRequest,
        Fault::ResetAfterRequest,
    ];
    for fault in faults {
        let (outcome, _) = try_fault(fault).await;
        let SendOutcome::Doubt { why: DoubtReason::ConnectionLost(_), soft: false } = outcome
        else {
            panic!("{fault:?}: {outcome:?}")
        };
    }
}

#[tokio::test]
async fn a_reset_in_the_middle_of_a_large_body_is_in_doubt() {
    let how = Try { text: "x".repeat(4_000_000), ..Try::default() };
    let (outcome, complete) = try_with(Fault::ResetAfterHeaders, how).await;
    assert!(is_hard_doubt(&outcome), "{outcome:?}");
    assert_eq!(complete, 0);
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_in_doubt() {
    for fault in [Fault::Hang, Fault::SlowAnswer] {
        let (outcome, complete) = try_fault(fault).await;
        let SendOutcome::Doubt { why: DoubtReason::TimedOut(_), soft: false } = outcome else {
            panic!("{fault:?}: {outcome:?}")
        };
        assert_eq!(complete, 1);
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_in_doubt() {
    for fault in [Fault::HeadersOnly, Fault::HalfAnswer] {
        let (outcome, complete) = try_fault(fault).await;
        assert!(is_hard_doubt(&outcome), "{fault:?}: {outcome:?}");
        assert_eq!(complete, 1);
    }
}

#[tokio::test]
async fn an_answer_that_is_not_from_the_graph_api_is_in_doubt() {
    for (fault, status) in [(Fault::Html502, 502), (Fault::Redirect, 307), (Fault::HugeAnswer, 200)]
    {
        let (outcome, complete) = try_fault(fault).await;
        let SendOutcome::Doubt { why: DoubtReason::Unreadable { http_status }, soft: false } =
            outcome
        else {
            panic!("{fault:?}: {outcome:?}")
        };
        assert_eq!(http_status, status);
        // A redirect is not followed: that would be a second request.
        assert_eq!(complete, 1);
    }
}

#[tokio::test]
async fn a_success_without_an_id_is_in_doubt() {
    let (outcome, _) = try_fault(Fault::EmptySuccess).await;
    assert!(
        matches!(outcome, SendOutcome::Doubt { why: DoubtReason::NoId, soft: false }),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn metas_own_ambiguous_error_is_in_soft_doubt() {
    let (outcome, _) = try_fault(Fault::Graph500).await;
    let SendOutcome::Doubt { why: DoubtReason::Answered(error), soft: true } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((error.code, error.class), (131_000, ErrorClass::Ambiguous));
    assert_eq!(error.fbtrace_id.as_deref(), Some("A"));
}

#[tokio::test]
async fn a_limit_is_a_refusal_with_its_pause() {
    let (outcome, _) = try_fault(Fault::Graph429).await;
    let SendOutcome::Rejected(error) = outcome else { panic!("{outcome:?}") };
    assert_eq!((error.code, error.class), (130_429, ErrorClass::SlowConnection));
    assert_eq!(error.http_status, 429);
    assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_refused_connection_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let outcome = send(&client(&root_of(address)), Try::default()).await;
    assert!(
        matches!(outcome, SendOutcome::NotSent { why: NotSentReason::NoConnection(_) }),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_not_sent() {
    let outcome = send(&client("http://no-such-host.invalid"), Try::default()).await;
    assert!(
        matches!(outcome, SendOutcome::NotSent { why: NotSentReason::NoConnection(_) }),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_server_that_takes_no_connection_in_time_is_not_sent() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut backlog = Vec::new();
    while let Ok(taken) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        backlog.push(taken.unwrap());
    }
    let outcome = send(&client(&root_of(address)), Try::default()).await;
    assert!(
        matches!(outcome, SendOutcome::NotSent { why: NotSentReason::NoConnection(_) }),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_tls_handshake_without_answer_is_not_sent() {
    let server = Server::start(Fault::Hang).await;
    let client = match GraphClient::new(&options(&server.root().replace("http:", "https:"))) {
        Ok(client) => client,
        // A machine without CA certificates refuses to start with https, which is as safe.
        Err(GraphSetupError::Client(_)) => return,
        Err(error) => panic!("{error}"),
    };
    let outcome = send(&client, Try::default()).await;
    assert!(
        matches!(outcome, SendOutcome::NotSent { why: NotSentReason::NoConnection(_) }),
        "{outcome:?}"
    );
    assert_eq!(server.complete_requests(), 0);
}

#[tokio::test]
async fn after_its_deadline_nothing_leaves() {
    let how = Try { deadline: Duration::ZERO, ..Try::default() };
    let (outcome, complete) = try_with(Fault::None, how).await;
    let SendOutcome::NotSent { why: NotSentReason::HeldBack(HeldBack::TooLate) } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(complete, 0);
}

#[tokio::test]
async fn a_cancelled_message_does_not_leave() {
    let how = Try { cancelled: true, ..Try::default() };
    let (outcome, complete) = try_with(Fault::None, how).await;
    let SendOutcome::NotSent { why: NotSentReason::HeldBack(HeldBack::Cancelled) } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(complete, 0);
}

#[tokio::test]
async fn a_pooled_connection_that_is_reset_never_makes_a_second_request() {
    for round in 0..20_u64 {
        let server = Server::start(Fault::ResetWhenIdle(Duration::from_millis(20))).await;
        let client = client(&server.root());
        let first = send(&client, Try::default()).await;
        assert!(matches!(first, SendOutcome::Accepted { .. }), "{first:?}");
        // Meets the reset: a little before, at the same time, or a little after.
        tokio::time::sleep(Duration::from_micros(19_000 + round * 100)).await;
        let second = send(&client, Try::default()).await;
        assert!(server.complete_requests() <= 2);
        if is_not_sent(&second) {
            assert_eq!(server.complete_requests(), 1);
        }
    }
}
