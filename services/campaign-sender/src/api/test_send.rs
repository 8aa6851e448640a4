//! A campaign's message for a few numbers, before everybody gets it.

use std::collections::HashMap;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use chrono::{DateTime, Utc};
use diesel_async::AsyncConnection;
use kernel::WaId;
use kernel::ids::{CampaignId, MessageId};
use sending::Content;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service::{Answer, Caller, Code, Keyed, Problem, Query, RolledBack, Scope};
use storage::AsyncPgConnection;
use storage::campaigns::standing::Status;
use storage::events::Event;

use super::Api;
use super::values::Nothing;
use crate::audience::phone;
use crate::store::campaigns;
use crate::store::trials::{self, Letter, Test, Tester};
use crate::store::{ChangeError, log};
use crate::template::{Placeholder, Source, Template};

/// Numbers of one request at most: a test is no campaign.
const MOST_NUMBERS: usize = 5;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    to: Numbers,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "Vec<String>")]
struct Numbers(Vec<WaId>);

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
    Query(Nothing {}): Query<Nothing>,
    keyed: Keyed<Body>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::CampaignsSend)?;
    let (key, Body { to: Numbers(numbers) }) = keyed.required()?;
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    let (answer, events) = (*conn)
        .transaction(async |tx| {
            if let Some(answer) = key.recall(tx, caller.workspace, now).await? {
                return Ok((answer, Vec::new()));
            }
            let (sent, events) = test(tx, &caller, *id, &numbers, now).await?;
            let answer = Answer::new(StatusCode::ACCEPTED, &sent)?;
            key.remember(tx, caller.workspace, &answer, id.as_uuid(), now).await?;
            Ok::<_, RolledBack>((answer, events))
        })
        .await?;
    drop(conn);
    api.relay.publish(events).await;
    api.sender.nudge();
    Ok(answer.respond())
}

async fn test(
    tx: &mut AsyncPgConnection,
    caller: &Caller,
    id: CampaignId,
    numbers: &[WaId],
    now: DateTime<Utc>,
) -> Result<(Sent, Vec<Event>), RolledBack> {
    let workspace = caller.workspace;
    let campaign = campaigns::lock(tx, workspace, id, None).await?;
    require_testable(campaign.status())?;
    let connection = campaign.connection_id();
    campaigns::require_connection(tx, workspace, connection).await?;
    let testers = trials::testers(tx, workspace, numbers, now).await?;
    let letters = letters(campaign.template, testers)?;
    let (made, events) = trials::enqueue(tx, Test { workspace, connection }, letters, now).await?;
    let entry = (caller.key.to_string(), "test_sent", json!({ "messages": made.len() }));
    log::append(tx, workspace, id, entry, now).await?;
    let messages = shown(numbers, &made);
    Ok((Sent { object: "test_send", campaign: id, messages }, events))
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

fn letters(template: Value, testers: Vec<Tester>) -> Result<Vec<Letter>, Problem> {
    let unfit = |error: &dyn std::error::Error| {
        let detail = format!("The template cannot be filled in: {error}.");
        Problem::new(Code::TemplateParamsMismatch, detail)
    };
    let template: Template = serde_json::from_value(template).map_err(|error| unfit(&error))?;
    let placeholders = template.placeholders();
    let mut letters = Vec::with_capacity(testers.len());
    for tester in testers {
        if tester.has_opted_out {
            let detail = "One of the numbers wants no messages.";
            return Err(Problem::new(Code::ContactOptedOut, detail));
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
