//! The order in which a bot's rules are tried.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, Responder};
use diesel_async::AsyncConnection;
use kernel::ids::{BotId, RuleId};
use serde::{Deserialize, Serialize};
use service::{Caller, IfMatch, Json, Problem, Scope, etag};

use super::Api;
use crate::store::bots::Changes;
use crate::store::{ChangeError, bots, rules};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    rules: Vec<RuleId>,
}

#[derive(Debug, Serialize)]
struct Shown {
    object: &'static str,
    bot: BotId,
    rules: Vec<RuleId>,
}

pub(super) async fn set(
    api: Data<Api>,
    caller: Caller,
    bot: Path<BotId>,
    IfMatch(expected): IfMatch,
    Json(order): Json<Order>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::BotsWrite)?;
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    let version = (*conn)
        .transaction(async |tx| {
            let unchanged = Changes::default();
            let bot = bots::touch(tx, caller.workspace, *bot, expected, unchanged, now).await?;
            rules::reorder(tx, bot.id(), &order.rules, now).await?;
            Ok::<_, ChangeError>(bot.version)
        })
        .await?;
    let shown = Shown { object: "rule_order", bot: *bot, rules: order.rules };
    Ok(HttpResponse::Ok().insert_header(etag(version)).json(shown))
}
