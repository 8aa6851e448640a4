//! A contact as callers see it.

use actix_web::HttpResponse;
use kernel::ids::ContactId;
use serde::Serialize;
use serde_json::Value;
use service::values::Time;
use service::version::etag;
use storage::contacts;

#[derive(Serialize)]
pub(super) struct Contact {
    object: &'static str,
    id: ContactId,
    /// E.164 with `+`; Meta may show only the user id.
    phone: Option<String>,
    user_id: Option<String>,
    name: Option<String>,
    tags: Vec<String>,
    attributes: Value,
    /// Since when no campaign may write to them.
    opted_out_at: Option<Time>,
    source: String,
    created_at: Time,
    updated_at: Time,
}

impl From<contacts::Contact> for Contact {
    fn from(stored: contacts::Contact) -> Self {
        Self {
            object: "contact",
            id: stored.id(),
            phone: phone(&stored),
            user_id: stored.user_id().map(kernel::UserId::into_string),
            opted_out_at: stored.opted_out_at.map(Time),
            created_at: Time(stored.created_at),
            updated_at: Time(stored.updated_at),
            name: stored.name,
            tags: stored.tags,
            attributes: stored.attributes,
            source: stored.source,
        }
    }
}

/// Its number as people write it.
pub(super) fn phone(stored: &contacts::Contact) -> Option<String> {
    stored.wa_id().map(|number| format!("+{}", number.as_str()))
}

/// The answer that shows one contact.
pub(super) fn show(stored: contacts::Contact) -> HttpResponse {
    HttpResponse::Ok().insert_header(etag(stored.updated_at)).json(Contact::from(stored))
}
