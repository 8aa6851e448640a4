//! Which limits a message asks before it is claimed, and what Meta's answers teach them.
//!
//! Each message asks its connection's limit (R1), in the lane of its source, and its person's (R5):
//! both admit, or neither is charged.

use coordination::{Feedback, Lane, LimitName};
use kernel::WaId;
use kernel::ids::ConnectionId;
use storage::send_ledger::{Recipient, Source};
use whatsapp::ErrorClass;
use whatsapp::graph::SendOutcome;

/// What Meta's answer means for the limits of what comes next.
pub(crate) fn feedback(sent: &SendOutcome, recipient: &Recipient) -> Option<Feedback> {
    let SendOutcome::Rejected(error) = sent else { return None };
    let (code, retry_after) = (error.code, error.retry_after);
    match (error.class, code) {
        (_, 131_048 | 368) => Some(Feedback::Blocked { code }),
        (ErrorClass::SlowPair, 131_056) => {
            Some(Feedback::PairThrottled { person: person(recipient), code, retry_after })
        }
        (ErrorClass::SlowConnection, _) => Some(Feedback::Throttled { code, retry_after }),
        (ErrorClass::Retry, _) if error.http_status == 429 => {
            Some(Feedback::Throttled { code: 429, retry_after })
        }
        _ => None,
    }
}

pub(crate) const fn lane(source: Source) -> Lane {
    match source {
        Source::Agent => Lane::Agent,
        // Programs do not stand before people, but before everything that goes to many.
        Source::Api | Source::Bot => Lane::Chatbot,
        Source::Campaign => Lane::Campaign,
    }
}

pub(crate) fn pair(connection: ConnectionId, recipient: &Recipient) -> LimitName {
    LimitName::Pair(connection, person(recipient))
}

/// A person without a number is told apart by the user id in its place.
fn person(recipient: &Recipient) -> WaId {
    WaId::new(recipient.as_str())
}

#[cfg(test)]
mod tests {
    use whatsapp::graph::GraphError;

    use super::*;

    fn rejected(class: ErrorClass, code: i32, http_status: u16) -> Option<Feedback> {
        let sent = SendOutcome::Rejected(GraphError {
            class,
            code,
            subcode: None,
            http_status,
            fbtrace_id: None,
            retry_after: None,
        });
        feedback(&sent, &Recipient::Number(WaId::new("15551234567")))
    }

    #[test]
    fn throttling_slows_what_it_concerns_and_nothing_else() {
        for code in [4, 80_007, 130_429] {
            let class = whatsapp::error_class::classify(code, None, Some(400));
            let throttled = Feedback::Throttled { code, retry_after: None };
            assert_eq!(rejected(class, code, 400), Some(throttled), "{code}");
        }
        let throttled = Feedback::Throttled { code: 429, retry_after: None };
        assert_eq!(rejected(ErrorClass::Retry, 0, 429), Some(throttled));
        let person = WaId::new("15551234567");
        let throttled = Feedback::PairThrottled { person, code: 131_056, retry_after: None };
        assert_eq!(rejected(ErrorClass::SlowPair, 131_056, 400), Some(throttled));
        for code in [131_048, 368] {
            let class = whatsapp::error_class::classify(code, None, Some(400));
            assert_eq!(rejected(class, code, 400), Some(Feedback::Blocked { code }), "{code}");
        }
        assert_eq!(rejected(ErrorClass::Recipient, 131_026, 400), None);
        assert_eq!(rejected(ErrorClass::Retry, 131_016, 500), None);
    }
}
