//! `/v1/contacts/{id}` and `…/by-phone/{e164}`: people one by one.
//!
//! Whoever keeps contacts elsewhere brings them here by number: `PUT …/by-phone/{e164}` makes or
//! changes, whichever it takes, however often it is called.

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path};
use contracts::names::event::{CONTACT_CREATED, CONTACT_UPDATED};
use diesel_async::AsyncConnection;
use kernel::ids::ContactId;
use service::values::{Nothing, Phone};
use service::version::{IfMatch, etag};
use service::{Caller, Json, Problem, Query, Scope};
use storage::StorageError;
use storage::contacts;

use super::shown::{Contact, show};
use super::values::Patch;
use super::{Api, tell};

pub(super) async fn keep(
    caller: Caller,
    api: Data<Api>,
    e164: Path<String>,
    _: Query<Nothing>,
    Json(patch): Json<Patch>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::ContactsWrite)?;
    let phone = Phone::try_from(e164.into_inner())
        .map_err(|detail| Problem::invalid("e164", "invalid_value", detail))?;
    let (workspace, now) = (caller.workspace, api.clock.now());
    let mut conn = api.db.connection().await?;
    let (stored, is_new, event) = (*conn)
        .transaction(async |tx| {
            let (stored, is_new) =
                contacts::keep(tx, workspace, phone.wa_id(), patch.into(), now).await?;
            let event_type = if is_new { CONTACT_CREATED } else { CONTACT_UPDATED };
            let event = tell(tx, workspace, stored.id(), event_type, now).await?;
            Ok::<_, StorageError>((stored, is_new, event))
        })
        .await?;
    drop(conn);
    api.relay.publish(vec![event]).await;
    if !is_new {
        return Ok(show(stored));
    }
    let location = (LOCATION, format!("/v1/contacts/{}", stored.id()));
    Ok(HttpResponse::Created()
        .insert_header(location)
        .insert_header(etag(stored.updated_at))
        .json(Contact::from(stored)))
}

pub(super) async fn read(
    caller: Caller,
    api: Data<Api>,
    id: Path<ContactId>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::ContactsRead)?;
    let mut conn = api.db.connection().await?;
    let found = contacts::find(&mut conn, caller.workspace, *id).await?;
    found.map(show).ok_or_else(Problem::not_found)
}

pub(super) async fn change(
    caller: Caller,
    api: Data<Api>,
    id: Path<ContactId>,
    _: Query<Nothing>,
    if_match: IfMatch,
    Json(patch): Json<Patch>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::ContactsWrite)?;
    let (workspace, versions, now) = (caller.workspace, if_match.versions(), api.clock.now());
    let mut conn = api.db.connection().await?;
    let changed = (*conn)
        .transaction(async |tx| {
            let changed = contacts::change(tx, workspace, *id, patch.into(), versions, now).await?;
            let Some(stored) = changed else { return Ok(None) };
            let event = tell(tx, workspace, *id, CONTACT_UPDATED, now).await?;
            Ok::<_, StorageError>(Some((stored, event)))
        })
        .await?;
    let Some((stored, event)) = changed else {
        let is_there = contacts::find(&mut conn, workspace, *id).await?.is_some();
        return Err(if_match.refusal(is_there));
    };
    drop(conn);
    api.relay.publish(vec![event]).await;
    Ok(show(stored))
}
