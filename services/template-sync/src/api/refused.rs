//! How calls to Meta fail, as the API's callers are told: Meta's code, its words, and what to do.

use kernel::Retryable;
use serde_json::json;
use service::{Code, Problem};
use whatsapp::ErrorClass;
use whatsapp::error_class::advice;
use whatsapp::graph::{CallError, Refusal};

use crate::meta::NotYet;

/// R1 or R2 is used up.
pub(super) fn not_yet(NotYet(after): NotYet) -> Problem {
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    let detail = format!(
        "This connection has asked Meta for templates as often as it may. Try again in {seconds} s."
    );
    Problem::new(Code::QuotaExceeded, detail)
        .with("violated_policies", json!(["template_sync"]))
        .retry_after_seconds(seconds.max(1))
}

/// Meta refused, or did not answer.
pub(super) fn refused(error: CallError) -> Problem {
    match error {
        CallError::Refused(refusal) => said_no(&refusal),
        CallError::NoAnswer(_) | CallError::Unreadable { .. } => {
            let detail = "Meta gave no answer, so nobody knows whether it did what was asked. Start a \
                          template sync and look before you try again.";
            Problem::new(Code::DependencyUnavailable, detail)
                .with("dependency", "Meta")
                .caused_by(error)
        }
    }
}

fn said_no(refusal: &Refusal) -> Problem {
    let Refusal { error, title, text } = refusal;
    let what = [title.as_str(), text.as_str()].into_iter().filter(|words| !words.is_empty());
    let what = what.collect::<Vec<_>>().join(": ");
    let what = if what.is_empty() { "it gave no reason".to_owned() } else { what };
    let fix = advice(error.subcode.unwrap_or(error.code), None);
    let fix = if fix.is_empty() { advice(error.code, error.subcode) } else { fix };
    let detail = format!("Meta refused ({}): {what} What to do: {fix}.", error.code);
    let code = match error.class {
        ErrorClass::SlowConnection | ErrorClass::Retry | ErrorClass::Ambiguous => {
            Code::DependencyUnavailable
        }
        ErrorClass::Auth | ErrorClass::PauseConnection => Code::StateConflict,
        ErrorClass::SlowPair
        | ErrorClass::Recipient
        | ErrorClass::Template
        | ErrorClass::Request => Code::ValidationFailed,
    };
    let upstream = json!({
        "provider": "whatsapp",
        "code": error.code,
        "subcode": error.subcode,
        "fbtrace_id": error.fbtrace_id,
    });
    let problem = Problem::new(code, detail).with("upstream", upstream);
    match error.retry_after {
        Some(wait) if error.class.is_retryable() => {
            problem.retry_after_seconds(wait.as_secs().max(1))
        }
        _ => problem,
    }
}

/// Whether a call may have had an effect although it failed.
pub(super) fn is_open(error: &CallError) -> bool {
    error.code().is_none() && error.is_transient()
}
