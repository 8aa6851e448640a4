//! Rules of bots, in their order.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use kernel::ids::{BotId, RuleId};
use storage::schema::{bot_rules, bots};
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;

use super::ChangeError;

/// Rules of one bot at most: deciding about a message may take 5 ms (reliability study, case 57).
pub(crate) const MOST_RULES: i64 = 1_000;

/// A rule as stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = bot_rules)]
pub(crate) struct StoredRule {
    id: Uuid,
    bot_id: Uuid,
    /// From 1, without gaps.
    pub(crate) position: i32,
    pub(crate) match_kind: String,
    pub(crate) match_value: String,
    pub(crate) reply_text: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

impl StoredRule {
    pub(crate) fn id(&self) -> RuleId {
        RuleId::from_uuid(self.id)
    }

    pub(crate) fn bot_id(&self) -> BotId {
        BotId::from_uuid(self.bot_id)
    }
}

/// What a rule says; `None` leaves a column as it is.
#[derive(Clone, Debug, Default, AsChangeset)]
#[diesel(table_name = bot_rules)]
pub(crate) struct Changes {
    pub(crate) match_kind: Option<String>,
    pub(crate) match_value: Option<String>,
    pub(crate) reply_text: Option<String>,
}

/// The rules of one version of a bot.
#[derive(Debug)]
pub(crate) struct StoredRules {
    pub(crate) version: i64,
    pub(crate) rules: Vec<StoredRule>,
}

/// Loads whole bots, whatever their tenant: for the consumer, whose messages name them. One
/// statement, so that rules and version belong together.
pub(crate) async fn load(
    conn: &mut AsyncPgConnection,
    ids: &[BotId],
) -> Result<HashMap<BotId, StoredRules>, StorageError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<(Uuid, i64, Option<StoredRule>)> = bots::table
        .left_join(bot_rules::table.on(bot_rules::bot_id.eq(bots::id)))
        .filter(bots::id.eq_any(ids))
        .order((bots::id, bot_rules::position))
        .select((bots::id, bots::version, Option::<StoredRule>::as_select()))
        .load(conn)
        .await?;
    let mut loaded = HashMap::new();
    for (bot, version, rule) in rows {
        let empty = || StoredRules { version, rules: Vec::new() };
        let stored = loaded.entry(BotId::from_uuid(bot)).or_insert_with(empty);
        stored.rules.extend(rule);
    }
    Ok(loaded)
}

/// Lists rules of a bot in their order.
pub(crate) async fn list(
    conn: &mut AsyncPgConnection,
    bot: BotId,
    after_position: i32,
    limit: i64,
) -> Result<Vec<StoredRule>, StorageError> {
    Ok(bot_rules::table
        .filter(bot_rules::bot_id.eq(bot.as_uuid()))
        .filter(bot_rules::position.gt(after_position))
        .order(bot_rules::position)
        .limit(limit)
        .select(StoredRule::as_select())
        .load(conn)
        .await?)
}

/// Appends a rule to a bot that [`super::bots::touch`] has locked.
pub(crate) async fn append(
    tx: &mut AsyncPgConnection,
    bot: BotId,
    rule: Changes,
    now: DateTime<Utc>,
) -> Result<StoredRule, ChangeError> {
    let (count, last): (i64, Option<i32>) = bot_rules::table
        .filter(bot_rules::bot_id.eq(bot.as_uuid()))
        .select((diesel::dsl::count_star(), diesel::dsl::max(bot_rules::position)))
        .first(tx)
        .await?;
    if count >= MOST_RULES {
        return Err(ChangeError::TooManyRules);
    }
    Ok(diesel::insert_into(bot_rules::table)
        .values((
            bot_rules::id.eq(RuleId::new().as_uuid()),
            bot_rules::bot_id.eq(bot.as_uuid()),
            bot_rules::position.eq(last.unwrap_or(0) + 1),
            bot_rules::match_kind.eq(rule.match_kind.unwrap_or_default()),
            bot_rules::match_value.eq(rule.match_value.unwrap_or_default()),
            bot_rules::reply_text.eq(rule.reply_text.unwrap_or_default()),
            bot_rules::created_at.eq(now),
            bot_rules::updated_at.eq(now),
        ))
        .returning(StoredRule::as_returning())
        .get_result(tx)
        .await?)
}

/// Changes a rule of a locked bot.
pub(crate) async fn update(
    tx: &mut AsyncPgConnection,
    bot: BotId,
    id: RuleId,
    changes: Changes,
    now: DateTime<Utc>,
) -> Result<StoredRule, ChangeError> {
    let target = bot_rules::table
        .filter(bot_rules::bot_id.eq(bot.as_uuid()))
        .filter(bot_rules::id.eq(id.as_uuid()));
    let changed = diesel::update(target)
        .set((changes, bot_rules::updated_at.eq(now)))
        .returning(StoredRule::as_returning())
        .get_result(tx)
        .await
        .optional()?;
    changed.ok_or(ChangeError::NotFound)
}

/// Deletes a rule of a locked bot; those behind it move up.
pub(crate) async fn delete(
    tx: &mut AsyncPgConnection,
    bot: BotId,
    id: RuleId,
) -> Result<StoredRule, ChangeError> {
    let target = bot_rules::table
        .filter(bot_rules::bot_id.eq(bot.as_uuid()))
        .filter(bot_rules::id.eq(id.as_uuid()));
    let deleted: Option<StoredRule> = diesel::delete(target)
        .returning(StoredRule::as_returning())
        .get_result(tx)
        .await
        .optional()?;
    let deleted = deleted.ok_or(ChangeError::NotFound)?;
    let behind = bot_rules::table
        .filter(bot_rules::bot_id.eq(bot.as_uuid()))
        .filter(bot_rules::position.gt(deleted.position));
    diesel::update(behind).set(bot_rules::position.eq(bot_rules::position - 1)).execute(tx).await?;
    Ok(deleted)
}

/// Puts the rules of a locked bot in the order of `ids`, which must name each exactly once.
pub(crate) async fn reorder(
    tx: &mut AsyncPgConnection,
    bot: BotId,
    ids: &[RuleId],
    now: DateTime<Utc>,
) -> Result<(), ChangeError> {
    let mine = bot_rules::table.filter(bot_rules::bot_id.eq(bot.as_uuid()));
    let mut known: Vec<Uuid> = mine.select(bot_rules::id).load(tx).await?;
    let mut given: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    known.sort_unstable();
    given.sort_unstable();
    if known != given {
        return Err(ChangeError::BadOrder);
    }
    // The uniqueness of positions is checked at the commit, so they may collide on the way.
    for (position, id) in (1_i32..).zip(ids) {
        let moved =
            mine.filter(bot_rules::id.eq(id.as_uuid())).filter(bot_rules::position.ne(position));
        diesel::update(moved)
            .set((bot_rules::position.eq(position), bot_rules::updated_at.eq(now)))
            .execute(tx)
            .await?;
    }
    Ok(())
}
