//! Rules: what a bot listens for and what it answers.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, Responder};
use diesel_async::AsyncConnection;
use kernel::chain;
use kernel::ids::{BotId, RuleId};
use serde::{Deserialize, Serialize};
use service::{Caller, Cursor, IfMatch, Json, Limit, Page, Problem, Query, Scope, etag};

use super::{Api, shown};
use crate::rules::{MOST_REPLY_CHARS, MatchKind, Pattern};
use crate::store::rules::{self, Changes, StoredRule};
use crate::store::{ChangeError, bots};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRule {
    r#match: Match,
    reply: Reply,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RulePatch {
    r#match: Option<Match>,
    reply: Option<Reply>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Match {
    kind: MatchKind,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    value: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    r#type: ReplyType,
    text: Text,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReplyType {
    Text,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    body: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<i32>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Shown {
    object: &'static str,
    id: RuleId,
    bot: BotId,
    position: i32,
    r#match: ShownMatch,
    reply: Reply,
    created_at: String,
    updated_at: String,
}

#[derive(Debug, Serialize)]
struct ShownMatch {
    kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
}

impl From<StoredRule> for Shown {
    fn from(rule: StoredRule) -> Self {
        Self {
            object: "rule",
            id: rule.id(),
            bot: rule.bot_id(),
            position: rule.position,
            r#match: ShownMatch { kind: rule.match_kind, value: rule.match_value },
            reply: Reply { r#type: ReplyType::Text, text: Text { body: rule.reply_text } },
            created_at: shown(rule.created_at),
            updated_at: shown(rule.updated_at),
        }
    }
}

pub(super) async fn list(
    api: Data<Api>,
    caller: Caller,
    bot: Path<BotId>,
    Query(filter): Query<Filter>,
) -> Result<Page<Shown>, Problem> {
    caller.require(Scope::BotsRead)?;
    let mut conn = api.db.connection().await?;
    let bot = bots::find(&mut conn, caller.workspace, *bot).await?;
    let bot = bot.ok_or_else(Problem::not_found)?;
    let after = filter.cursor.map_or(0, |Cursor(last)| last);
    let found = rules::list(&mut conn, bot.id(), after, filter.limit.rows()).await?;
    Ok(Page::new(found, filter.limit, |rule| rule.position, Shown::from))
}

pub(super) async fn create(
    api: Data<Api>,
    caller: Caller,
    bot: Path<BotId>,
    IfMatch(expected): IfMatch,
    Json(new): Json<NewRule>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::BotsWrite)?;
    let rule = checked(Some(new.r#match), Some(new.reply))?;
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    let (version, rule) = (*conn)
        .transaction(async |tx| {
            let unchanged = bots::Changes::default();
            let bot = bots::touch(tx, caller.workspace, *bot, expected, unchanged, now).await?;
            let rule = rules::append(tx, bot.id(), rule, now).await?;
            Ok::<_, ChangeError>((bot.version, rule))
        })
        .await?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/v1/bots/{}/rules/{}", rule.bot_id(), rule.id())))
        .insert_header(etag(version))
        .json(Shown::from(rule)))
}

pub(super) async fn change(
    api: Data<Api>,
    caller: Caller,
    path: Path<(BotId, RuleId)>,
    IfMatch(expected): IfMatch,
    Json(patch): Json<RulePatch>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::BotsWrite)?;
    let changes = checked(patch.r#match, patch.reply)?;
    let (bot, id) = path.into_inner();
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    let changed = (*conn)
        .transaction(async |tx| {
            let unchanged = bots::Changes::default();
            let bot = bots::touch(tx, caller.workspace, bot, expected, unchanged, now).await?;
            let rule = rules::update(tx, bot.id(), id, changes, now).await?;
            Ok::<_, ChangeError>((bot.version, rule))
        })
        .await?;
    Ok(answer(changed))
}

pub(super) async fn delete(
    api: Data<Api>,
    caller: Caller,
    path: Path<(BotId, RuleId)>,
    IfMatch(expected): IfMatch,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::BotsWrite)?;
    let (bot, id) = path.into_inner();
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    let deleted = (*conn)
        .transaction(async |tx| {
            let unchanged = bots::Changes::default();
            let bot = bots::touch(tx, caller.workspace, bot, expected, unchanged, now).await?;
            let rule = rules::delete(tx, bot.id(), id).await?;
            Ok::<_, ChangeError>((bot.version, rule))
        })
        .await?;
    Ok(answer(deleted))
}

fn answer((version, rule): (i64, StoredRule)) -> HttpResponse {
    HttpResponse::Ok().insert_header(etag(version)).json(Shown::from(rule))
}

/// What the request says, if it can be used: a regular expression is compiled here once, so that one
/// that cannot be used is never stored.
fn checked(listens: Option<Match>, answers: Option<Reply>) -> Result<Changes, Problem> {
    let mut changes = Changes::default();
    if let Some(Match { kind, value }) = listens {
        if let Err(error) = Pattern::compile(kind, &value) {
            return Err(Problem::invalid(
                "/match/value",
                "invalid_value",
                chain(&error).to_string(),
            ));
        }
        changes.match_kind = Some(kind.as_str().to_owned());
        changes.match_value = Some(value);
    }
    if let Some(Reply { r#type: ReplyType::Text, text: Text { body } }) = answers {
        let count = body.chars().count();
        if body.trim().is_empty() || count > MOST_REPLY_CHARS || body.contains('\0') {
            let detail = format!("a text has 1 to {MOST_REPLY_CHARS} characters, and no U+0000");
            return Err(Problem::invalid("/reply/text/body", "invalid_value", detail));
        }
        changes.reply_text = Some(body);
    }
    Ok(changes)
}
