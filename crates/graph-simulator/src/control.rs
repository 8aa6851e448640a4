//! The control side, `/_control/…`: what a script or a demo uses instead of the Rust API.

use std::future::ready;
use std::time::Duration;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{self, Data, PayloadConfig, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::fault::Faults;
use crate::inbound::{InboundMessage, Repeat};
use crate::options::{Number, WebhookSettings};
use crate::sync::lock;
use crate::world::World;

/// Room for the largest webhook Meta sends (3 MB) and for batches of 1,000 messages.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

pub(crate) fn routes(config: &mut ServiceConfig) {
    config.service(
        web::scope("/_control")
            .app_data(PayloadConfig::new(MAX_BODY_BYTES))
            .route("/stats", web::get().to(|world: Data<World>| ready(shown(&world.stats()))))
            .route("/sent", web::get().to(|w: Data<World>, q: Query<Wanted>| ready(sent(&w, &q))))
            .route(
                "/duplicates",
                web::get().to(|w: Data<World>| ready(shown(&w.ledger.duplicates()))),
            )
            .route(
                "/violations",
                web::get().to(|w: Data<World>| ready(shown(&w.ledger.violations()))),
            )
            .route("/inbound", web::post().to(|w: Data<World>, b: Bytes| ready(inbound(&w, &b))))
            .route(
                "/raw",
                web::post().to(|w: Data<World>, q: Query<Copies>, b: Bytes| ready(raw(&w, &q, &b))),
            )
            .route("/wait", web::post().to(wait))
            .route("/faults", web::get().to(|w: Data<World>| ready(shown(&*w.script.current()))))
            .route("/faults", web::put().to(|w: Data<World>, b: Bytes| ready(faults(&w, &b))))
            .route("/webhook", web::put().to(|w: Data<World>, b: Bytes| ready(webhook(&w, &b))))
            .route("/numbers", web::put().to(|w: Data<World>, b: Bytes| ready(numbers(&w, &b))))
            .route("/templates", web::put().to(|w: Data<World>, b: Bytes| ready(templates(&w, &b))))
            .route("/template", web::post().to(|w: Data<World>, b: Bytes| ready(decision(&w, &b))))
            .route(
                "/media",
                web::post().to(|w: Data<World>, r: HttpRequest, b: Bytes| ready(media(&w, &r, b))),
            )
            .route("/reset", web::post().to(|w: Data<World>| ready(reset(&w)))),
    );
}

fn shown<T: serde::Serialize>(answer: &T) -> HttpResponse {
    HttpResponse::Ok().json(answer)
}

fn refused(error: &(dyn std::error::Error + 'static)) -> HttpResponse {
    HttpResponse::BadRequest().json(json!({"error": kernel::chain(error).to_string()}))
}

/// Reads a JSON body and acts on it.
fn with<T: for<'de> Deserialize<'de>>(
    body: &Bytes,
    act: impl FnOnce(T) -> HttpResponse,
) -> HttpResponse {
    match serde_json::from_slice(body) {
        Ok(asked) => act(asked),
        Err(error) => refused(&error),
    }
}

#[derive(Deserialize)]
struct Wanted {
    recipient: Option<String>,
    /// Skips what was accepted earlier.
    from: Option<usize>,
}

fn sent(world: &World, wanted: &Wanted) -> HttpResponse {
    let recipient = wanted.recipient.as_deref().map(|to| to.trim_start_matches([' ', '+']));
    let from = wanted.from.unwrap_or(0);
    let sent = world.ledger.sent(|sent| {
        sent.order >= from && recipient.is_none_or(|recipient| recipient == sent.recipient)
    });
    HttpResponse::Ok().json(json!({"count": sent.len(), "sent": sent}))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Asked {
    Many(Batch),
    One(InboundMessage),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    messages: Vec<InboundMessage>,
    #[serde(default = "one")]
    per_post: usize,
    #[serde(flatten)]
    repeat: Copies,
}

#[derive(Deserialize)]
struct Copies {
    #[serde(default = "one")]
    copies: u32,
    #[serde(default)]
    gap_ms: u64,
}

fn one<T: From<u8>>() -> T {
    T::from(1)
}

impl From<&Copies> for Repeat {
    fn from(asked: &Copies) -> Self {
        Self { copies: asked.copies, gap: Duration::from_millis(asked.gap_ms) }
    }
}

fn inbound(world: &World, body: &Bytes) -> HttpResponse {
    with(body, |asked| {
        let wamids = match asked {
            Asked::One(message) => world.write(vec![message], 1, Repeat::ONCE),
            Asked::Many(batch) => {
                world.write(batch.messages, batch.per_post, Repeat::from(&batch.repeat))
            }
        };
        HttpResponse::Ok().json(json!({"wamids": wamids}))
    })
}

/// Signs and delivers the body as it is, byte for byte.
fn raw(world: &World, copies: &Copies, body: &Bytes) -> HttpResponse {
    world.courier.post(body.to_vec(), Repeat::from(copies));
    HttpResponse::Ok().json(json!({"bytes": body.len()}))
}

#[derive(Deserialize)]
struct Patience {
    ms: u64,
}

async fn wait(world: Data<World>, patience: Query<Patience>) -> HttpResponse {
    match world.wait_until_delivered(Duration::from_millis(patience.ms)).await {
        Ok(()) => HttpResponse::Ok().json(json!({"pending": 0})),
        Err(pending) => HttpResponse::RequestTimeout().json(json!({"pending": pending})),
    }
}

fn faults(world: &World, body: &Bytes) -> HttpResponse {
    with(body, |faults: Faults| {
        world.script.replace(faults);
        shown(&*world.script.current())
    })
}

/// Changes the fields that are given and keeps the others.
fn webhook(world: &World, body: &Bytes) -> HttpResponse {
    with(body, |changes: Map<String, Value>| {
        let mut settings = serde_json::to_value(world.courier.settings()).unwrap_or_default();
        if let Some(settings) = settings.as_object_mut() {
            settings.extend(changes);
        }
        match serde_json::from_value::<WebhookSettings>(settings) {
            Err(error) => refused(&error),
            Ok(settings) => match world.courier.redirect(settings) {
                Err(error) => refused(&error),
                Ok(()) => {
                    HttpResponse::Ok().json(json!({"targets": world.courier.settings().targets}))
                }
            },
        }
    })
}

fn numbers(world: &World, body: &Bytes) -> HttpResponse {
    with(body, |numbers: Vec<Number>| {
        let count = numbers.len();
        numbers.into_iter().for_each(|number| world.add_number(number));
        HttpResponse::Ok().json(json!({"numbers": count}))
    })
}

#[derive(Deserialize)]
struct Templates {
    waba_id: String,
    templates: Vec<Value>,
}

fn templates(world: &World, body: &Bytes) -> HttpResponse {
    with(body, |asked: Templates| {
        let count = asked.templates.len();
        lock(&world.templates).insert(asked.waba_id, asked.templates);
        HttpResponse::Ok().json(json!({"templates": count}))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    waba_id: String,
    id: String,
    event: String,
}

/// Meta decides about a template, and tells of it by webhook.
fn decision(world: &World, body: &Bytes) -> HttpResponse {
    with(body, |asked: Decision| {
        let is_known = world.decide(&asked.waba_id, &asked.id, &asked.event);
        HttpResponse::Ok().json(json!({"is_known": is_known}))
    })
}

/// Keeps a piece of media that an inbound message can name.
fn media(world: &World, request: &HttpRequest, body: Bytes) -> HttpResponse {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let id = world.media.add(kind.unwrap_or("application/octet-stream").to_owned(), body);
    HttpResponse::Ok().json(json!({"id": id}))
}

fn reset(world: &World) -> HttpResponse {
    world.reset();
    shown(&world.stats())
}
