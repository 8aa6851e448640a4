//! Builds webhook bodies.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::options::Number;
use crate::sign::escape;

/// One thing a webhook tells about a phone number.
#[derive(Clone, Debug)]
pub(crate) struct Update {
    pub(crate) number: Arc<Number>,
    pub(crate) item: Item,
}

#[derive(Clone, Debug)]
pub(crate) enum Item {
    Message { contact: Option<Contact>, message: Message },
    Status(Status),
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Contact {
    pub(crate) profile: Profile,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wa_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Profile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Message {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from_user_id: Option<String>,
    pub(crate) id: String,
    /// Seconds, in a string as Meta writes them.
    pub(crate) timestamp: String,
    /// `type` and what it names.
    #[serde(flatten)]
    pub(crate) content: Map<String, Value>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) id: String,
    pub(crate) status: &'static str,
    pub(crate) timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recipient_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recipient_user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pricing: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) biz_opaque_callback_data: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<Value>,
}

#[derive(Serialize)]
struct Webhook<'u> {
    object: &'static str,
    entry: Vec<Entry<'u>>,
}

#[derive(Serialize)]
struct Entry<'u> {
    id: &'u str,
    changes: Vec<Change<'u>>,
}

#[derive(Serialize)]
struct Change<'u> {
    value: Content<'u>,
    field: &'static str,
}

#[derive(Serialize)]
struct Content<'u> {
    messaging_product: &'static str,
    metadata: Metadata<'u>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contacts: Vec<&'u Contact>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<&'u Message>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<&'u Status>,
}

#[derive(Serialize)]
struct Metadata<'u> {
    display_phone_number: &'u str,
    phone_number_id: &'u str,
}

/// One POST that holds all `updates`: an entry per account, a change per phone number.
pub(crate) fn webhook(updates: &[Update]) -> String {
    let mut entry: Vec<Entry<'_>> = Vec::new();
    for update in updates {
        add(change_of(&mut entry, &update.number), &update.item);
    }
    let webhook = Webhook { object: "whatsapp_business_account", entry };
    escape(&serde_json::to_string(&webhook).unwrap_or_default())
}

fn change_of<'e, 'u>(entries: &'e mut Vec<Entry<'u>>, number: &'u Number) -> &'e mut Content<'u> {
    let entry = find_or_push(
        entries,
        |entry| entry.id == number.waba_id,
        || Entry { id: &number.waba_id, changes: Vec::new() },
    );
    let change = find_or_push(
        &mut entry.changes,
        |change| change.value.metadata.phone_number_id == number.phone_number_id,
        || Change {
            value: Content {
                messaging_product: "whatsapp",
                metadata: Metadata {
                    display_phone_number: &number.display_phone_number,
                    phone_number_id: &number.phone_number_id,
                },
                contacts: Vec::new(),
                messages: Vec::new(),
                statuses: Vec::new(),
            },
            field: "messages",
        },
    );
    &mut change.value
}

#[expect(clippy::indexing_slicing, reason = "the index was just found or pushed")]
fn find_or_push<T>(
    items: &mut Vec<T>,
    is_it: impl Fn(&T) -> bool,
    make: impl FnOnce() -> T,
) -> &mut T {
    let index = items.iter().position(is_it).unwrap_or_else(|| {
        items.push(make());
        items.len() - 1
    });
    &mut items[index]
}

fn add<'u>(content: &mut Content<'u>, item: &'u Item) {
    match item {
        Item::Status(status) => content.statuses.push(status),
        Item::Message { contact, message } => {
            content.messages.push(message);
            // A person who wrote twice is named once, as Meta does.
            if let Some(contact) = contact
                && !content.contacts.contains(&contact)
            {
                content.contacts.push(contact);
            }
        }
    }
}
