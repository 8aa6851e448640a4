//! Campaigns: list, create, show, change, delete.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, Responder};
use chrono::{DateTime, Utc};
use diesel_async::AsyncConnection;
use kernel::ids::{CampaignId, ConnectionId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service::problem::FieldError;
use service::{Caller, Code, Cursor, IfMatch, Json, Limit, Page, Problem, Query, Scope, etag};
use storage::campaigns::standing::Status;

use super::shown::Shown;
use super::values::{
    Cap, Name, NamePart, Nothing, OnUncertain, WantedStatus, has_nul, nullable, wrong_end,
};
use super::{Api, view};
use crate::audience::Audience;
use crate::store::campaigns::{self, Campaign, Changes, Filter, NewCampaign};
use crate::store::{ChangeError, log, uploads};
use crate::template::Template;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<CampaignId>>,
    #[serde(default)]
    status: Vec<WantedStatus>,
    connection: Option<ConnectionId>,
    q: Option<NamePart>,
    created_after: Option<DateTime<Utc>>,
    created_before: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBody {
    name: Name,
    connection: ConnectionId,
    template: Template,
    audience: Audience,
    #[serde(default)]
    on_uncertain: OnUncertain,
    frequency_cap: Option<Cap>,
    ends_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Patch {
    name: Option<Name>,
    connection: Option<ConnectionId>,
    template: Option<Template>,
    audience: Option<Audience>,
    on_uncertain: Option<OnUncertain>,
    #[serde(default, deserialize_with = "nullable")]
    frequency_cap: Option<Option<Cap>>,
    #[serde(default, deserialize_with = "nullable")]
    ends_at: Option<Option<DateTime<Utc>>>,
}

/// The workspace's campaigns, newest first.
pub(super) async fn list(
    api: Data<Api>,
    caller: Caller,
    Query(wanted): Query<Wanted>,
) -> Result<Page<Shown>, Problem> {
    caller.require(Scope::CampaignsRead)?;
    let filter = Filter {
        statuses: wanted.status.iter().map(|status| status.0).collect(),
        connection: wanted.connection,
        name_part: wanted.q.map(|part| part.0),
        created_after: wanted.created_after,
        created_before: wanted.created_before,
        before: wanted.cursor.map(|Cursor(last)| last),
    };
    let shown = view::list(&api, &caller, filter, wanted.limit.rows()).await?;
    Ok(Page::new(shown, wanted.limit, Shown::id, Shown::brief))
}

/// Makes a draft.
pub(super) async fn create(
    api: Data<Api>,
    caller: Caller,
    Query(Nothing {}): Query<Nothing>,
    Json(body): Json<NewBody>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::CampaignsWrite)?;
    let now = api.clock.now();
    check(Some(&body.template), Some(&body.audience), body.ends_at, now)?;
    let new = NewCampaign {
        connection: body.connection,
        name: body.name.0,
        template: stored("/template", &body.template)?,
        audience: stored("/audience", &body.audience)?,
        on_uncertain: body.on_uncertain.as_str().to_owned(),
        cap: body.frequency_cap.map(|cap| (cap.messages, cap.days)),
        ends_at: body.ends_at,
        cloned_from: None,
        created_by: caller.key.to_string(),
    };
    let mut conn = api.db.connection().await?;
    let made = (*conn)
        .transaction(async |tx| {
            let made = campaigns::insert(tx, caller.workspace, new, now).await?;
            let entry = (caller.key.to_string(), "created", json!({}));
            log::append(tx, caller.workspace, made.id(), entry, now).await?;
            Ok::<_, ChangeError>(made)
        })
        .await?;
    drop(conn);
    let shown = view::one(&api, &caller, made.id()).await?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/v1/campaigns/{}", made.id())))
        .insert_header(etag(shown.version()))
        .json(shown))
}

/// One campaign with its numbers.
pub(super) async fn show(
    api: Data<Api>,
    caller: Caller,
    id: Path<CampaignId>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::CampaignsRead)?;
    Ok(answer(view::one(&api, &caller, *id).await?))
}

/// Edits a draft or a scheduled campaign; one that was started only in its name and end.
pub(super) async fn change(
    api: Data<Api>,
    caller: Caller,
    id: Path<CampaignId>,
    IfMatch(expected): IfMatch,
    Query(Nothing {}): Query<Nothing>,
    Json(patch): Json<Patch>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::CampaignsWrite)?;
    let now = api.clock.now();
    check(patch.template.as_ref(), patch.audience.as_ref(), patch.ends_at.flatten(), now)?;
    let is_edit = patch.is_edit();
    let changed = patch.members();
    let changes = patch.changes()?;
    let mut conn = api.db.connection().await?;
    (*conn)
        .transaction(async |tx| {
            let campaign = campaigns::lock(tx, caller.workspace, *id, expected).await?;
            if is_edit {
                uploads::require_editable(&campaign)?;
            }
            if let Some(connection) = changes.connection_id.map(ConnectionId::from_uuid) {
                campaigns::require_connection(tx, caller.workspace, connection).await?;
            }
            campaigns::update(tx, *id, changes, now).await?;
            let entry = (caller.key.to_string(), "changed", json!({ "members": changed }));
            log::append(tx, caller.workspace, *id, entry, now).await?;
            Ok::<_, ChangeError>(())
        })
        .await?;
    drop(conn);
    Ok(answer(view::one(&api, &caller, *id).await?))
}

/// Deletes a campaign that was never started; answers with what it was.
pub(super) async fn delete(
    api: Data<Api>,
    caller: Caller,
    id: Path<CampaignId>,
    IfMatch(expected): IfMatch,
    Query(Nothing {}): Query<Nothing>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::CampaignsWrite)?;
    let shown = view::one(&api, &caller, *id).await?;
    let mut conn = api.db.connection().await?;
    (*conn)
        .transaction(async |tx| {
            let campaign = campaigns::lock(tx, caller.workspace, *id, expected).await?;
            require_deletable(&campaign)?;
            campaigns::delete(tx, *id).await?;
            Ok::<_, ChangeError>(())
        })
        .await?;
    Ok(answer(shown))
}

/// The answer that shows one campaign.
pub(super) fn answer(shown: Shown) -> HttpResponse {
    HttpResponse::Ok().insert_header(etag(shown.version())).json(shown)
}

/// As stored; `pointer` is where the request has it.
fn stored(pointer: &str, value: &impl Serialize) -> Result<Value, Problem> {
    let value = serde_json::to_value(value).map_err(Problem::internal)?;
    if has_nul(&value) {
        return Err(Problem::invalid(pointer, "invalid_value", "no text holds a U+0000"));
    }
    Ok(value)
}

impl Patch {
    /// Whether it changes what a started campaign keeps.
    fn is_edit(&self) -> bool {
        self.connection.is_some()
            || self.template.is_some()
            || self.audience.is_some()
            || self.on_uncertain.is_some()
            || self.frequency_cap.is_some()
    }

    /// What it changes, for the log.
    fn members(&self) -> Vec<&'static str> {
        let members = [
            ("name", self.name.is_some()),
            ("connection", self.connection.is_some()),
            ("template", self.template.is_some()),
            ("audience", self.audience.is_some()),
            ("on_uncertain", self.on_uncertain.is_some()),
            ("frequency_cap", self.frequency_cap.is_some()),
            ("ends_at", self.ends_at.is_some()),
        ];
        members.into_iter().filter_map(|(name, is_given)| is_given.then_some(name)).collect()
    }

    fn changes(self) -> Result<Changes, Problem> {
        Ok(Changes {
            name: self.name.map(|name| name.0),
            connection_id: self.connection.map(ConnectionId::as_uuid),
            template: self.template.map(|value| stored("/template", &value)).transpose()?,
            audience: self.audience.map(|value| stored("/audience", &value)).transpose()?,
            on_uncertain: self.on_uncertain.map(OnUncertain::as_str),
            cap_messages: self.frequency_cap.map(|cap| cap.map(|cap| cap.messages)),
            cap_days: self.frequency_cap.map(|cap| cap.map(|cap| cap.days)),
            ends_at: self.ends_at,
            ..Changes::default()
        })
    }
}

/// Refuses values that no campaign can have, all at once.
fn check(
    template: Option<&Template>,
    audience: Option<&Audience>,
    ends_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let mut problem =
        Problem::new(Code::ValidationFailed, "The request has values that cannot be used.");
    let mut is_wrong = false;
    let template = template.map_or(Ok(()), Template::validate);
    let audience = audience.map_or(Ok(()), Audience::validate);
    for (member, errors) in [("/template", template), ("/audience", audience)] {
        for FieldError { pointer, code, detail } in errors.err().into_iter().flatten() {
            is_wrong = true;
            problem = problem.and_invalid(format!("{member}{pointer}"), code, detail);
        }
    }
    if let Some(detail) = ends_at.and_then(|ends_at| wrong_end(ends_at, now)) {
        is_wrong = true;
        problem = problem.and_invalid("/ends_at", "invalid_value", detail);
    }
    if is_wrong { Err(problem) } else { Ok(()) }
}

fn require_deletable(campaign: &Campaign) -> Result<(), ChangeError> {
    match campaign.status() {
        Status::Draft | Status::Scheduled => Ok(()),
        status => Err(ChangeError::Conflict {
            status,
            advice: "Only a campaign that was never started can be deleted.",
        }),
    }
}
