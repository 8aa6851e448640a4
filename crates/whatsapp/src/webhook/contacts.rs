//! `value.contacts[]`: which contact belongs to which message or status.

use std::collections::{HashMap, HashSet};

use serde_json::value::RawValue;

use crate::json::Object;

/// The contacts of one change, by number and by user id: their order says nothing.
#[derive(Default)]
pub(super) struct Contacts<'a> {
    by_person: HashMap<String, &'a str>,
    all: Vec<&'a str>,
    attached: HashSet<&'a str>,
}

impl<'a> Contacts<'a> {
    /// Reads `value.contacts`; `None` when it is no array.
    pub(super) fn read(raw: Option<&'a RawValue>) -> Option<Self> {
        let Some(raw) = raw else { return Some(Self::default()) };
        let mut contacts = Self::default();
        for raw in serde_json::from_str::<Vec<&RawValue>>(raw.get()).ok()? {
            contacts.all.push(raw.get());
            let Some(contact) = Object::read(raw.get()) else { continue };
            for person in ["wa_id", "user_id"].into_iter().filter_map(|key| contact.id(key)) {
                contacts.by_person.insert(person.into_owned(), raw.get());
            }
        }
        Some(contacts)
    }

    /// Takes the contact of the first of `people` who has one.
    pub(super) fn attach(&mut self, people: &[Option<&str>]) -> Option<&'a str> {
        let found = people.iter().flatten().find_map(|person| self.by_person.get(*person))?;
        self.attached.insert(found);
        Some(found)
    }

    /// Whether every contact went with some event.
    pub(super) fn are_all_attached(&self) -> bool {
        self.all.iter().all(|contact| self.attached.contains(contact))
    }
}
