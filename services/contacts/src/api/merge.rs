//! `POST /v1/contacts/merge`: makes one contact of several that are one person. It cannot be undone, so it is
//! looked at first: a dry run shows what would move, and its token does it.

use std::collections::BTreeSet;

use actix_web::HttpResponse;
use actix_web::web::Data;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use contracts::names::event::CONTACT_MERGED;
use diesel_async::AsyncConnection;
use kernel::ids::ContactId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::values::{Nothing, Time};
use service::{Caller, Code, Json, Problem, Query, RequestId, Scope};
use storage::audit::{self, Entry};
use storage::contacts;
use storage::events::Event;
use storage::{AsyncPgConnection, StorageError};

use super::erase::Reason;
use super::shown::{Contact, phone, show};
use super::{Api, tell};

/// Contacts that become another in one request.
const MOST: usize = 20;
/// How long what was looked at may be done.
const GOOD_FOR: TimeDelta = TimeDelta::minutes(15);
const TOKEN: &str = "ct_";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    /// Who stays.
    keep: Option<ContactId>,
    /// Who becomes the one that stays.
    #[serde(default)]
    merge: BTreeSet<ContactId>,
    #[serde(default)]
    dry_run: bool,
    /// What a dry run gave out, instead of all this.
    confirm_token: Option<Token>,
    #[serde(default)]
    reason: Reason,
}

/// What was looked at: no secret, but a reminder. Whoever may merge may also write one.
#[derive(Debug, Deserialize, Serialize)]
struct Seen {
    keep: ContactId,
    merge: BTreeSet<ContactId>,
    /// When each of them was last changed, in the order of ids.
    versions: Vec<DateTime<Utc>>,
    until: DateTime<Utc>,
}

/// A [`Seen`] as callers hold it.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Token(Seen);

impl TryFrom<String> for Token {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let bytes = text.strip_prefix(TOKEN).and_then(|rest| URL_SAFE_NO_PAD.decode(rest).ok());
        let seen = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        seen.map(Self).ok_or("not a token that a dry run gave out")
    }
}

#[derive(Serialize)]
struct Preview {
    object: &'static str,
    dry_run: bool,
    keep: Contact,
    merge: Vec<Contact>,
    /// What would move.
    conversations: i64,
    messages: i64,
    /// A contact has one number: whoever writes from one of these is somebody new then.
    numbers_lost: Vec<String>,
    confirm_token: String,
    expires_at: Time,
}

pub(super) async fn merge(
    caller: Caller,
    api: Data<Api>,
    request: RequestId,
    _: Query<Nothing>,
    Json(body): Json<Body>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::ContactsWrite)?;
    match body {
        Body { confirm_token: Some(Token(seen)), keep: None, merge, dry_run: false, reason }
            if merge.is_empty() =>
        {
            confirm(&caller, &api, seen, reason, &request).await
        }
        Body { confirm_token: None, keep: Some(keep), merge, dry_run: true, .. } => {
            preview(&caller, &api, keep, merge).await
        }
        Body { .. } => Err(Problem::invalid(
            "/dry_run",
            "required",
            "look first: send keep, merge and dry_run: true, then nothing but the confirm_token of the answer",
        )),
    }
}

async fn preview(
    caller: &Caller,
    api: &Api,
    keep: ContactId,
    merge: BTreeSet<ContactId>,
) -> Result<HttpResponse, Problem> {
    if !(1..=MOST).contains(&merge.len()) || merge.contains(&keep) {
        let detail = format!("1 to {MOST} contacts, and not the one that stays");
        return Err(Problem::invalid("/merge", "invalid_value", detail));
    }
    let mut conn = api.db.connection().await?;
    let ids: Vec<ContactId> = merge.iter().copied().chain([keep]).collect();
    let all = contacts::by_ids(&mut conn, caller.workspace, &ids).await?;
    if all.len() != ids.len() {
        return Err(Problem::not_found());
    }
    let until = api.clock.now() + GOOD_FOR;
    let versions = all.iter().map(|contact| contact.updated_at).collect();
    let token = serde_json::to_vec(&Seen { keep, merge, versions, until });
    let token = URL_SAFE_NO_PAD.encode(token.map_err(Problem::internal)?);
    let (kept, goes): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.id() == keep);
    let kept = kept.into_iter().next().ok_or_else(Problem::not_found)?;
    let moving = contacts::moving(&mut conn, &goes).await?;
    // The first number there is stays.
    let numbers = std::iter::once(&kept).chain(&goes).filter_map(phone).skip(1).collect();
    Ok(HttpResponse::Ok().json(Preview {
        object: "contact_merge",
        dry_run: true,
        keep: kept.into(),
        merge: goes.into_iter().map(Contact::from).collect(),
        conversations: moving.conversations,
        messages: moving.messages,
        numbers_lost: numbers,
        confirm_token: format!("{TOKEN}{token}"),
        expires_at: Time(until),
    }))
}

/// What came of it.
enum Merged {
    Done(Box<contacts::Contact>, Event),
    /// It was so already.
    Before(Box<contacts::Contact>),
    Changed,
}

async fn confirm(
    caller: &Caller,
    api: &Api,
    seen: Seen,
    reason: Reason,
    request: &RequestId,
) -> Result<HttpResponse, Problem> {
    let now = api.clock.now();
    if now > seen.until {
        let detail = "Look again: ask for a dry run and confirm within 15 minutes.";
        return Err(Problem::new(Code::ConfirmTokenExpired, detail));
    }
    let entry = Entry {
        actor: caller.key.to_string(),
        workspace: Some(caller.workspace),
        action: "contact.merge".to_owned(),
        target: seen.keep.to_string(),
        reason: reason.0,
        before: Some(json!({ "merged": seen.merge })),
        after: None,
        request_id: Some(request.to_string()),
        follows: None,
    };
    let mut conn = api.db.connection().await?;
    let merged = (*conn).transaction(async |tx| unite(tx, caller, &seen, entry, now).await).await?;
    drop(conn);
    match merged {
        Merged::Done(kept, event) => {
            api.relay.publish(vec![event]).await;
            Ok(show(*kept))
        }
        Merged::Before(kept) => Ok(show(*kept)),
        Merged::Changed => Err(Problem::new(
            Code::ConfirmSetChanged,
            "One of them has changed since you looked, or is gone. Nothing was merged. Look again.",
        )),
    }
}

async fn unite(
    tx: &mut AsyncPgConnection,
    caller: &Caller,
    seen: &Seen,
    entry: Entry,
    now: DateTime<Utc>,
) -> Result<Merged, StorageError> {
    let workspace = caller.workspace;
    let ids: Vec<ContactId> = seen.merge.iter().copied().chain([seen.keep]).collect();
    let all = contacts::lock(tx, workspace, &ids).await?;
    let is_as_seen = all.iter().map(|contact| contact.updated_at).eq(seen.versions.iter().copied());
    let (mut kept, goes): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.id() == seen.keep);
    let Some(kept) = kept.pop() else { return Ok(Merged::Changed) };
    let gone: Vec<ContactId> = seen.merge.iter().copied().collect();
    if goes.is_empty() && contacts::are_united(tx, seen.keep, &gone).await? {
        return Ok(Merged::Before(Box::new(kept)));
    }
    if !is_as_seen {
        return Ok(Merged::Changed);
    }
    contacts::unite(tx, seen.keep, goes, now).await?;
    audit::write(tx, entry).await?;
    let event = tell(tx, workspace, seen.keep, CONTACT_MERGED, now).await?;
    let kept = contacts::find(tx, workspace, seen.keep).await?.unwrap_or(kept);
    Ok(Merged::Done(Box::new(kept), event))
}
