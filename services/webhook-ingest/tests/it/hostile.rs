//! Requests that nobody should send, each with its right answer.

use std::fs;
use std::net::SocketAddr;

use settings::SecretString;
use whatsapp::signature::sign;

use crate::bodies::messages;
use crate::client::{Request, Socket};
use crate::stand::{PATH, SECRET, Setup, with_stand};

const SIGNATURE: &str = "X-Hub-Signature-256";
/// Pages of memory, as the kernel counts them.
const PAGE_BYTES: usize = 4_096;

fn setup() -> Setup {
    let mut setup = Setup::default();
    setup.settings.http.webhook_body_limit_bytes = 512 * 1024;
    setup
}

fn body() -> Vec<u8> {
    messages("290184457761305", &["4915755512345"])
}

fn signature(body: &[u8]) -> String {
    sign(&SecretString::from(SECRET), body).unwrap()
}

fn claiming(signature: impl AsRef<[u8]>) -> Request {
    Request::new("POST", PATH).header(SIGNATURE, signature).body(body())
}

fn good(body: impl AsRef<[u8]>) -> Request {
    Request::signed(PATH, SECRET, body)
}

type Case = (&'static str, Request, u16);

fn wrong_signatures() -> Vec<Case> {
    let right = signature(&body());
    let digits = right.strip_prefix("sha256=").unwrap();
    let reformatted: serde_json::Value = serde_json::from_slice(&body()).unwrap();
    let reformatted = serde_json::to_string_pretty(&reformatted).unwrap();
    let mut changed = body();
    let last = changed.len() - 1;
    changed[last] = b' ';
    vec![
        ("no signature", Request::new("POST", PATH).body(body()), 401),
        ("the old header alone", Request::new("POST", PATH).header("X-Hub-Signature", &right), 401),
        ("a digit too few", claiming(right.get(..70).unwrap()), 401),
        ("a digit too many", claiming(format!("{right}0")), 401),
        ("upper-case digits", claiming(format!("sha256={}", digits.to_uppercase())), 401),
        ("an upper-case name", claiming(format!("SHA256={digits}")), 401),
        ("another algorithm", claiming("sha1=356a192b7913b04c54574d18c28d46e6395428ab"), 401),
        ("digits alone", claiming(digits), 401),
        ("no digits", claiming("sha256="), 401),
        ("letters that are no digits", claiming(format!("sha256={}", "g".repeat(64))), 401),
        ("nothing", claiming(""), 401),
        ("bytes that are no text", claiming(b"sha256=\xff\xfe"), 401),
        ("two in one header", claiming(format!("{right}, {right}")), 401),
        ("the right one twice", claiming(&right).header(SIGNATURE, &right), 401),
        ("a right and a wrong one", claiming(&right).header(SIGNATURE, "sha256=00"), 401),
        ("another secret", Request::signed(PATH, "another secret", body()), 401),
        ("no secret", claiming(format!("sha256={}", "0".repeat(64))), 401),
        ("a byte changed", claiming(&right).body(changed), 401),
        ("the same JSON in other words", claiming(&right).body(reformatted), 401),
        ("a body for a signature of nothing", claiming(signature(b"")), 401),
        ("an app nobody has", Request::signed(&format!("{PATH}/nobody"), SECRET, body()), 404),
        ("no app", Request::signed(&format!("{PATH}/"), SECRET, body()), 404),
        ("a path out of it", Request::signed(&format!("{PATH}/../../etc"), SECRET, body()), 404),
        ("an app of NUL", Request::signed(&format!("{PATH}/%00"), SECRET, body()), 404),
    ]
}

fn signed_oddities() -> Vec<Case> {
    let nested = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let hidden = format!(r#"{{"object":"whatsapp_business_account","entry":{nested}}}"#);
    vec![
        ("an empty body", good(""), 400),
        ("only spaces", good("   "), 400),
        ("no JSON", good("object=page&entry=1"), 400),
        ("JSON that ends too early", good(body().get(..100).unwrap()), 400),
        ("more than JSON", good(r#"{"object":1} {"#), 400),
        ("not a number", good("NaN"), 400),
        ("bytes that are no text", good(b"{\"object\":\"\xff\xfe\"}"), 400),
        ("UTF-16", good(b"\xff\xfe{\0}\0"), 400),
        ("nested 10,000 levels", good(nested), 200),
        ("nested where a list should be", good(hidden), 200),
        ("an empty object", good("{}"), 200),
        ("an empty list", good("[]"), 200),
        ("null", good("null"), 200),
        ("a number beyond any", good(r#"{"object":1e400}"#), 200),
        ("a member twice", good(r#"{"object":"page","object":"whatsapp_business_account"}"#), 200),
        ("half a character", good(r#"{"object":"\ud800"}"#), 200),
        ("U+0000", good(r#"{"object":"\u0000"}"#), 200),
        ("a byte order mark", good([b"\xef\xbb\xbf".to_vec(), body()].concat()), 200),
        ("of another kind", good(body()).header("Content-Type", "text/html"), 200),
        ("not encoded, and said so", good(body()).header("Content-Encoding", "Identity"), 200),
        ("signed in the old way, too", good(body()).header("X-Hub-Signature", "sha1=00"), 200),
    ]
}

fn broken_bodies() -> Vec<Case> {
    let chunked = |bytes: &[u8]| good(body()).framed("Transfer-Encoding", "chunked").raw(bytes);
    let length = |text: &str| good(body()).framed("Content-Length", text);
    let over = "x".repeat(512 * 1024 + 1);
    let over_in_chunks = [b"80001\r\n".to_vec(), over.clone().into_bytes()].concat();
    vec![
        ("gzip", good(body()).header("Content-Encoding", "gzip"), 415),
        ("two encodings", good(body()).header("Content-Encoding", "identity, br"), 415),
        (
            "two encoding headers",
            good(body())
                .header("Content-Encoding", "identity")
                .header("Content-Encoding", "deflate"),
            415,
        ),
        ("one byte over the limit, unsent", length("524289").raw(""), 413),
        ("beyond any size, unsent", length("18446744073709551615").raw(""), 413),
        ("a length beyond numbers", length("99999999999999999999999999"), 400),
        ("a negative length", length("-1"), 400),
        ("a length of letters", length("many"), 400),
        ("two lengths", good(body()).header("Content-Length", "1"), 400),
        ("one byte over the limit, sent", good(over), 413),
        ("chunks over the limit", chunked(&over_in_chunks), 413),
        ("a chunk of no size", chunked(b"zz\r\n{}\r\n0\r\n\r\n"), 400),
        ("a chunk of any size", chunked(b"ffffffffffffffffffff\r\n{}\r\n0\r\n\r\n"), 400),
        ("a chunk longer than it says", chunked(b"1\r\n{}\r\n0\r\n\r\n"), 400),
        ("a length and chunks", chunked(b"0\r\n\r\n").header("Content-Length", "5"), 400),
    ]
}

fn wrong_methods() -> Vec<Case> {
    let of = |method: &'static str| (method, Request::new(method, PATH), 405);
    ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND"].map(of).to_vec()
}

fn all() -> Vec<Case> {
    [wrong_signatures(), signed_oddities(), broken_bodies(), wrong_methods()].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hostile_request_gets_its_right_answer_and_only_signed_json_is_kept() {
    with_stand(setup(), async move |stand| {
        let mut wrong = Vec::new();
        let mut taken = 0;
        for (name, request, status) in all() {
            let answer = request.send(stand.address).await;
            if answer.status != status {
                wrong.push(format!("{name}: {} instead of {status}", answer.status));
            }
            if status == 405 && answer.header("allow") != Some("GET, POST") {
                wrong.push(format!("{name}: Allow is {:?}", answer.header("allow")));
            }
            if status == 200 && !answer.body.is_empty() {
                wrong.push(format!("{name}: says {}", answer.body));
            }
            taken += usize::from(status == 200);
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert_eq!(stand.kept().await.len(), taken);
        assert_eq!(stand.post(body()).await, 200, "the door is still open");
        let metrics = telemetry::metrics::render();
        for (kind, outcome) in
            [("unread", "bad_signature"), ("unread", "malformed"), ("other", "accepted")]
        {
            let line = format!(
                "switchyard_webhook_received_total{{kind=\"{kind}\",outcome=\"{outcome}\"}} "
            );
            let count = metrics.lines().find_map(|found| found.strip_prefix(&line));
            assert!(count.is_some_and(|count| count != "0"), "{line}{count:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_not_even_http_are_answered_or_cut_off() {
    let long = format!("GET {PATH} HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(300_000));
    let cases: [(&[u8], u16); 4] = [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n", 400),
        (b"POST\r\n\r\n", 400),
        (b"POST /webhooks/whatsapp HTTP/9.9\r\n\r\n", 400),
        (long.as_bytes(), 431),
    ];
    with_stand(setup(), async move |stand| {
        for (bytes, status) in cases {
            let mut socket = Socket::open(stand.address).await;
            socket.write(bytes).await;
            assert_eq!(socket.answer().await.status, status);
        }
        assert_eq!(stand.post(body()).await, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_drips_is_given_up_in_time() {
    with_stand(setup(), async move |stand| {
        let mut socket = Socket::open(stand.address).await;
        socket.write(b"POST /webhooks/whatsapp HTTP/1.1\r\nHost: x\r\nX-Hub-").await;
        assert_eq!(socket.answer().await.status, 408);
        socket.closed().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_is_not_taken_and_one_that_drips_is_given_up_in_time() {
    let mut setup = setup();
    setup.settings.http.webhook_read_timeout = std::time::Duration::from_millis(300);
    with_stand(setup, async move |stand| {
        let whole = good(body()).bytes();
        let half = whole.get(..whole.len() - 20).unwrap();

        let mut broken_off = Socket::open(stand.address).await;
        broken_off.write(half).await;
        broken_off.finish().await;
        assert_eq!(broken_off.answer().await.status, 400);

        let mut dripping = Socket::open(stand.address).await;
        dripping.write(half).await;
        let answer = dripping.answer().await;
        assert_eq!(answer.status, 408);
        dripping.closed().await;

        let mut silent = Socket::open(stand.address).await;
        let endless = good(body()).framed("Transfer-Encoding", "chunked").raw("2\r\n{}\r\n");
        silent.write(&endless.bytes()).await;
        assert_eq!(silent.answer().await.status, 408);
        assert!(stand.kept().await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_are_answered_one_by_one_in_their_order() {
    with_stand(setup(), async move |stand| {
        let mut socket = Socket::open(stand.address).await;
        let wrong = Request::signed(PATH, "another secret", body()).bytes();
        let right = good(body()).bytes();
        socket.write(&[right.clone(), wrong.clone(), right.clone(), wrong, right].concat()).await;
        for status in [200, 401, 200, 401, 200] {
            assert_eq!(socket.answer().await.status, status);
        }
        assert_eq!(stand.kept().await.len(), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_signature_is_refused_before_its_body_has_arrived() {
    with_stand(setup(), async move |stand| {
        let unsent = Request::new("POST", PATH).framed("Content-Length", "400000");
        let mut socket = Socket::open(stand.address).await;
        socket.write(&unsent.bytes()).await;
        assert_eq!(socket.answer().await.status, 401);
        socket.closed().await;

        // A chunked body has no end that could be waited for: nobody reads on.
        let endless = Request::new("POST", PATH).framed("Transfer-Encoding", "chunked");
        let mut socket = Socket::open(stand.address).await;
        socket.write(&endless.raw("2\r\n{}\r\n").bytes()).await;
        assert_eq!(socket.answer().await.status, 401);
        socket.closed().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_rounds_of_hostile_requests_leave_no_memory_behind() {
    with_stand(setup(), async move |stand| {
        // What is large takes long, and is in every tenth round only.
        let (large, small): (Vec<Case>, Vec<Case>) =
            all().into_iter().partition(|(_, request, _)| request.bytes().len() > 100_000);
        for _ in 0..20 {
            round(stand.address, &small).await;
            round(stand.address, &large).await;
        }
        stand.kept().await;
        let before = resident_bytes();
        for number in 0..200 {
            round(stand.address, &small).await;
            if number % 10 == 0 {
                round(stand.address, &large).await;
                stand.kept().await;
            }
        }
        stand.kept().await;
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 8 << 20, "grown by {} KiB", grown >> 10);
    })
    .await;
}

async fn round(to: SocketAddr, cases: &[Case]) {
    futures_util::future::join_all(cases.iter().map(|(_, request, _)| request.send(to))).await;
}

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * PAGE_BYTES
}
