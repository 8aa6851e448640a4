//! `/v1/messages` and `/v1/conversations/{id}/messages`: what was said, and saying something.

mod list;
mod request;
mod resolve;
mod send;
mod shown;
mod status;
mod timeline;
mod waiting;

use actix_web::web::{self, ServiceConfig};

pub(super) fn routes(config: &mut ServiceConfig) {
    let all = web::resource("/v1/messages");
    let thread = web::resource("/v1/conversations/{id}/messages");
    let resolve = web::resource("/v1/messages/{id}/resolve");
    let timeline = web::resource("/v1/messages/{id}/timeline");
    config
        .service(all.route(web::get().to(list::search)).route(web::post().to(send::to_anybody)))
        .service(web::resource("/v1/messages/{id}").route(web::get().to(list::read)))
        .service(timeline.route(web::get().to(timeline::read)))
        .service(resolve.route(web::post().to(resolve::resolve)))
        .service(
            thread.route(web::get().to(list::thread)).route(web::post().to(send::into_thread)),
        );
}
