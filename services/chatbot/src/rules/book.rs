//! Compiled rules, kept until their bot changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kernel::ids::BotId;
use storage::bot_turns::BotSeen;
use storage::{Database, StorageError};
use tracing::error;

use super::{MatchKind, Pattern, Rule, Rules};
use crate::store::rules::{StoredRule, StoredRules, load};

/// Bots remembered at once; compiled rules may be large.
const MOST_BOTS: usize = 256;

/// Rules by bot.
///
/// Invariant: rules older than the version asked for are never handed out.
#[derive(Debug, Default)]
pub(crate) struct RuleBook {
    known: Mutex<HashMap<BotId, Arc<Rules>>>,
}

impl RuleBook {
    /// The rules of `bots`; a bot that has been deleted has none.
    ///
    /// # Errors
    ///
    /// When rules must be loaded and the database fails.
    pub(crate) async fn find(
        &self,
        db: &Database,
        bots: impl Iterator<Item = BotSeen>,
    ) -> Result<HashMap<BotId, Arc<Rules>>, StorageError> {
        let (mut found, unknown) = self.look_up(bots);
        if unknown.is_empty() {
            return Ok(found);
        }
        let stored = {
            let mut conn = db.connection().await?;
            load(&mut conn, &unknown).await?
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + stored.len() > MOST_BOTS {
            known.clear();
        }
        for (bot, stored) in stored {
            let rules = Arc::new(compile(stored));
            known.insert(bot, Arc::clone(&rules));
            found.insert(bot, rules);
        }
        Ok(found)
    }

    fn look_up(
        &self,
        bots: impl Iterator<Item = BotSeen>,
    ) -> (HashMap<BotId, Arc<Rules>>, Vec<BotId>) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut found, mut unknown) = (HashMap::new(), Vec::new());
        for bot in bots {
            match known.get(&bot.id).filter(|rules| rules.version >= bot.version) {
                Some(rules) => drop(found.insert(bot.id, Arc::clone(rules))),
                None if unknown.contains(&bot.id) => (),
                None => unknown.push(bot.id),
            }
        }
        (found, unknown)
    }
}

fn compile(stored: StoredRules) -> Rules {
    Rules { version: stored.version, rules: stored.rules.into_iter().filter_map(ready).collect() }
}

/// A rule that was valid when it was saved and is not any more is left out: the others still answer.
fn ready(stored: StoredRule) -> Option<Rule> {
    let Some(kind) = MatchKind::read(&stored.match_kind) else {
        error!(rule.id = %stored.id(), "rule is of a kind this version does not know");
        return None;
    };
    // The error would quote the pattern, and logs hold no texts.
    let Ok(pattern) = Pattern::compile(kind, &stored.match_value) else {
        error!(rule.id = %stored.id(), "rule cannot be used any more");
        return None;
    };
    Some(Rule { id: stored.id(), pattern, reply: stored.reply_text })
}
