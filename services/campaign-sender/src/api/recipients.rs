//! The recipients of a campaign, one by one; as pages, or all of them as CSV.

mod csv;

use actix_web::http::header::{ACCEPT, CONTENT_DISPOSITION};
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse, Responder};
use futures_util::stream::{self, Stream};
use kernel::ids::{CampaignId, ContactId, MessageId};
use serde::{Deserialize, Serialize};
use service::{Caller, Cursor, Limit, Page, Problem, Query, Scope};

use super::{Api, shown_time};
use crate::store::campaigns;
use crate::store::roster::{self, Recipient};

/// Recipients read for a part of a CSV answer: what memory holds of it.
const PART: usize = 2_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<i32>>,
    #[serde(default)]
    state: Vec<State>,
    #[serde(default)]
    error_code: Vec<i32>,
}

/// As the campaign's counts name them.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Pending,
    InFlight,
    Accepted,
    Failed,
    Skipped,
    Uncertain,
    Expired,
}

#[derive(Debug, Serialize)]
struct Shown {
    object: &'static str,
    /// A recipient is named by their message.
    id: MessageId,
    /// The place in the campaign, counted from 1.
    n: i32,
    contact: ContactId,
    phone: Option<String>,
    user: Option<String>,
    name: Option<String>,
    state: String,
    /// How far an accepted message came: `sent`, `delivered`, `read`.
    delivery: Option<&'static str>,
    /// Why it was skipped.
    reason: Option<String>,
    error_code: Option<i32>,
    accepted_at: Option<String>,
    sent_at: Option<String>,
    delivered_at: Option<String>,
    read_at: Option<String>,
    failed_at: Option<String>,
}

/// Recipients in the order of sending; with `Accept: text/csv` all that are wanted, in one answer.
pub(super) async fn list(
    api: Data<Api>,
    caller: Caller,
    id: Path<CampaignId>,
    Query(wanted): Query<Wanted>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::CampaignsRead)?;
    let mut conn = api.db.connection().await?;
    let campaign = campaigns::find(&mut conn, caller.workspace, *id).await?;
    campaign.ok_or_else(Problem::not_found)?;
    let filter = roster::Wanted {
        states: wanted.state.iter().map(|state| state.as_str()).collect(),
        error_codes: wanted.error_code,
    };
    let after = wanted.cursor.map_or(0, |Cursor(last)| last.max(0));
    if accepts_csv(&request) {
        drop(conn);
        let file = format!("attachment; filename=\"{}-recipients.csv\"", *id);
        return Ok(HttpResponse::Ok()
            .content_type("text/csv; charset=utf-8")
            .insert_header((CONTENT_DISPOSITION, file))
            .streaming(parts(api, *id, filter, after)));
    }
    let rows = wanted.limit.get() + 1;
    let found = roster::page(&mut conn, *id, &filter, after, rows).await?;
    let page = Page::new(found, wanted.limit, |recipient: &Recipient| recipient.n, Shown::new);
    Ok(page.respond_to(&request))
}

/// The header line, then recipients by the thousand. An error breaks the answer off, so that nobody
/// takes a part for the whole.
fn parts(
    api: Data<Api>,
    campaign: CampaignId,
    wanted: roster::Wanted,
    after: i32,
) -> impl Stream<Item = Result<Bytes, Problem>> {
    let begin = Some((after, csv::header()));
    stream::try_unfold((api, wanted, begin), move |(api, wanted, place)| async move {
        let Some((after, mut text)) = place else { return Ok(None) };
        let mut conn = api.db.connection().await?;
        let found = roster::page(&mut conn, campaign, &wanted, after, PART).await?;
        drop(conn);
        let last = found.last().map(|recipient| recipient.n);
        let next = last.filter(|_| found.len() == PART).map(|last| (last, Vec::new()));
        for recipient in found {
            csv::write(&mut text, &Shown::new(recipient))?;
        }
        Ok(Some((Bytes::from(text), (api, wanted, next))))
    })
}

fn accepts_csv(request: &HttpRequest) -> bool {
    let accepted = request.headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|value| value.split(','));
    kinds.any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "text/csv"))
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InFlight => "in_flight",
            Self::Accepted => "accepted",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Uncertain => "uncertain",
            Self::Expired => "expired",
        }
    }
}

impl Shown {
    fn new(recipient: Recipient) -> Self {
        let steps = [
            (recipient.read_at, "read"),
            (recipient.delivered_at, "delivered"),
            (recipient.sent_at, "sent"),
        ];
        let furthest = steps.into_iter().find_map(|(at, step)| at.map(|_| step));
        Self {
            object: "recipient",
            id: recipient.id(),
            n: recipient.n,
            contact: recipient.contact_id(),
            phone: recipient.phone(),
            user: recipient.user().map(str::to_owned),
            delivery: furthest.filter(|_| recipient.state == State::Accepted.as_str()),
            name: recipient.name,
            state: recipient.state,
            reason: recipient.reason,
            error_code: recipient.error_code,
            accepted_at: recipient.accepted_at.map(shown_time),
            sent_at: recipient.sent_at.map(shown_time),
            delivered_at: recipient.delivered_at.map(shown_time),
            read_at: recipient.read_at.map(shown_time),
            failed_at: recipient.failed_at.map(shown_time),
        }
    }
}
