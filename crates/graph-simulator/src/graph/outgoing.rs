//! Reads the body of a send call and refuses what Meta would refuse.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::fault::Subject;
use crate::ledger::Sent;

/// Characters of a text, at most (Meta, "Send messages", 4 November 2025).
const MAX_TEXT_CHARS: usize = 4_096;
/// Characters of `biz_opaque_callback_data`, at most (Meta's `OpenAPI` file, v23.0).
const MAX_CALLBACK_CHARS: usize = 512;

/// What a POST to `/messages` asks for.
pub(super) enum Call {
    /// Marks a message as read.
    Read,
    /// Sends a message.
    Message(Outgoing),
}

/// A message that is fit to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) phone_number_id: String,
    /// Digits without `+`, or a business-scoped id.
    pub(crate) recipient: String,
    /// `to` or `recipient` as it was typed.
    pub(crate) input: String,
    /// `type`, `text` if absent.
    pub(crate) kind: String,
    /// Whether `to` was written the way that can't be misread.
    pub(crate) is_international: bool,
    body: Value,
}

impl Call {
    /// Reads the body; `Err` is the code of the Graph error it deserves.
    pub(super) fn parse(phone_number_id: &str, body: &[u8]) -> Result<Self, i64> {
        let body: Value = serde_json::from_slice(body).or(Err(100_i64))?;
        if text_at(&body, "/messaging_product") != Some("whatsapp") {
            return Err(100);
        }
        if text_at(&body, "/status") == Some("read") {
            return text_at(&body, "/message_id").map(|_| Self::Read).ok_or(100);
        }
        Outgoing::parse(phone_number_id, body).map(Self::Message)
    }
}

impl Outgoing {
    fn parse(phone_number_id: &str, body: Value) -> Result<Self, i64> {
        // When both are given, `to` wins.
        let (input, is_number) = match (text_at(&body, "/to"), text_at(&body, "/recipient")) {
            (Some(to), _) => (to, text_at(&body, "/recipient_type") != Some("group")),
            (None, Some(user_id)) => (user_id, false),
            (None, None) => return Err(131_008),
        };
        let recipient = if is_number { digits(input)? } else { input.to_owned() };
        let kind = text_at(&body, "/type").unwrap_or("text").to_owned();
        check(&body, &kind)?;
        Ok(Self {
            phone_number_id: phone_number_id.to_owned(),
            recipient,
            input: input.to_owned(),
            kind,
            is_international: !is_number || input.starts_with('+'),
            body,
        })
    }

    /// What rules tell calls apart by.
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject {
            number: &self.phone_number_id,
            person: &self.recipient,
            template: self.template().map(|(name, _)| name),
        }
    }

    /// Name and language of the template, if it is one.
    pub(super) fn template(&self) -> Option<(&str, &str)> {
        let name = text_at(&self.body, "/template/name")?;
        Some((name, text_at(&self.body, "/template/language/code")?))
    }

    /// The record of this message, once it is accepted.
    pub(crate) fn sent(&self, wamid: String, at: DateTime<Utc>) -> Sent {
        let owned = |pointer| text_at(&self.body, pointer).map(str::to_owned);
        Sent {
            order: 0,
            wamid,
            phone_number_id: self.phone_number_id.clone(),
            recipient: self.recipient.clone(),
            kind: self.kind.clone(),
            text: owned("/text/body"),
            template: owned("/template/name"),
            callback_data: owned("/biz_opaque_callback_data"),
            reply_to: owned("/context/message_id"),
            at,
            body: self.body.clone(),
        }
    }
}

fn check(body: &Value, kind: &str) -> Result<(), i64> {
    let content = body.get(kind).filter(|content| content.is_object() || content.is_array());
    if content.is_none() {
        return Err(131_008);
    }
    if let Some(data) = body.get("biz_opaque_callback_data")
        && data.as_str().is_none_or(|data| data.chars().count() > MAX_CALLBACK_CHARS)
    {
        return Err(100);
    }
    match kind {
        "text" => match text_at(body, "/text/body") {
            Some(text) if !text.is_empty() && text.chars().count() <= MAX_TEXT_CHARS => Ok(()),
            _ => Err(100),
        },
        "template" => check_template(body),
        "image" | "video" | "audio" | "document" | "sticker" | "location" | "contacts"
        | "reaction" | "interactive" => Ok(()),
        _ => Err(131_009),
    }
}

/// A template has a name and a language, and its texts have something to say, on one line.
fn check_template(body: &Value) -> Result<(), i64> {
    text_at(body, "/template/name")
        .and(text_at(body, "/template/language/code"))
        .ok_or(131_008_i64)?;
    let components = body.pointer("/template/components").and_then(Value::as_array);
    let parameters = components
        .into_iter()
        .flatten()
        .filter_map(|component| component.get("parameters").and_then(Value::as_array))
        .flatten();
    for parameter in parameters.filter(|parameter| text_at(parameter, "/type") == Some("text")) {
        match text_at(parameter, "/text") {
            None | Some("") => return Err(131_008),
            Some(text) if text.contains(['\n', '\t']) || text.contains("     ") => {
                return Err(132_018);
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The digits of a number that may carry a `+` and the usual separators.
fn digits(to: &str) -> Result<String, i64> {
    let digits: String = to.chars().filter(|c| !"+- ().".contains(*c)).collect();
    let is_number =
        (5..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(digits).ok_or(131_009)
}

fn text_at<'b>(body: &'b Value, pointer: &str) -> Option<&'b str> {
    body.pointer(pointer).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code_of(change: impl FnOnce(&mut Value)) -> Option<i64> {
        let mut body = json!({"messaging_product": "whatsapp", "to": "+4915755512345",
            "type": "text", "text": {"body": "hi"}, "biz_opaque_callback_data": "a"});
        change(&mut body);
        Call::parse("1", body.to_string().as_bytes()).err()
    }

    #[test]
    fn a_body_is_refused_for_what_meta_would_refuse_it() {
        assert_eq!(code_of(|_| ()), None);
        assert_eq!(code_of(|body| body["messaging_product"] = json!("sms")), Some(100));
        assert_eq!(code_of(|body| body["to"] = json!("+49x")), Some(131_009));
        assert_eq!(code_of(|body| body["to"] = json!(null)), Some(131_008));
        assert_eq!(code_of(|body| body["text"] = json!({"body": ""})), Some(100));
        assert_eq!(code_of(|body| body["text"]["body"] = json!("x".repeat(4_097))), Some(100));
        assert_eq!(code_of(|body| body["type"] = json!("image")), Some(131_008));
        let template = |text| {
            code_of(|body| {
                body["type"] = json!("template");
                body["template"] = json!({"name": "sale", "language": {"code": "en"},
                    "components": [{"type": "body", "parameters": [{"type": "text", "text": text}]}]});
            })
        };
        assert_eq!(template("Ada"), None);
        assert_eq!((template(""), template("a\nb")), (Some(131_008), Some(132_018)));
        let long = json!("x".repeat(513));
        assert_eq!(code_of(|body| body["biz_opaque_callback_data"] = long), Some(100));
        assert_eq!(Call::parse("1", b"{").err(), Some(100));
    }
}
