//! `/v1/ops/*`: what operators see and do by HTTP.
//!
//! Invariants: every handler takes its [`Caller`] and asks for a scope; a key sees its workspace only;
//! a parameter that is not known is refused.

mod limits;
mod locks;
mod values;

use actix_web::web::ServiceConfig;
use service::{Caller, Code, Problem, RequestId, Scope};

use crate::{Actor, Naming, OpsError, View};

/// Mounts the routes. The application needs [`crate::Desk`] and [`service::Auth`], both as `web::Data`.
pub fn routes(config: &mut ServiceConfig) {
    locks::routes(config);
    limits::routes(config);
}

/// No key of today stands for the installation.
fn view(caller: &Caller) -> View {
    View::Workspace(caller.workspace)
}

fn actor(caller: &Caller, request: &RequestId) -> Actor {
    Actor { name: caller.key.to_string(), request_id: Some(request.to_string()) }
}

/// Names in full are contacts' data.
fn naming(caller: &Caller, unmask: bool) -> Result<Naming, Problem> {
    if !unmask {
        return Ok(Naming::Masked);
    }
    caller.require(Scope::ContactsRead)?;
    Ok(Naming::Plain)
}

/// How a caller is told.
fn problem(error: OpsError) -> Problem {
    let detail = error.to_string();
    match error {
        OpsError::Database(cause) => Problem::from(cause),
        OpsError::Locks(cause) => {
            Problem::unavailable("The locks' store", cause).with("may_have_happened", true)
        }
        OpsError::Limits(cause) => Problem::unavailable("Redis", cause),
        OpsError::Unknown { .. } | OpsError::Free | OpsError::NoSuchKey { .. } => {
            Problem::not_found()
        }
        OpsError::Ambiguous { count } => Problem::new(
            Code::StateConflict,
            format!("{count} locks look like this. Name one in full: see it with ?unmask=true."),
        ),
        OpsError::OwnerChanged { now } => {
            let now = now.map(|now| serde_json::to_value(now).unwrap_or_default());
            Problem::new(
                Code::LockOwnerChanged,
                "The lock has changed hands since you looked. Look again before you decide.",
            )
            .with("existing", now)
        }
        OpsError::ShortPrefix => {
            Problem::invalid("/owner_token_prefix", "too_short", format!("{detail}."))
        }
        OpsError::Limit => Problem::invalid("/limit", "out_of_range", format!("{detail}.")),
        OpsError::Reason => Problem::invalid("/reason", "wrong_length", format!("{detail}.")),
        OpsError::InstallationOnly => Problem::new(
            Code::InstallationOnly,
            "A default holds for every workspace. Name one thing of yours by `key`.",
        ),
        OpsError::Stale => Problem::new(
            Code::EtagMismatch,
            "It has changed since it was read. Read it again, then decide.",
        ),
    }
}
