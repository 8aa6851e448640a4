//! `/v1/contacts/{id}/tags/{tag}`: one tag, whatever others do to the contact meanwhile.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use contracts::names::event::CONTACT_UPDATED;
use diesel_async::AsyncConnection;
use kernel::ids::ContactId;
use service::values::Nothing;
use service::{Caller, Problem, Query, Scope};
use storage::StorageError;
use storage::contacts::{self, MOST_TAGS};

use super::shown::show;
use super::values::Tag;
use super::{Api, tell};

pub(super) async fn add(
    caller: Caller,
    api: Data<Api>,
    path: Path<(ContactId, String)>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    let (id, tag) = path.into_inner();
    let tag = read(tag)?;
    let stored = change(&caller, &api, id, vec![tag.clone()], Vec::new()).await?;
    if !stored.tags.contains(&tag) {
        let detail = format!("a contact has at most {MOST_TAGS} tags");
        return Err(Problem::invalid("tag", "too_many", detail));
    }
    Ok(show(stored))
}

pub(super) async fn remove(
    caller: Caller,
    api: Data<Api>,
    path: Path<(ContactId, String)>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    let (id, tag) = path.into_inner();
    let tag = read(tag)?;
    change(&caller, &api, id, Vec::new(), vec![tag]).await.map(show)
}

fn read(tag: String) -> Result<String, Problem> {
    let tag =
        Tag::try_from(tag).map_err(|detail| Problem::invalid("tag", "invalid_value", detail))?;
    Ok(tag.into_string())
}

/// Idempotent by state: where nothing changes, there is nothing to tell.
async fn change(
    caller: &Caller,
    api: &Api,
    id: ContactId,
    adds: Vec<String>,
    removes: Vec<String>,
) -> Result<contacts::Contact, Problem> {
    caller.require(Scope::ContactsWrite)?;
    let (workspace, now) = (caller.workspace, api.clock.now());
    let mut conn = api.db.connection().await?;
    let changed = (*conn)
        .transaction(async |tx| {
            let before = contacts::lock(tx, workspace, &[id]).await?.pop();
            let Some(before) = before else { return Ok(None) };
            let stored = contacts::tag(tx, workspace, id, adds, removes, now).await?;
            let Some(stored) = stored else { return Ok(None) };
            let event = match stored.tags == before.tags {
                true => None,
                false => Some(tell(tx, workspace, id, CONTACT_UPDATED, now).await?),
            };
            Ok::<_, StorageError>(Some((stored, event)))
        })
        .await?;
    drop(conn);
    let (stored, event) = changed.ok_or_else(Problem::not_found)?;
    api.relay.publish(event.into_iter().collect()).await;
    Ok(stored)
}
