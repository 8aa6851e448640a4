//! `migrate`: brings the schema up to date. Many may run it at once; an advisory lock sorts them.

use serde_json::json;
use settings::Settings;
use storage::migrations::{self, MigrationError};

use crate::cli::Migrate;
use crate::exit::{DATABASE_AWAY, Exit, Failure};
use crate::parts;
use crate::screen::{Screen, Tone, columns};

/// Applies what is missing, or lists what is there. Needs neither broker nor Redis.
pub(crate) async fn migrate(screen: Screen, action: Migrate) -> Result<Exit, Failure> {
    let settings = Settings::load(&[])?.settings;
    let db = parts::database(&settings)?;
    match action {
        Migrate::Up => {
            let applied = migrations::up(&db).await.map_err(failed)?;
            let known = migrations::status(&db).await.map_err(failed)?;
            let names: Vec<String> = known
                .into_iter()
                .map(|one| one.name)
                .filter(|name| applied.contains(&version(name)))
                .collect();
            if screen.is_json {
                screen.json(&json!({ "applied": names }));
            } else {
                names.iter().for_each(|name| screen.data(name));
            }
            screen.talk(&match names.len() {
                0 => "The schema is up to date already.".to_owned(),
                count => format!("{count} migrations applied. Next: switchyard run all"),
            });
            Ok(Exit::Done)
        }
        Migrate::Status => {
            let all = migrations::status(&db).await.map_err(failed)?;
            let missing = all.iter().filter(|migration| !migration.is_applied).count();
            if screen.is_json {
                let list: Vec<_> = all
                    .iter()
                    .map(|one| json!({ "name": one.name, "applied": one.is_applied }))
                    .collect();
                screen.json(&json!({ "migrations": list, "missing": missing }));
            } else {
                let rows: Vec<[String; 2]> = all
                    .iter()
                    .map(|one| [shown(one.is_applied).to_owned(), one.name.clone()])
                    .collect();
                for (line, one) in columns(&rows).iter().zip(&all) {
                    let tone = if one.is_applied { Tone::Plain } else { Tone::Warn };
                    screen.data(&screen.tint(tone, line));
                }
            }
            if missing == 0 {
                return Ok(Exit::Done);
            }
            screen.talk(&format!("{missing} missing. Next: switchyard migrate up"));
            Ok(Exit::Unhealthy)
        }
    }
}

const fn shown(is_applied: bool) -> &'static str {
    if is_applied { "applied" } else { "missing" }
}

/// The version that the database keeps of a migration called `name`: its digits before the `_`.
fn version(name: &str) -> String {
    name.chars().take_while(|c| *c != '_').filter(|c| *c != '-').collect()
}

fn failed(error: MigrationError) -> Failure {
    let fix = match &error {
        MigrationError::Storage(_) => DATABASE_AWAY,
        MigrationError::Migration(_) => {
            "mend what PostgreSQL names; earlier migrations are kept, and `switchyard migrate up` goes on from there"
        }
    };
    Failure::new(error, fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_is_known_to_the_database_by_its_digits() {
        assert_eq!(version("2026-11-22-000400_bots_2"), "20261122000400");
    }
}
