//! What to send.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use kernel::{PhoneNumberId, UserId, WaId, Wamid};
use secrecy::SecretString;
use serde::Serialize;
use tokio::time::Instant;

/// One try to send one message. Has no `Debug`, so that no log line can hold what it says.
#[derive(Clone)]
pub struct SendRequest<'a> {
    /// The business number to send from.
    pub phone_number_id: &'a PhoneNumberId,
    /// The access token; goes into a header and nowhere else.
    pub token: &'a SecretString,
    /// Whom to send to.
    pub to: Recipient<'a>,
    /// What to send.
    pub content: Content<'a>,
    /// Comes back in every status of the message, to every app on the account: no secrets, no personal
    /// data, at most 256 characters (Meta: 512 for calls; older texts say 256).
    pub callback_data: &'a str,
    /// After this moment the first byte does not leave.
    pub deadline: Instant,
    /// When this is `true` at the last moment, the first byte does not leave.
    pub cancelled: Option<Arc<AtomicBool>>,
}

/// Whom a message goes to.
#[derive(Clone, Copy, Debug)]
pub enum Recipient<'a> {
    /// A number; sent with its `+`, without which Meta would put the business's country in front.
    Phone(&'a WaId),
    /// A business-scoped user id.
    User(&'a UserId),
}

/// What a message says.
#[derive(Clone, Copy)]
pub enum Content<'a> {
    /// Plain text.
    Text {
        /// At most 4,096 characters (Meta, send messages, 4 November 2025).
        body: &'a str,
        /// Whether WhatsApp shows a preview of the first link.
        preview_url: bool,
        /// The message that this one answers.
        reply_to: Option<&'a Wamid>,
    },
    /// An approved template, which alone may open a conversation.
    Template {
        /// Its name.
        name: &'a str,
        /// Language and locale, e.g. `en_US`.
        language: &'a str,
        /// Header, body and button parameters, as Meta's API takes them.
        components: &'a [serde_json::Value],
    },
    /// Any kind, as [`crate::outgoing`] writes it.
    Any {
        /// Meta's `type`.
        kind: &'a str,
        /// The member that is named like the type.
        body: &'a serde_json::Value,
        /// The message that this one answers.
        reply_to: Option<&'a Wamid>,
    },
}

impl SendRequest<'_> {
    /// The request's body.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let (to, recipient) = match self.to {
            Recipient::Phone(phone) => {
                (Some(format!("+{}", phone.as_str().trim_start_matches('+'))), None)
            }
            Recipient::User(user) => (None, Some(user)),
        };
        let mut any = BTreeMap::new();
        let (kind, text, template, reply_to) = match self.content {
            Content::Text { body, preview_url, reply_to } => {
                ("text", Some(Text { body, preview_url }), None, reply_to)
            }
            Content::Template { name, language, components } => {
                let language = Language { code: language };
                ("template", None, Some(Template { name, language, components }), None)
            }
            Content::Any { kind, body, reply_to } => {
                any.insert(kind, body);
                (kind, None, None, reply_to)
            }
        };
        serde_json::to_vec(&Wire {
            messaging_product: "whatsapp",
            recipient_type: "individual",
            to,
            recipient,
            kind,
            text,
            template,
            any,
            context: reply_to.map(|message_id| Context { message_id }),
            biz_opaque_callback_data: self.callback_data,
        })
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    messaging_product: &'static str,
    recipient_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<&'a UserId>,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<Template<'a>>,
    #[serde(flatten)]
    any: BTreeMap<&'a str, &'a serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context<'a>>,
    biz_opaque_callback_data: &'a str,
}

#[derive(Serialize)]
struct Text<'a> {
    body: &'a str,
    preview_url: bool,
}

#[derive(Serialize)]
struct Context<'a> {
    message_id: &'a Wamid,
}

#[derive(Serialize)]
struct Template<'a> {
    name: &'a str,
    language: Language<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    components: &'a [serde_json::Value],
}

#[derive(Serialize)]
struct Language<'a> {
    code: &'a str,
}
