//! What people told WhatsApp about hearing from a business.

use chrono::{DateTime, Utc};
use kernel::{UserId, WaId};
use serde::Serialize;

use super::{time, user_id, wa_id};
use crate::json::{self, Object};

/// An element of `user_preferences[]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preference {
    /// The person's number; absent when they hide it.
    pub wa_id: Option<WaId>,
    /// Their business-scoped user id.
    pub user_id: Option<UserId>,
    /// What they decided about marketing messages.
    pub wish: Wish,
    /// In Meta's words.
    pub detail: Option<String>,
    /// When they decided, to the second, by Meta's clock.
    pub at: Option<DateTime<Utc>>,
}

/// Whether a person wants marketing messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Wish {
    /// Not any more.
    Stop,
    /// Again.
    Resume,
}

impl Preference {
    /// Reads all of them from a change of the field `user_preferences`; those about something else than
    /// marketing messages, of nobody, or that say neither stop nor resume, are left out.
    pub fn parse_all(change: &[u8]) -> Vec<Self> {
        let text = json::clean(change);
        let value = Object::read(&text).and_then(|change| change.object("value"));
        let elements = value.map(|value| value.objects("user_preferences")).unwrap_or_default();
        elements.iter().filter_map(Self::read).collect()
    }

    fn read(element: &Object<'_>) -> Option<Self> {
        let category = element.text("category");
        if category.is_some_and(|category| category != "marketing_messages") {
            return None;
        }
        let wish = match element.text("value").as_deref() {
            Some("stop") => Wish::Stop,
            Some("resume") => Wish::Resume,
            Some(_) | None => return None,
        };
        let (wa_id, user_id) = (wa_id(element, "wa_id"), user_id(element, "user_id"));
        (wa_id.is_some() || user_id.is_some()).then(|| Self {
            wa_id,
            user_id,
            wish,
            detail: element.string("detail"),
            at: time(element, "timestamp"),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_slice, json};

    use super::*;

    fn change(body: &[u8]) -> Vec<u8> {
        let body: Value = from_slice(body).unwrap();
        body.pointer("/entry/0/changes/0").unwrap().to_string().into_bytes()
    }

    #[test]
    fn stop_and_resume_are_read_with_their_time_as_number_or_text() {
        let stop = include_bytes!("../../../tests/fixtures/user_preferences_stop.json");
        let resume = include_bytes!("../../../tests/fixtures/user_preferences_resume.json");
        for (body, wish, at) in [
            (stop.as_slice(), Wish::Stop, 1_795_312_800),
            (resume.as_slice(), Wish::Resume, 1_795_312_860),
        ] {
            let found = Preference::parse_all(&change(body));
            let [only] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!((only.wish, only.at), (wish, DateTime::from_timestamp(at, 0)));
            assert_eq!(only.wa_id, Some(WaId::new("4915755512345")));
        }
    }

    #[test]
    fn what_is_no_wish_about_marketing_is_left_out() {
        let element = |category: &str, value: &str| json!({ "wa_id": "4915755512345", "category": category, "value": value });
        let nobody = json!({ "category": "marketing_messages", "value": "stop" });
        let elements = [element("utility", "stop"), element("marketing_messages", "pause"), nobody];
        let change = json!({ "value": { "user_preferences": elements } });
        assert!(Preference::parse_all(change.to_string().as_bytes()).is_empty());
        assert!(Preference::parse_all(b"[").is_empty());
    }
}
