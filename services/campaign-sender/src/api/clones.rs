//! Copies of campaigns.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, Responder};
use diesel_async::AsyncConnection;
use kernel::ids::CampaignId;
use serde::Deserialize;
use serde_json::json;
use service::{Caller, Json, Problem, Query, Scope, etag};

use super::values::{Name, Nothing};
use super::{Api, view};
use crate::store::campaigns::{self, Campaign, NewCampaign};
use crate::store::uploads::{self, Chosen};
use crate::store::{ChangeError, log};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    name: Option<Name>,
    recipients: Option<Recipients>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Recipients {
    Failed,
    Skipped,
    NotRead,
}

/// Makes a draft like this campaign; for all of its audience, or for those recipients of it who failed,
/// were skipped, or have not read it. Its schedule is not copied.
pub(super) async fn create(
    api: Data<Api>,
    caller: Caller,
    id: Path<CampaignId>,
    Query(Nothing {}): Query<Nothing>,
    Json(body): Json<Body>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::CampaignsWrite)?;
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    let made = (*conn)
        .transaction(async |tx| {
            let workspace = caller.workspace;
            let original = campaigns::find(tx, workspace, *id).await?;
            let original = original.ok_or(ChangeError::NotFound)?;
            let name = body.name.map(|name| name.0);
            let new = copy_of(&original, name, body.recipients, caller.key.to_string());
            let made = campaigns::insert(tx, workspace, new, now).await?;
            match body.recipients {
                None => uploads::copy_file(tx, *id, made.id()).await?,
                Some(chosen) => {
                    uploads::copy(tx, *id, made.id(), chosen.into()).await?;
                }
            }
            let entry = (caller.key.to_string(), "cloned", json!({ "from": *id }));
            log::append(tx, workspace, made.id(), entry, now).await?;
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

impl From<Recipients> for Chosen {
    fn from(recipients: Recipients) -> Self {
        match recipients {
            Recipients::Failed => Self::Failed,
            Recipients::Skipped => Self::Skipped,
            Recipients::NotRead => Self::NotRead,
        }
    }
}

fn copy_of(
    original: &Campaign,
    name: Option<String>,
    recipients: Option<Recipients>,
    created_by: String,
) -> NewCampaign {
    NewCampaign {
        connection: original.connection_id(),
        name: name.unwrap_or_else(|| format!("{} (copy)", original.name)),
        template: original.template.clone(),
        audience: match recipients {
            None => original.audience.clone(),
            Some(_) => json!({ "upload": true }),
        },
        on_uncertain: original.on_uncertain.clone(),
        cap: Option::zip(original.cap_messages, original.cap_days),
        ends_at: None,
        cloned_from: Some(original.id()),
        created_by,
    }
}
