//! Templates and syncs, as the API shows them.

use chrono::{DateTime, Utc};
use kernel::ids::{ConnectionId, TemplateId, TemplateSyncId};
use serde::Serialize;
use serde_json::value::RawValue;
use whatsapp::template::{self, Parameter};

use super::shown_time;
use crate::store::runs::Seen;
use crate::store::templates::Template;

/// A template.
#[derive(Debug, Serialize)]
pub(super) struct ShownTemplate {
    object: &'static str,
    id: TemplateId,
    waba_id: String,
    meta_id: String,
    name: String,
    language: String,
    /// Meta's word; only `APPROVED` can be sent.
    status: String,
    status_since: String,
    rejected_reason: Option<String>,
    quality: String,
    category: String,
    previous_category: Option<String>,
    /// What Meta holds to be right; `category_changes_at` says when it will be the category.
    correct_category: Option<String>,
    category_changes_at: Option<String>,
    parameter_format: String,
    /// What has to be given when it is sent.
    parameters: Vec<ShownParameter>,
    /// As Meta has them, byte for byte.
    components: Box<RawValue>,
    message_send_ttl_seconds: Option<i64>,
    /// When Meta last showed or told of it.
    last_seen_at: String,
    created_at: String,
    updated_at: String,
    deleted_at: Option<String>,
}

/// A place that wants a value.
#[derive(Debug, Serialize)]
pub(super) struct ShownParameter {
    place: String,
    name: String,
    kind: String,
    example: Option<String>,
}

impl From<Parameter> for ShownParameter {
    fn from(parameter: Parameter) -> Self {
        let Parameter { place, name, kind, example } = parameter;
        Self { place, name, kind, example }
    }
}

impl TryFrom<Template> for ShownTemplate {
    type Error = serde_json::Error;

    fn try_from(template: Template) -> Result<Self, serde_json::Error> {
        let parameters = template::parameters(&template.components);
        Ok(Self {
            object: "template",
            id: template.id(),
            waba_id: template.waba().into_string(),
            parameters: parameters.into_iter().map(ShownParameter::from).collect(),
            components: RawValue::from_string(template.components)?,
            meta_id: template.meta_id,
            name: template.name,
            language: template.language,
            status: template.status,
            status_since: shown_time(template.status_at),
            rejected_reason: template.rejected_reason,
            quality: template.quality,
            category: template.category,
            previous_category: template.previous_category,
            correct_category: template.correct_category,
            category_changes_at: template.category_changes_at.map(shown_time),
            parameter_format: template.parameter_format,
            message_send_ttl_seconds: template.ttl_seconds,
            last_seen_at: shown_time(template.seen_at),
            created_at: shown_time(template.created_at),
            updated_at: shown_time(template.updated_at),
            deleted_at: template.deleted_at.map(shown_time),
        })
    }
}

/// A sync.
#[derive(Debug, Serialize)]
pub(super) struct ShownSync {
    object: &'static str,
    id: TemplateSyncId,
    connection: ConnectionId,
    waba_id: String,
    status: String,
    /// `request`, `schedule` or `webhook`.
    trigger: String,
    /// A key, or the part of the product that did it by itself.
    requested_by: String,
    progress: Progress,
    pages: i32,
    /// Calls to Meta, those that failed included.
    calls: i32,
    added: Option<i32>,
    changed: Option<i32>,
    removed: Option<i32>,
    /// What it waits for, and until when.
    waits_for: Option<String>,
    waits_until: Option<String>,
    error: Option<Failed>,
    created_at: String,
    finished_at: Option<String>,
    duration_ms: i64,
}

/// How far it is. Meta does not say how many templates there are.
#[derive(Debug, Serialize)]
struct Progress {
    done: i32,
    total: Option<i32>,
    rate_per_minute: Option<f64>,
    eta: Option<String>,
    eta_basis: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Failed {
    code: String,
    text: String,
}

impl ShownSync {
    pub(super) fn new(seen: Seen, now: DateTime<Utc>) -> Self {
        let took = seen.finished_at.unwrap_or(now) - seen.created_at;
        let is_over = seen.finished_at.is_some();
        let progress = Progress {
            done: seen.found,
            total: is_over.then_some(seen.found),
            rate_per_minute: None,
            eta: None,
            eta_basis: None,
        };
        let waits = seen.waits_for.is_some();
        Self {
            object: "template_sync",
            id: seen.id(),
            connection: seen.connection(),
            waba_id: seen.waba_id,
            status: seen.status,
            trigger: seen.trigger,
            requested_by: seen.requested_by,
            progress,
            pages: seen.pages,
            calls: seen.calls,
            added: seen.added,
            changed: seen.changed,
            removed: seen.removed,
            waits_for: seen.waits_for,
            waits_until: waits.then(|| shown_time(seen.next_look_at)),
            error: seen.error_code.zip(seen.error).map(|(code, text)| Failed { code, text }),
            created_at: shown_time(seen.created_at),
            finished_at: seen.finished_at.map(shown_time),
            duration_ms: took.num_milliseconds().max(0),
        }
    }
}
