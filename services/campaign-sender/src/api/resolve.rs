//! A person's word about recipients of whom nobody knows whether they were reached.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use kernel::ids::{CampaignId, MessageId};
use serde::Deserialize;
use service::{Caller, Json, Problem, Query, Scope};
use storage::campaigns::standing::Resolution;

use super::Api;
use super::again::{self, Chance};
use super::control::by_hand;
use super::values::Nothing;
use crate::store::{campaigns, roster};

/// Recipients that one request may name.
const MOST_NAMED: usize = 5_000;
/// Characters of a reason at most.
const LONGEST_REASON: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    r#as: As,
    /// Those, or all that are uncertain.
    recipients: Option<Named>,
    reason: Option<Reason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum As {
    /// They have the message.
    Sent,
    /// They do not have it and shall not.
    NotSent,
    /// Send it again, even if it is the second time.
    Resend,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "Vec<MessageId>")]
struct Named(Vec<MessageId>);

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Reason(String);

/// Decides about uncertain recipients. Those that are not uncertain any more stay as they are.
pub(super) async fn resolve(
    api: Data<Api>,
    caller: Caller,
    id: Path<CampaignId>,
    Query(Nothing {}): Query<Nothing>,
    Json(body): Json<Body>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::CampaignsSend)?;
    require_known(&api, &caller, *id, body.recipients.as_ref()).await?;
    let by = by_hand(&caller, body.reason.as_ref().map(|reason| reason.0.as_str()));
    let ids = body.recipients.map(|named| named.0);
    let chance = Chance::Resolve { ids, decision: body.r#as.into() };
    again::give(&api, &caller, *id, chance, by).await
}

/// Refuses ids that are not this campaign's: a typing error must not pass for a decision.
async fn require_known(
    api: &Api,
    caller: &Caller,
    id: CampaignId,
    named: Option<&Named>,
) -> Result<(), Problem> {
    let mut conn = api.db.connection().await?;
    let campaign = campaigns::find(&mut conn, caller.workspace, id).await?;
    campaign.ok_or_else(Problem::not_found)?;
    let Some(Named(ids)) = named else { return Ok(()) };
    let known = roster::known(&mut conn, id, ids).await?;
    match ids.iter().position(|id| !known.contains(id)) {
        None => Ok(()),
        Some(position) => Err(Problem::invalid(
            format!("/recipients/{position}"),
            "unknown_recipient",
            "there is no such recipient in this campaign",
        )),
    }
}

impl From<As> for Resolution {
    fn from(decision: As) -> Self {
        match decision {
            As::Sent => Self::Sent,
            As::NotSent => Self::NotSent,
            As::Resend => Self::Resend,
        }
    }
}

impl TryFrom<Vec<MessageId>> for Named {
    type Error = String;

    fn try_from(ids: Vec<MessageId>) -> Result<Self, String> {
        if (1..=MOST_NAMED).contains(&ids.len()) {
            return Ok(Self(ids));
        }
        Err(format!("name 1 to {MOST_NAMED} recipients, or leave this out for all"))
    }
}

impl TryFrom<String> for Reason {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.chars().count() <= LONGEST_REASON && !text.contains('\0') {
            return Ok(Self(text));
        }
        Err(format!("a reason has at most {LONGEST_REASON} characters"))
    }
}
