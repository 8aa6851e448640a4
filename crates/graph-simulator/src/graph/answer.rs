//! Answers a send call: well, badly, or not at all.

use std::any::Any;
use std::future::ready;
use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Duration;

use actix_web::dev::Extensions;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::warn;

use super::outgoing::Outgoing;
use super::{error, status};
use crate::fault::{Answer, SendRule};
use crate::ledger::Sent;

/// JSON that stops in the middle.
const HALF: &str = r#"{"messaging_product":"whatsapp","contacts":[{"input":"+49"#;
/// Time for the first half of an answer to leave before the connection breaks.
const BEFORE_BREAK: Duration = Duration::from_millis(30);

/// A second handle on a connection, to be able to break it.
pub(crate) struct Socket(TcpStream);

/// Keeps a handle on each new connection where its requests can find it.
pub(crate) fn remember_socket(connection: &dyn Any, data: &mut Extensions) {
    let handle = connection
        .downcast_ref::<tokio::net::TcpStream>()
        .and_then(|stream| stream.as_fd().try_clone_to_owned().ok());
    if let Some(handle) = handle {
        data.insert(Socket(TcpStream::from(handle)));
    }
}

/// The ordinary answer.
pub(super) fn ok(message: &Outgoing, sent: &Sent) -> HttpResponse {
    let status = (message.kind == "template").then_some("accepted");
    HttpResponse::Ok().json(accepted(message, sent, status))
}

/// The answer a rule asks for; `sent` is the message if it was accepted.
pub(super) fn scripted(
    rule: &SendRule,
    message: &Outgoing,
    sent: Option<&Sent>,
    request: &HttpRequest,
) -> HttpResponse {
    match (&rule.answer, sent) {
        (Answer::Ok, Some(sent)) => ok(message, sent),
        (Answer::Held, Some(sent)) => {
            HttpResponse::Ok().json(accepted(message, sent, Some("held_for_quality_assessment")))
        }
        (Answer::Graph { code, http_status, retry_after }, _) => {
            error::scripted(*code, *http_status, *retry_after)
        }
        (Answer::Html { http_status }, _) => HttpResponse::build(status(*http_status))
            .content_type("text/html")
            .body("<html><body><h1>Something went wrong</h1></body></html>"),
        (Answer::Unreadable, _) => HttpResponse::Ok().content_type("application/json").body(HALF),
        (Answer::Empty, _) => HttpResponse::Ok().json(json!({})),
        (Answer::Cut, _) => cut(),
        (Answer::Huge, _) => huge(),
        // An accepted answer without a message happens only while the simulator stops.
        (Answer::Close | Answer::Ok | Answer::Held, _) => close(),
        (Answer::Reset, _) => reset(request),
    }
}

fn accepted(message: &Outgoing, sent: &Sent, status: Option<&str>) -> Value {
    let is_number = sent.recipient.bytes().all(|byte| byte.is_ascii_digit());
    let key = if is_number { "wa_id" } else { "user_id" };
    let mut answer = json!({
        "messaging_product": "whatsapp",
        "contacts": [{"input": message.input, key: sent.recipient}],
        "messages": [{"id": sent.wamid}],
    });
    if let (Some(status), Some(Value::Object(message))) =
        (status, answer.pointer_mut("/messages/0"))
    {
        message.insert("message_status".to_owned(), status.into());
    }
    answer
}

fn broken() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}

/// A body that fails before its first byte: the server closes without having written anything.
fn close() -> HttpResponse {
    HttpResponse::Ok().streaming(stream::once(ready(Err::<Bytes, _>(broken()))))
}

/// As [`close`], by RST instead of FIN.
fn reset(request: &HttpRequest) -> HttpResponse {
    if let Some(Err(error)) = request.conn_data::<Socket>().map(Socket::linger_zero) {
        warn!(error = %kernel::chain(&error), "connection is closed instead of reset");
    }
    close()
}

/// Promises more than it sends.
fn cut() -> HttpResponse {
    let half = stream::once(ready(Ok::<_, io::Error>(Bytes::from_static(HALF.as_bytes()))));
    let end = stream::once(async {
        sleep(BEFORE_BREAK).await;
        Err(broken())
    });
    HttpResponse::Ok()
        .content_type("application/json")
        .no_chunking(400)
        .streaming(half.chain(end.boxed_local()))
}

/// Keeps talking, 64 KiB at a time, until it has said 1 GiB or the caller hangs up.
fn huge() -> HttpResponse {
    let chunk = Bytes::from_static(&[b' '; 64 * 1024]);
    let chunks = stream::repeat(chunk).take(16 * 1024).map(Ok::<_, io::Error>);
    HttpResponse::Ok().content_type("application/json").streaming(chunks)
}

impl Socket {
    /// Makes the kernel send RST when the last handle goes.
    fn linger_zero(&self) -> Result<(), io::Error> {
        tokio::net::TcpStream::from_std(self.0.try_clone()?)?.set_zero_linger()
    }
}
