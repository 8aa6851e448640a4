//! The Graph API: the few calls a messaging backend makes.

mod account;
mod answer;
mod error;
mod media;
mod outgoing;
mod send;
mod templates;

use std::future::ready;

use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::{self, Data, PayloadConfig, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

pub(crate) use self::answer::remember_socket;
pub(crate) use self::media::MediaStore;
pub(crate) use self::outgoing::Outgoing;
use crate::world::World;

/// Media may have 100 MB (Meta, "Media", 11 December 2025); the form around it a little more.
const MAX_UPLOAD_BYTES: usize = 101 * 1024 * 1024;

/// Mounts the calls with and without a version in front, as Meta serves them.
pub(crate) fn routes(config: &mut ServiceConfig) {
    config.service(web::scope("/{version:v\\d+\\.\\d+}").configure(calls)).configure(calls);
}

fn calls(config: &mut ServiceConfig) {
    config
        .route("/{id}/messages", web::post().to(send::send))
        .route("/{id}/message_templates", web::get().to(templates::list))
        .route("/{id}/message_templates", web::post().to(templates::create))
        .route("/{id}/message_templates", web::delete().to(templates::delete))
        .route("/{id}/unpause", web::post().to(templates::unpause))
        .route(
            "/{id}/phone_numbers",
            web::get().to(|world: Data<World>, request: HttpRequest| {
                ready(permitted(&world, &request, account::phone_numbers))
            }),
        )
        .route(
            "/{id}/subscribed_apps",
            web::post().to(|world: Data<World>, request: HttpRequest| {
                ready(permitted(&world, &request, |_, _| account::success()))
            }),
        )
        .route(
            "/_media/{id}",
            web::get().to(|world: Data<World>, request: HttpRequest| {
                ready(permitted(&world, &request, media::download))
            }),
        )
        .service(web::resource("/{id}/media").app_data(PayloadConfig::new(MAX_UPLOAD_BYTES)).route(
            web::post().to(|world: Data<World>, request: HttpRequest, body: Bytes| {
                ready(permitted(&world, &request, |w, r| media::upload(w, r, &body)))
            }),
        ))
        .route(
            "/{id}",
            web::get().to(|world: Data<World>, request: HttpRequest| {
                ready(permitted(&world, &request, account::node))
            }),
        )
        .route("/{id}", web::post().to(templates::edit))
        .route(
            "/{id}",
            web::delete().to(|world: Data<World>, request: HttpRequest| {
                ready(permitted(&world, &request, media::delete))
            }),
        );
}

/// Answers by `call` if the Bearer token is good.
fn permitted(
    world: &World,
    request: &HttpRequest,
    call: impl FnOnce(&World, &HttpRequest) -> HttpResponse,
) -> HttpResponse {
    if is_permitted(world, request) { call(world, request) } else { error::response(190) }
}

fn is_permitted(world: &World, request: &HttpRequest) -> bool {
    let token = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    match (token, &world.access_token) {
        (None | Some(""), _) => false,
        (Some(_), None) => true,
        (Some(token), Some(expected)) => token == expected,
    }
}

/// The `{id}` of the path.
fn id(request: &HttpRequest) -> &str {
    request.match_info().get("id").unwrap_or_default()
}

/// The address this call came in on, for links in answers.
fn base(request: &HttpRequest) -> String {
    let connection = request.connection_info();
    format!("{}://{}", connection.scheme(), connection.host())
}

/// A status by number; one that is none reads as 500.
fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
