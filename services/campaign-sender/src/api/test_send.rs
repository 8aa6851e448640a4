//! A campaign's message for a few numbers, before everybody gets it.

use std::collections::HashMap;

use actix_web::dev::Payload;
use actix_web::http::header::HeaderName;
use actix_web::web::{Data, Path};
use actix_web::{FromRequest, HttpRequest, HttpResponse, Responder};
use diesel_async::AsyncConnection;
use futures_util::future::{Ready, ready};
use kernel::WaId;
use kernel::ids::{CampaignId, MessageId};
use sending::Content;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service::{Caller, Code, Json, Problem, Query, Scope};
use storage::campaigns::standing::Status;

use super::Api;
use super::values::Nothing;
use crate::audience::phone;
use crate::store::campaigns;
use crate::store::trials::{self, Letter, Test, Tester};
use crate::store::{ChangeError, log};
use crate::template::{Placeholder, Source, Template};

/// Numbers of one request at most: a test is no campaign.
const MOST_NUMBERS: usize = 5;
/// Characters of a key at most.
const LONGEST_KEY: usize = 255;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    to: Numbers,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "Vec<String>")]
struct Numbers(Vec<WaId>);

/// What the caller knows a request by: the same key sends nothing twice.
#[derive(Debug)]
pub(super) struct IdempotencyKey(String);

#[derive(Debug, Serialize)]
struct Sent {
    object: &'static str,
    campaign: CampaignId,
    messages: Vec<Message>,
}

#[derive(Debug, Serialize)]
struct Message {
    to: String,
    id: MessageId,
}

/// Sends the message as it is now to up to five numbers. A value that a number's contact lacks is
/// shown by its name. Not counted in the campaign.
pub(super) async fn send(
    api: Data<Api>,
    caller: Caller,
    id: Path<CampaignId>,
    key: Result<IdempotencyKey, Problem>,
    Query(Nothing {}): Query<Nothing>,
    Json(Body { to: Numbers(numbers) }): Json<Body>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::CampaignsSend)?;
    let IdempotencyKey(key) = key?;
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    let (made, events) = (*conn)
        .transaction(async |tx| {
            let campaign = campaigns::lock(tx, caller.workspace, *id, None).await?;
            require_testable(campaign.status())?;
            let (workspace, connection) = (caller.workspace, campaign.connection_id());
            campaigns::require_connection(tx, workspace, connection).await?;
            let test = Test { workspace, campaign: *id, connection, key: &key };
            let mut made = trials::made(tx, test, &numbers).await?;
            let missing: Vec<WaId> =
                numbers.iter().filter(|number| !made.contains_key(number)).cloned().collect();
            let testers = trials::testers(tx, workspace, &missing, now).await?;
            let letters = letters(campaign.template, testers)?;
            let (new, events) = trials::enqueue(tx, test, letters, now).await?;
            if !new.is_empty() {
                let entry = (caller.key.to_string(), "test_sent", json!({ "messages": new.len() }));
                log::append(tx, workspace, *id, entry, now).await?;
            }
            made.extend(new);
            Ok::<_, Refused>((made, events))
        })
        .await?;
    drop(conn);
    api.relay.publish(events).await;
    api.sender.nudge();
    let messages = shown(&numbers, &made);
    Ok(HttpResponse::Accepted().json(Sent { object: "test_send", campaign: *id, messages }))
}

/// Why nothing was sent.
#[derive(Debug)]
enum Refused {
    Change(ChangeError),
    /// A tester wants no messages.
    OptedOut,
    /// The template cannot be filled in.
    Unfit(String),
}

impl From<ChangeError> for Refused {
    fn from(error: ChangeError) -> Self {
        Self::Change(error)
    }
}

impl From<storage::StorageError> for Refused {
    fn from(error: storage::StorageError) -> Self {
        Self::Change(error.into())
    }
}

impl From<diesel::result::Error> for Refused {
    fn from(error: diesel::result::Error) -> Self {
        Self::Change(error.into())
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Change(error) => error.into(),
            Refused::OptedOut => {
                Self::new(Code::ContactOptedOut, "One of the numbers wants no messages.")
            }
            Refused::Unfit(why) => Self::new(
                Code::TemplateParamsMismatch,
                format!("The template cannot be filled in: {why}."),
            ),
        }
    }
}

fn require_testable(status: Status) -> Result<(), ChangeError> {
    match status {
        Status::Cancelled | Status::Failed => {
            Err(ChangeError::Conflict { status, advice: "Clone it and test the copy." })
        }
        Status::Draft
        | Status::Scheduled
        | Status::Preparing
        | Status::Running
        | Status::Paused
        | Status::Completed
        | Status::CompletedWithIssues => Ok(()),
    }
}

fn letters(template: Value, testers: Vec<Tester>) -> Result<Vec<Letter>, Refused> {
    let unfit = |error: &dyn std::error::Error| Refused::Unfit(error.to_string());
    let template: Template = serde_json::from_value(template).map_err(|error| unfit(&error))?;
    let placeholders = template.placeholders();
    let mut letters = Vec::with_capacity(testers.len());
    for tester in testers {
        if tester.has_opted_out {
            return Err(Refused::OptedOut);
        }
        let values: Vec<String> =
            placeholders.iter().map(|placeholder| value(placeholder, &tester)).collect();
        let rendered = template.render(&values).map_err(|error| unfit(&error))?;
        let content = Content::Template {
            name: template.name.clone(),
            language: template.language.clone(),
            components: rendered.components,
        };
        let content = content.encode().map_err(|error| unfit(&error))?;
        letters.push(Letter { tester, content, body: rendered.body });
    }
    Ok(letters)
}

/// What a placeholder stands for; where nothing is known, its own name.
fn value(placeholder: &Placeholder, tester: &Tester) -> String {
    let known = match &placeholder.source {
        Source::Name => tester.name.clone(),
        Source::Phone => Some(format!("+{}", tester.wa_id.as_str())),
        Source::Attribute(key) => tester.attributes.get(key).and_then(|value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        }),
    };
    let known = known.filter(|text| !text.trim().is_empty());
    known.or_else(|| placeholder.default.clone()).unwrap_or_else(|| match &placeholder.source {
        Source::Name => "name".to_owned(),
        Source::Phone => "phone".to_owned(),
        Source::Attribute(key) => key.clone(),
    })
}

fn shown(numbers: &[WaId], made: &HashMap<WaId, MessageId>) -> Vec<Message> {
    let message = |number: &WaId| {
        Some(Message { to: format!("+{}", number.as_str()), id: *made.get(number)? })
    };
    numbers.iter().filter_map(message).collect()
}

impl TryFrom<Vec<String>> for Numbers {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        let mut numbers = Vec::new();
        for text in texts {
            let number = phone(&text).ok_or("a phone number is written +493055501200")?;
            let number = WaId::new(number);
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        if (1..=MOST_NUMBERS).contains(&numbers.len()) {
            return Ok(Self(numbers));
        }
        Err(format!("a test goes to 1 to {MOST_NUMBERS} numbers"))
    }
}

impl FromRequest for IdempotencyKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let header = request.headers().get(IDEMPOTENCY_KEY);
        ready(parse(header.map(|value| value.to_str().unwrap_or_default())))
    }
}

/// Bare or quoted, as both are in use.
fn parse(header: Option<&str>) -> Result<IdempotencyKey, Problem> {
    let Some(text) = header.map(str::trim) else {
        let detail = "Name this request, so that it can be repeated without sending twice.";
        return Err(Problem::new(Code::IdempotencyKeyMissing, detail));
    };
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-');
    if (1..=LONGEST_KEY).contains(&bare.len()) && bare.chars().all(is_fit) {
        return Ok(IdempotencyKey(bare.to_owned()));
    }
    Err(Problem::invalid(
        "Idempotency-Key",
        "invalid_value",
        "a key has 1 to 255 of A-Z, a-z, 0-9, `.`, `_`, `:` and `-`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_bare_and_quoted() {
        assert_eq!(parse(Some("\"a:1\"")).unwrap().0, "a:1");
        assert_eq!(parse(Some(" a:1 ")).unwrap().0, "a:1");
        assert_eq!(parse(None).unwrap_err().code(), Code::IdempotencyKeyMissing);
        for key in ["", "\"\"", "a b", "ä", &"a".repeat(256)] {
            assert_eq!(parse(Some(key)).unwrap_err().code(), Code::ValidationFailed, "{key}");
        }
    }
}
