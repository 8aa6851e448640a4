//! Accounts and phone numbers.

use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::{error, id, media};
use crate::options::Number;
use crate::world::World;

pub(super) fn success() -> HttpResponse {
    HttpResponse::Ok().json(json!({"success": true}))
}

/// `GET /{id}`: a piece of media if there is or was one, else a phone number.
pub(super) fn node(world: &World, request: &HttpRequest) -> HttpResponse {
    if let Some(known) = media::describe(world, request) {
        return known;
    }
    match id(request) {
        id if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) => {
            error::response(100)
        }
        id => HttpResponse::Ok().json(shown(&world.number(id))),
    }
}

/// `GET /{waba_id}/phone_numbers`.
pub(super) fn phone_numbers(world: &World, request: &HttpRequest) -> HttpResponse {
    let numbers = world.numbers_of(id(request));
    let data: Vec<Value> = numbers.iter().map(|number| shown(number)).collect();
    HttpResponse::Ok().json(json!({"data": data}))
}

fn shown(number: &Number) -> Value {
    json!({
        "verified_name": "Simulated Business",
        "display_phone_number": format!("+{}", number.display_phone_number),
        "quality_rating": "GREEN",
        "platform_type": "CLOUD_API",
        "throughput": {"level": "STANDARD"},
        "whatsapp_business_manager_messaging_limit": "TIER_2K",
        "id": number.phone_number_id,
    })
}
