//! Takes a webhook apart without copying it.
//!
//! A level that holds more than we know (a new member, one twice, a contact of nobody) is kept whole
//! in one event of its own, beside the events that were understood in it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::contacts::Contacts;
use super::identity;
use super::{Event, EventKind, NotJson};
use crate::json::Object;

/// Members that are arrays of further things to walk through.
const LISTS: &[&str] = &["entry", "changes", "messages", "statuses", "message_echoes", "errors"];
/// Ten times what Meta puts into one POST (1,000, create-webhook-endpoint page, 7 November 2025). A body
/// with more is not from Meta, and is kept whole rather than blown up in memory.
const EVENTS_MAX: usize = 10_000;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Splits the body of a webhook POST into its events, in their order.
///
/// # Errors
/// Only when the body is not JSON at all; depth, size and strange shapes are no errors.
pub fn split(body: &[u8]) -> Result<Vec<Event<'_>>, NotJson> {
    let text = std::str::from_utf8(body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body))?;
    let mut split = Split { events: Vec::new(), has_overflowed: false };
    let Some(root) = Object::with_lists(text, LISTS) else {
        let whole: &RawValue = serde_json::from_str(text)?;
        split.keep(&Scope::default(), whole.get());
        return Ok(split.events);
    };
    if root.text("object").as_deref() == Some("whatsapp_business_account") {
        for entry in root.list("entry") {
            split.entry(entry);
        }
    }
    if split.has_overflowed {
        split = Split { events: Vec::new(), has_overflowed: false };
    }
    if split.events.is_empty() || root.has_more_than(&["object", "entry"]) {
        split.keep(&Scope::default(), text.trim());
    }
    Ok(split.events)
}

/// What an element inherits from the levels around it.
#[derive(Clone, Default)]
struct Scope<'a> {
    field: Cow<'a, str>,
    phone_number_id: Cow<'a, str>,
    display_phone_number: Cow<'a, str>,
    waba_id: Cow<'a, str>,
    entry_time_s: Option<i64>,
}

impl<'a> Scope<'a> {
    /// The scope inside `value`, which names the number, and the account where `entry` does not.
    fn inside(mut self, value: &Object<'a>) -> Self {
        // Handovers name the number as the recipient; some management fields have only its digits.
        let metadata = value.object("metadata").or_else(|| value.object("recipient"));
        let of_metadata = |key| metadata.as_ref().and_then(|metadata| metadata.id(key));
        self.phone_number_id = of_metadata("phone_number_id").unwrap_or_default();
        self.display_phone_number = of_metadata("display_phone_number")
            .or_else(|| value.id("display_phone_number"))
            .unwrap_or_default();
        // For partner events `entry.id` is a business portfolio, not an account.
        if let Some(waba) = value.object("waba_info").and_then(|info| info.id("waba_id")) {
            self.waba_id = waba;
        }
        self
    }

    /// What tells one business number's wamids from another's.
    fn line(&self) -> Option<&str> {
        [&self.phone_number_id, &self.display_phone_number, &self.waba_id]
            .into_iter()
            .map(AsRef::as_ref)
            .find(|name| !name.is_empty())
    }
}

struct Split<'a> {
    events: Vec<Event<'a>>,
    has_overflowed: bool,
}

impl<'a> Split<'a> {
    /// Whether no event may be added any more.
    fn is_full(&mut self) -> bool {
        self.has_overflowed |= self.events.len() >= EVENTS_MAX;
        self.has_overflowed
    }

    fn entry(&mut self, raw: &'a RawValue) {
        let before = self.events.len();
        let entry = Object::with_lists(raw.get(), LISTS);
        let scope = Scope {
            waba_id: entry.as_ref().and_then(|entry| entry.id("id")).unwrap_or_default(),
            entry_time_s: entry.as_ref().and_then(|entry| entry.number("time")),
            ..Scope::default()
        };
        if let Some(entry) = &entry {
            for change in entry.list("changes") {
                self.change(&scope, change);
            }
        }
        let has_more = entry.is_some_and(|entry| entry.has_more_than(&["id", "time", "changes"]));
        if has_more || self.events.len() == before {
            self.keep(&scope, raw.get());
        }
    }

    fn change(&mut self, scope: &Scope<'a>, raw: &'a RawValue) {
        let Some(change) = Object::read(raw.get()) else { return self.keep(scope, raw.get()) };
        let field = change.text("field").unwrap_or_default();
        let scope = Scope { field, ..scope.clone() };
        let raw_value = change.raw("value");
        let Some(value) = raw_value.and_then(|raw| Object::with_lists(raw.get(), LISTS)) else {
            return self.keep(&scope, raw.get());
        };
        let scope = scope.inside(&value);
        let before = self.events.len();
        let is_understood = match &*scope.field {
            "messages" => self.messages(&scope, &value),
            "smb_message_echoes" | "message_echoes" => self.echoes(&scope, &value),
            // Old messages, and messages of somebody else's conversations: never to be answered.
            "history" | "standby" => {
                raw_value.inspect(|value| self.keep(&scope, value.get()));
                true
            }
            _ => false,
        };
        let has_more = change.has_more_than(&["field", "value"]);
        if has_more || !is_understood || self.events.len() == before {
            self.keep(&scope, raw.get());
        }
    }

    /// Yields the elements of a `messages` change; whether that was all there was in it.
    fn messages(&mut self, scope: &Scope<'a>, value: &Object<'a>) -> bool {
        let mut contacts = Contacts::read(value.raw("contacts"));
        for item in value.list("messages") {
            self.message(scope, contacts.as_mut(), item);
        }
        for item in value.list("statuses") {
            self.status(scope, contacts.as_mut(), item);
        }
        self.errors(scope, value);
        let known = ["messaging_product", "metadata", "contacts", "messages", "statuses", "errors"];
        contacts.is_some_and(|contacts| contacts.are_all_attached()) && !value.has_more_than(&known)
    }

    /// Yields the elements of an echoes change; whether that was all there was in it.
    fn echoes(&mut self, scope: &Scope<'a>, value: &Object<'a>) -> bool {
        let mut contacts = Contacts::read(value.raw("contacts"));
        for item in value.list("message_echoes") {
            self.echo(scope, contacts.as_mut(), item);
        }
        self.errors(scope, value);
        let known = ["messaging_product", "metadata", "contacts", "message_echoes", "errors"];
        contacts.is_some_and(|contacts| contacts.are_all_attached()) && !value.has_more_than(&known)
    }

    /// Platform errors: no message, but somebody must see them.
    fn errors(&mut self, scope: &Scope<'a>, value: &Object<'a>) {
        for error in value.list("errors") {
            self.keep(scope, error.get());
        }
    }

    fn message(
        &mut self,
        scope: &Scope<'a>,
        contacts: Option<&mut Contacts<'a>>,
        raw: &'a RawValue,
    ) {
        if self.is_full() {
            return;
        }
        let item = Object::read(raw.get());
        let id = |key| item.as_ref().and_then(|item| item.id(key));
        // A change of user id comes from nobody: the person is in the change itself.
        let system = item.as_ref().and_then(|item| item.object("system"));
        let people = [
            id("from"),
            id("from_user_id"),
            system.as_ref().and_then(|system| system.id("previous_user_id")),
            system.as_ref().and_then(|system| system.id("user_id")),
        ];
        let wamid = id("id");
        let identity = match &wamid {
            Some(wamid) => identity::of_parts("message", &[scope.line(), Some(wamid)]),
            None => of_other("message", scope, raw.get()),
        };
        self.push(EventKind::Message, scope, contacts, people, raw, identity);
    }

    fn status(
        &mut self,
        scope: &Scope<'a>,
        contacts: Option<&mut Contacts<'a>>,
        raw: &'a RawValue,
    ) {
        if self.is_full() {
            return;
        }
        let item = Object::read(raw.get());
        let id = |key| item.as_ref().and_then(|item| item.id(key));
        let recipient = id("recipient_id");
        let user = id("recipient_user_id");
        let participant = id("recipient_participant_id");
        let identity = match &id("id") {
            Some(wamid) => {
                let code = item.as_ref().and_then(|item| {
                    Object::read(item.array("errors").first()?.get())?.text("code")
                });
                // In a group each participant has a status of his own, all with the group's id.
                let person = participant.as_ref().or(recipient.as_ref()).or(user.as_ref());
                identity::of_parts(
                    "status",
                    &[
                        scope.line(),
                        Some(wamid),
                        id("status").as_deref(),
                        person.map(AsRef::as_ref),
                        code.as_deref(),
                    ],
                )
            }
            None => of_other("status", scope, raw.get()),
        };
        let people = [recipient, user, participant, None];
        self.push(EventKind::Status, scope, contacts, people, raw, identity);
    }

    fn echo(&mut self, scope: &Scope<'a>, contacts: Option<&mut Contacts<'a>>, raw: &'a RawValue) {
        if self.is_full() {
            return;
        }
        let item = Object::read(raw.get());
        let id = |key| item.as_ref().and_then(|item| item.id(key));
        let people = [id("to"), id("to_user_id"), id("recipient_user_id"), None];
        let identity = match &id("id") {
            Some(wamid) => identity::of_parts("echo", &[scope.line(), Some(wamid)]),
            None => of_other("echo", scope, raw.get()),
        };
        self.push(EventKind::Echo, scope, contacts, people, raw, identity);
    }

    fn push(
        &mut self,
        kind: EventKind,
        scope: &Scope<'a>,
        contacts: Option<&mut Contacts<'a>>,
        people: [Option<Cow<'a, str>>; 4],
        raw: &'a RawValue,
        identity: [u8; 16],
    ) {
        let names = people.each_ref().map(Option::as_deref);
        let contact = contacts.and_then(|contacts| contacts.attach(&names));
        let person = people.into_iter().flatten().next().unwrap_or_default();
        self.events.push(Event {
            kind,
            field: scope.field.clone(),
            phone_number_id: scope.phone_number_id.clone(),
            display_phone_number: scope.display_phone_number.clone(),
            waba_id: scope.waba_id.clone(),
            person,
            item: raw.get().as_bytes(),
            contact: contact.map(str::as_bytes),
            entry_time_s: scope.entry_time_s,
            identity,
        });
    }

    /// Keeps `json` as it is.
    fn keep(&mut self, scope: &Scope<'a>, json: &'a str) {
        if self.is_full() {
            return;
        }
        self.events.push(Event {
            kind: EventKind::Other,
            field: scope.field.clone(),
            phone_number_id: scope.phone_number_id.clone(),
            display_phone_number: scope.display_phone_number.clone(),
            waba_id: scope.waba_id.clone(),
            person: Cow::default(),
            item: json.as_bytes(),
            contact: None,
            entry_time_s: scope.entry_time_s,
            identity: of_other("other", scope, json),
        });
    }
}

/// The identity of what has no id. The entry's time belongs to it: a template that is approved, paused
/// and approved again is approved twice in the very same words.
fn of_other(domain: &str, scope: &Scope<'_>, json: &str) -> [u8; 16] {
    let time = scope.entry_time_s.map(|time| time.to_string());
    let parts = [
        Some(&*scope.field),
        Some(&*scope.waba_id),
        Some(&*scope.phone_number_id),
        time.as_deref(),
    ];
    identity::of_json(domain, &parts, json)
}
