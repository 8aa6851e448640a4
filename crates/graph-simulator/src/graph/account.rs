//! Accounts, phone numbers and templates.

use std::collections::HashMap;

use actix_web::web::Query;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::{base, error, id, media};
use crate::options::Number;
use crate::sync::lock;
use crate::world::World;

/// Templates on a page unless the caller says otherwise (Graph's usual page).
const PAGE: usize = 25;

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

/// `GET /{waba_id}/message_templates?limit=&after=`; the cursor is the place in the list.
pub(super) fn templates(world: &World, request: &HttpRequest) -> HttpResponse {
    let query = Query::<HashMap<String, String>>::from_query(request.query_string());
    let query = query.map(Query::into_inner).unwrap_or_default();
    let limit = query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE).max(1);
    let start: usize = match query.get("after").map(|after| after.parse()) {
        None => 0,
        Some(Ok(start)) => start,
        Some(Err(_)) => return error::response(131_059),
    };
    let all = lock(&world.templates).get(id(request)).cloned().unwrap_or_default();
    let end = start.saturating_add(limit).min(all.len());
    let data = all.get(start..end).unwrap_or_default();
    let mut paging = json!({"cursors": {"before": start.to_string(), "after": end.to_string()}});
    if end < all.len()
        && let Some(paging) = paging.as_object_mut()
    {
        let next = format!("{}{}?limit={limit}&after={end}", base(request), request.path());
        paging.insert("next".to_owned(), next.into());
    }
    HttpResponse::Ok().json(json!({"data": data, "paging": paging}))
}
