//! The part of an event that only its type has: `data`.

use contracts::events::event;
use kernel::ids::{CampaignId, TemplateId};
use serde::Serialize;

/// The members of `data`, by type of event.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Detail {
    /// `message.received`.
    Received { kind: String, text: Option<String> },
    /// `message.accepted`, `.sent`, `.delivered`, `.read`, `.failed`, `.uncertain`.
    StatusChanged { status: String, error_code: Option<i32> },
    /// `bot.silent`.
    BotSilent { reason: String },
    /// `campaign.started`, `.paused`, `.resumed`, `.completed`, `.needs_attention`, `.cancelled`.
    CampaignChanged {
        campaign: Option<CampaignId>,
        status: String,
        code: Option<String>,
        reason: Option<String>,
    },
    /// `template.status_changed`, `.quality_changed`.
    TemplateChanged {
        template: Option<TemplateId>,
        name: String,
        language: String,
        now: String,
        before: Option<String>,
    },
    /// `import.completed`, `export.completed`.
    RunEnded { run: Option<String>, status: String, code: Option<String> },
    /// Every other type.
    Nothing {},
}

impl From<Option<event::Detail>> for Detail {
    fn from(detail: Option<event::Detail>) -> Self {
        match detail {
            Some(event::Detail::MessageReceived(received)) => Self::Received {
                kind: received.kind,
                text: (!received.text.is_empty()).then_some(received.text),
            },
            Some(event::Detail::MessageStatusChanged(changed)) => Self::StatusChanged {
                status: changed.status,
                error_code: (changed.error_code != 0).then_some(changed.error_code),
            },
            Some(event::Detail::BotSilent(silent)) => Self::BotSilent { reason: silent.reason },
            Some(event::Detail::CampaignChanged(changed)) => Self::CampaignChanged {
                campaign: contracts::uuid_field(&changed.campaign_id).map(CampaignId::from_uuid),
                status: changed.status,
                code: (!changed.code.is_empty()).then_some(changed.code),
                reason: (!changed.reason.is_empty()).then_some(changed.reason),
            },
            Some(event::Detail::TemplateChanged(changed)) => Self::TemplateChanged {
                template: contracts::uuid_field(&changed.template_id).map(TemplateId::from_uuid),
                name: changed.name,
                language: changed.language,
                now: changed.now,
                before: (!changed.before.is_empty()).then_some(changed.before),
            },
            Some(event::Detail::RunEnded(ended)) => Self::RunEnded {
                run: contracts::uuid_field(&ended.run_id).map(|run| run.simple().to_string()),
                status: ended.status,
                code: (!ended.code.is_empty()).then_some(ended.code),
            },
            None => Self::Nothing {},
        }
    }
}
