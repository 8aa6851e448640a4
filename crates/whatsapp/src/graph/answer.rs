//! Reads what the Graph API answered to a send.

use std::time::Duration;

use kernel::{UserId, WaId, Wamid};

use super::outcome::{DoubtReason, GraphError, MessageStatus, SendOutcome};
use crate::error_class::{self, ErrorClass};
use crate::json::{self, Object};

/// What an answer says about the message. Only an id proves that it was accepted, and only an error
/// code of a class other than ambiguous proves that it was not.
pub fn read_answer(http_status: u16, retry_after: Option<Duration>, body: &[u8]) -> SendOutcome {
    let unreadable = DoubtReason::Unreadable { http_status };
    let text = json::clean(body);
    let Some(answer) = Object::read(&text) else {
        return SendOutcome::Doubt { why: unreadable, soft: false };
    };
    if (200..300).contains(&http_status) {
        return accepted(&answer)
            .unwrap_or(SendOutcome::Doubt { why: DoubtReason::NoId, soft: false });
    }
    match answer.object("error").and_then(|error| refused(&error, http_status, retry_after)) {
        Some(error) if error.class == ErrorClass::Ambiguous => {
            SendOutcome::Doubt { why: DoubtReason::Answered(error), soft: true }
        }
        Some(error) => SendOutcome::Rejected(error),
        None => SendOutcome::Doubt { why: unreadable, soft: false },
    }
}

fn accepted(answer: &Object<'_>) -> Option<SendOutcome> {
    let message = answer.objects("messages").into_iter().next()?;
    let contact = answer.objects("contacts").into_iter().next();
    let of_contact = |key| contact.as_ref().and_then(|contact| contact.id(key));
    Some(SendOutcome::Accepted {
        wamid: Wamid::new(message.id("id")?),
        message_status: message.text("message_status").as_deref().map(MessageStatus::from),
        wa_id: of_contact("wa_id").map(WaId::new),
        user_id: of_contact("user_id").map(UserId::new),
    })
}

pub(super) fn refused(
    error: &Object<'_>,
    http_status: u16,
    retry_after: Option<Duration>,
) -> Option<GraphError> {
    let code = error.number("code")?;
    let subcode = error.number("error_subcode");
    Some(GraphError {
        class: error_class::classify(code, subcode, Some(http_status)),
        code,
        subcode,
        http_status,
        fbtrace_id: error.id("fbtrace_id").map(Into::into),
        retry_after,
    })
}

impl From<&str> for MessageStatus {
    fn from(name: &str) -> Self {
        match name {
            "accepted" => Self::Accepted,
            "held_for_quality_assessment" => Self::Held,
            "paused" => Self::Paused,
            other => Self::Unknown(other.to_owned()),
        }
    }
}
