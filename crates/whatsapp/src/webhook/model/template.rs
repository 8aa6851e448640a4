//! What a webhook tells of a template.

use chrono::{DateTime, Utc};

use crate::json::{self, Object};

/// A change of one template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateNews {
    /// Meta's id; an integer in webhooks, a string in answers.
    pub id: String,
    /// What changed.
    pub change: TemplateChange,
}

/// What changed of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateChange {
    /// Whether it may be sent.
    Status {
        /// The status it has now, in the words of the API.
        status: String,
        /// Why it was rejected, if it was.
        reason: Option<String>,
    },
    /// What people think of it: `GREEN`, `YELLOW`, `RED` or `UNKNOWN`.
    Quality(String),
    /// Its category is another one now.
    Category {
        /// The category it has now.
        now: Option<String>,
        /// The one it had.
        before: Option<String>,
    },
    /// Meta holds another category to be right, and may change it.
    CorrectCategory {
        /// The one it holds to be right.
        correct: String,
        /// When it will be changed, if that is known.
        at: Option<DateTime<Utc>>,
    },
    /// Something that only a look at Meta can tell: other components, an unknown event.
    Unclear,
}

impl TemplateNews {
    /// Reads a `changes[]` element; `None` when it names no template.
    pub fn parse(change: &[u8]) -> Option<Self> {
        let text = json::clean(change);
        let whole = Object::read(&text)?;
        // Elements of some fields are kept without what stands around them.
        let value = whole.object("value");
        let field = whole.string("field").unwrap_or_default();
        let value = value.as_ref().unwrap_or(&whole);
        let id = value.id("message_template_id")?.into_owned();
        Some(Self { id, change: read(&field, value, &whole) })
    }
}

fn read(field: &str, value: &Object<'_>, whole: &Object<'_>) -> TemplateChange {
    let category = |key| value.string(key);
    // Meta publishes a sample of the quality webhook under the field of the status webhook.
    if let Some(quality) = value.string("new_quality_score") {
        return TemplateChange::Quality(quality);
    }
    if let Some(event) = value.string("event") {
        return status(&event, value, whole);
    }
    match field {
        "template_category_update" | "template_correct_category_detection" => {
            // The notice ahead names the present category as the new one.
            match category("correct_category") {
                Some(correct) => TemplateChange::CorrectCategory {
                    correct,
                    at: value
                        .number("category_update_timestamp")
                        .and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
                },
                None => TemplateChange::Category {
                    now: category("new_category"),
                    before: category("previous_category"),
                },
            }
        }
        _ => TemplateChange::Unclear,
    }
}

fn status(event: &str, value: &Object<'_>, whole: &Object<'_>) -> TemplateChange {
    let status = match event {
        "REINSTATED" => "APPROVED",
        // What it was before it was archived is not told.
        "UNARCHIVED" => return TemplateChange::Unclear,
        event => event,
    };
    let why = value.string("reason").filter(|reason| reason != "NONE");
    // Beside `value` in Meta's syntax, inside it in its example.
    let info = value.object("rejection_info").or_else(|| whole.object("rejection_info"));
    let told = info.and_then(|info| info.string("reason"));
    let reason = match (why, told) {
        (Some(why), Some(told)) => Some(format!("{why}: {told}")),
        (why, told) => why.or(told),
    };
    TemplateChange::Status { status: status.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first change of a fixture.
    fn change(webhook: &str) -> TemplateChange {
        let webhook: serde_json::Value = serde_json::from_str(webhook).unwrap();
        let news = TemplateNews::parse(webhook["entry"][0]["changes"][0].to_string().as_bytes());
        let news = news.unwrap();
        assert_eq!(news.id, "1203948857610293");
        news.change
    }

    macro_rules! fixture {
        ($name:literal) => {
            change(include_str!(concat!("../../../tests/fixtures/", $name, ".json")))
        };
    }

    fn status(status: &str, reason: Option<&str>) -> TemplateChange {
        let (status, reason) = (status.to_owned(), reason.map(str::to_owned));
        TemplateChange::Status { status, reason }
    }

    #[test]
    fn every_template_webhook_is_understood() {
        assert_eq!(fixture!("template_status_approved"), status("APPROVED", None));
        assert_eq!(fixture!("template_status_paused"), status("PAUSED", None));
        assert_eq!(fixture!("template_status_disabled"), status("DISABLED", None));
        assert_eq!(fixture!("template_status_pending_deletion"), status("PENDING_DELETION", None));
        let why = "INVALID_FORMAT: Parameters are placed next to each other.";
        assert_eq!(fixture!("template_status_rejected"), status("REJECTED", Some(why)));
        assert_eq!(fixture!("template_quality_update"), TemplateChange::Quality("YELLOW".into()));
        assert_eq!(fixture!("template_components_update"), TemplateChange::Unclear);
    }

    #[test]
    fn an_announced_category_is_not_taken_for_the_present_one() {
        let marketing = || Some("MARKETING".to_owned());
        assert_eq!(
            fixture!("template_category_update_impending"),
            TemplateChange::CorrectCategory {
                correct: "MARKETING".into(),
                at: DateTime::from_timestamp(1_795_399_200, 0)
            }
        );
        assert_eq!(
            fixture!("template_category_update_completed"),
            TemplateChange::Category { now: marketing(), before: Some("UTILITY".into()) }
        );
        assert_eq!(
            fixture!("template_correct_category_detection"),
            TemplateChange::CorrectCategory { correct: "MARKETING".into(), at: None }
        );
    }

    #[test]
    fn a_quality_webhook_under_the_field_of_the_status_is_one_of_quality() {
        let text = br#"{"field":"message_template_status_update","value":
            {"message_template_id":"1203948857610293","new_quality_score":"RED"}}"#;
        let news = TemplateNews::parse(text).unwrap();
        assert_eq!(news.change, TemplateChange::Quality("RED".into()));
        assert_eq!(TemplateNews::parse(b"{\"value\":{}}"), None);
        assert_eq!(TemplateNews::parse(b"nonsense"), None);
    }
}
