//! Which of Meta's answers stop a campaign: what the next recipient would get, too.

use std::collections::HashMap;

use kernel::ids::CampaignId;
use storage::campaigns::standing::Stop;
use storage::send_ledger::settle::Outcome;
use whatsapp::ErrorClass;
use whatsapp::graph::GraphError;

use crate::outcome::Judged;

/// A campaign stops after so many recipients whose values did not fit the template, while nobody's did.
const MOST_MISFITS: u32 = 5;

/// What an answer means for the campaign of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    GoesOn,
    /// This recipient's values do not fit the template; perhaps nobody's do.
    OnTrial,
    /// Nothing can succeed until somebody acts.
    Stops(Stop),
}

/// Judges a refusal.
pub(crate) fn judge(error: &GraphError) -> Verdict {
    let code = error.code;
    match error.class {
        ErrorClass::Auth => stop(
            "auth",
            code,
            "the access token or its permissions are not \
             valid any more. Renew them, then resume",
        ),
        ErrorClass::PauseConnection => connection(code),
        ErrorClass::Template => template(code),
        ErrorClass::Request => Verdict::OnTrial,
        ErrorClass::Recipient if matches!(code, 132_005 | 132_008 | 132_012) => Verdict::OnTrial,
        ErrorClass::Recipient
        | ErrorClass::Retry
        | ErrorClass::SlowConnection
        | ErrorClass::SlowPair
        | ErrorClass::Ambiguous => Verdict::GoesOn,
    }
}

/// The template's quality is too low for now.
pub(crate) fn template_paused() -> Stop {
    Stop { code: "template_paused", reason: TEMPLATE_PAUSED.to_owned() }
}

const TEMPLATE_PAUSED: &str = "Meta paused the template because of low quality. Wait until it is \
     active again, then resume, or cancel and use another template.";

fn template(code: i32) -> Verdict {
    match code {
        132_001 => stop(
            "template_missing",
            code,
            "there is no such approved template in this \
             language. Sync the templates, have it approved, then resume",
        ),
        132_007 => stop(
            "template_refused",
            code,
            "the template's content is against its policy. \
             Change the template, then resume",
        ),
        132_015 => Verdict::Stops(template_paused()),
        132_016 => stop(
            "template_disabled",
            code,
            "the template is disabled for good. Cancel, and \
             use another template",
        ),
        132_068 => stop(
            "template_flow",
            code,
            "the template's flow is blocked. Change the flow, \
             then resume",
        ),
        _ => Verdict::OnTrial,
    }
}

fn connection(code: i32) -> Verdict {
    match code {
        131_048 | 131_064 => stop(
            "spam_limit",
            code,
            "too many people blocked or reported this \
             number. Improve whom and what you send, wait until the limit is lifted, then resume",
        ),
        131_042 | 131_044 | 134_011 => stop(
            "payment",
            code,
            "there is a problem with the payment \
             method. Mend it in WhatsApp Manager, then resume",
        ),
        368 | 131_031 | 139_200 => stop(
            "blocked",
            code,
            "the account is blocked. See WhatsApp \
             Manager, then resume",
        ),
        _ => {
            stop("connection", code, "this number may not send. See WhatsApp Manager, then resume")
        }
    }
}

fn stop(code: &'static str, meta: i32, what: &str) -> Verdict {
    let reason = format!("Meta refused to send ({meta}): {what}.");
    Verdict::Stops(Stop { code, reason })
}

/// How the first messages of campaigns fared in this process.
#[derive(Default)]
pub(crate) struct Trials {
    campaigns: HashMap<CampaignId, Trial>,
}

#[derive(Default)]
struct Trial {
    misfits: u32,
    has_fitted: bool,
}

impl Trials {
    /// Notes what came of a message; returns the campaign's stop when nobody's values fit.
    pub(crate) fn note(&mut self, campaign: CampaignId, judged: &Judged) -> Option<Stop> {
        let trial = self.campaigns.entry(campaign).or_default();
        match (&judged.campaign, &judged.outcome) {
            (Verdict::OnTrial, Outcome::Failed { .. }) if !trial.has_fitted => trial.misfits += 1,
            (_, Outcome::Accepted { .. }) => trial.has_fitted = true,
            _ => {}
        }
        if trial.misfits < MOST_MISFITS || trial.has_fitted {
            return None;
        }
        // Whoever resumes it has perhaps mended it.
        trial.misfits = 0;
        let reason = "Nobody\'s values fit the template: the first recipients all failed. See what Meta \
             said about them, correct the variables, then retry the failed and resume.";
        Some(Stop { code: "template_params", reason: reason.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use kernel::Wamid;
    use whatsapp::graph::SendOutcome;

    use super::*;
    use crate::outcome;

    fn judged(code: i32) -> Judged {
        let sent = if code == 0 {
            let wamid = Wamid::new("wamid.X");
            SendOutcome::Accepted { wamid, message_status: None, wa_id: None, user_id: None }
        } else {
            SendOutcome::Rejected(GraphError {
                class: whatsapp::error_class::classify(code, None, Some(400)),
                code,
                subcode: None,
                http_status: 400,
                fbtrace_id: None,
                retry_after: None,
            })
        };
        outcome::judge(sent, true, 1, DateTime::UNIX_EPOCH)
    }

    /// After how many of the answers the campaign stops.
    fn stops_after(codes: &[i32]) -> Option<usize> {
        let (mut trials, campaign) = (Trials::default(), CampaignId::new());
        codes.iter().position(|code| trials.note(campaign, &judged(*code)).is_some()).map(|n| n + 1)
    }

    #[test]
    fn a_campaign_stops_when_nobody_fits_and_goes_on_when_anybody_does() {
        assert_eq!(stops_after(&[132_000; 9]), Some(5));
        assert_eq!(stops_after(&[132_000, 131_026, 132_012, 131_009, 132_000, 132_000]), Some(6));
        assert_eq!(stops_after(&[132_000, 0, 132_000, 132_000, 132_000, 132_000, 132_000]), None);
        assert_eq!(stops_after(&[131_026; 50]), None, "numbers without WhatsApp say nothing");
    }
}
