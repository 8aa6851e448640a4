//! Templates: the list in pages, making, changing and deleting one, and the webhooks about them.

use std::collections::HashMap;
use std::time::Duration;

use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::{account, base, error, id, is_permitted, status};
use crate::fault::{Answer, TemplateCall};
use crate::inbound::Repeat;
use crate::sync::lock;
use crate::world::World;

/// Templates on a page unless the caller says otherwise (Graph's usual page).
const PAGE: usize = 25;
/// Meta's number for "this name exists in this language".
const EXISTS: i64 = 2_388_024;

/// `GET /{waba_id}/message_templates?limit=&after=`; the cursor is the place in the list.
pub(super) async fn list(world: Data<World>, request: HttpRequest) -> HttpResponse {
    let query = query(&request);
    let limit = query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE).max(1);
    if let Some(trouble) = trouble(&world, &request, TemplateCall::List, limit).await {
        return trouble;
    }
    let start: usize = match query.get("after").map(|after| after.parse()) {
        None => 0,
        Some(Ok(start)) => start,
        Some(Err(_)) => return error::response(131_059),
    };
    let templates = lock(&world.templates);
    let all = templates.get(id(&request)).map(Vec::as_slice).unwrap_or_default();
    let end = start.saturating_add(limit).min(all.len());
    let data = all.get(start..end).unwrap_or_default();
    let mut paging = json!({"cursors": {"before": start.to_string(), "after": end.to_string()}});
    if end < all.len()
        && let Some(paging) = paging.as_object_mut()
    {
        let token = "SECRET-IN-NEXT";
        let path = request.path();
        let next =
            format!("{}{path}?access_token={token}&limit={limit}&after={end}", base(&request));
        paging.insert("next".to_owned(), next.into());
    }
    HttpResponse::Ok().json(json!({"data": data, "paging": paging}))
}

/// `POST /{waba_id}/message_templates`.
pub(super) async fn create(world: Data<World>, request: HttpRequest, body: Bytes) -> HttpResponse {
    if let Some(trouble) = trouble(&world, &request, TemplateCall::Create, 0).await {
        return trouble;
    }
    let Ok(Value::Object(mut made)) = serde_json::from_slice(&body) else {
        return error::response(100);
    };
    if !["name", "language", "category", "components"].iter().all(|key| made.contains_key(*key)) {
        return error::response(100);
    }
    let mut templates = lock(&world.templates);
    let account = templates.entry(id(&request).to_owned()).or_default();
    let is_same = |known: &Value| {
        known.get("name") == made.get("name") && known.get("language") == made.get("language")
    };
    if account.iter().any(is_same) {
        return error::response(EXISTS);
    }
    let new = format!("77{:013}", account.len() + 1);
    made.insert("id".to_owned(), new.clone().into());
    made.insert("status".to_owned(), "PENDING".into());
    let category = made.get("category").cloned();
    account.push(Value::Object(made));
    HttpResponse::Ok().json(json!({"id": new, "status": "PENDING", "category": category}))
}

/// `POST /{template_id}`: what is given replaces what was there, and is looked at anew.
pub(super) async fn edit(world: Data<World>, request: HttpRequest, body: Bytes) -> HttpResponse {
    if let Some(trouble) = trouble(&world, &request, TemplateCall::Edit, 0).await {
        return trouble;
    }
    let Ok(changes) = serde_json::from_slice::<Map<String, Value>>(&body) else {
        return error::response(100);
    };
    let is_known = world.change_template(id(&request), |template| {
        template.extend(changes);
        template.insert("status".to_owned(), "PENDING".into());
    });
    if is_known { account::success() } else { error::response(100) }
}

/// `POST /{template_id}/unpause`.
pub(super) async fn unpause(world: Data<World>, request: HttpRequest) -> HttpResponse {
    if let Some(trouble) = trouble(&world, &request, TemplateCall::Edit, 0).await {
        return trouble;
    }
    let is_known = world.change_template(id(&request), |template| {
        template.insert("status".to_owned(), "APPROVED".into());
    });
    if is_known { account::success() } else { error::response(100) }
}

/// `DELETE /{waba_id}/message_templates?name=[&hsm_id=]`.
pub(super) async fn delete(world: Data<World>, request: HttpRequest) -> HttpResponse {
    if let Some(trouble) = trouble(&world, &request, TemplateCall::Delete, 0).await {
        return trouble;
    }
    let query = query(&request);
    let Some(name) = query.get("name") else { return error::response(100) };
    let mut templates = lock(&world.templates);
    let account = templates.entry(id(&request).to_owned()).or_default();
    let before = account.len();
    account.retain(|known| {
        let is_named = known.get("name").and_then(Value::as_str) == Some(name);
        let is_meant = query.get("hsm_id").is_none_or(|id| known.get("id") == Some(&json!(id)));
        !(is_named && is_meant)
    });
    if account.len() < before { account::success() } else { error::response(100) }
}

fn query(request: &HttpRequest) -> HashMap<String, String> {
    let query = Query::<HashMap<String, String>>::from_query(request.query_string());
    query.map(Query::into_inner).unwrap_or_default()
}

/// The answer to a call that goes wrong.
async fn trouble(
    world: &World,
    request: &HttpRequest,
    call: TemplateCall,
    limit: usize,
) -> Option<HttpResponse> {
    if !is_permitted(world, request) {
        return Some(error::response(190));
    }
    world.count_template_call();
    let rule = world.script.strike_template(call, limit)?;
    sleep(Duration::from_millis(rule.delay_ms)).await;
    match rule.answer {
        Answer::Ok => None,
        Answer::Graph { code, http_status, retry_after } => {
            Some(error::scripted(code, http_status, retry_after))
        }
        Answer::Html { http_status } => {
            Some(HttpResponse::build(status(http_status)).body("<html>simulated</html>"))
        }
        Answer::Empty => Some(HttpResponse::Ok().json(json!({}))),
        Answer::Unreadable => Some(HttpResponse::Ok().body(r#"{"data":[{"id":"1","na"#)),
        Answer::Held | Answer::Cut | Answer::Huge | Answer::Close | Answer::Reset => {
            Some(HttpResponse::BadGateway().finish())
        }
    }
}

impl World {
    /// Changes a template wherever it is; whether there is one.
    pub(crate) fn change_template(
        &self,
        template_id: &str,
        change: impl FnOnce(&mut Map<String, Value>),
    ) -> bool {
        let mut templates = lock(&self.templates);
        let known = templates
            .values_mut()
            .flatten()
            .filter_map(Value::as_object_mut)
            .find(|known| known.get("id").and_then(Value::as_str) == Some(template_id));
        known.map(change).is_some()
    }

    /// Meta decides about a template: the list says so from now on, and a webhook follows.
    pub(crate) fn decide(&self, waba_id: &str, template_id: &str, event: &str) -> bool {
        let mut about = Map::new();
        let is_known = self.change_template(template_id, |template| {
            template.insert("status".to_owned(), event.into());
            about = template.clone();
        });
        if is_known {
            let id = template_id.parse::<u64>().map_or_else(|_| json!(template_id), Value::from);
            let value = json!({
                "event": event,
                "message_template_id": id,
                "message_template_name": about.get("name"),
                "message_template_language": about.get("language"),
                "reason": "NONE",
            });
            let change = json!({"field": "message_template_status_update", "value": value});
            let time = self.now().timestamp();
            let entry = json!({"id": waba_id, "time": time, "changes": [change]});
            let webhook = json!({"object": "whatsapp_business_account", "entry": [entry]});
            self.courier.post(webhook.to_string().into_bytes(), Repeat::ONCE);
        }
        is_known
    }
}
