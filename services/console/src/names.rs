//! The names of locks and limits: what they are about, and how they are shown.
//!
//! Invariant: what the registry calls a phone number or a message's id is masked, and a new name in
//! the registry is read by its template, so that nothing here has to know it.

use coordination::registry::{LockSpec, PolicySpec};
use coordination::{LockClass, Policy};

/// Placeholders of the registry that stand for something about a person.
const PERSONAL: [&str; 3] = ["phone_number", "message_id", "wamid"];
/// How much of it is shown, in characters.
const SHOWN: usize = 4;

/// How names are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// Of people's numbers and message ids only the last four characters: `*4567`.
    #[default]
    Masked,
    /// In full; whoever asks must be allowed to see contacts.
    Plain,
}

/// A registry's template before its ids: `template_sync:connection`.
fn prefix(template: &'static str) -> &'static str {
    template.split_once(":{").map_or(template, |(prefix, _)| prefix)
}

/// What the ids of a template stand for, e.g. `connection_id`.
fn placeholders(template: &'static str) -> impl Iterator<Item = &'static str> {
    template.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

/// The ids in the name of a lock of this class; `None` when it is none.
pub(crate) fn lock_ids<'n>(spec: &LockSpec, name: &'n str) -> Option<&'n str> {
    name.strip_prefix(prefix(spec.key))?.strip_prefix(':')
}

/// The ids in a limit's key in Redis: what stands from its braces on.
pub(crate) fn limit_ids(key: &str) -> String {
    key.split_once('{').map(|(_, ids)| ids.replacen('}', "", 1)).unwrap_or_default()
}

/// The ids as they are shown.
pub(crate) fn shown(template: &'static str, ids: &str, naming: Naming) -> String {
    let kinds: Vec<&str> = placeholders(template).collect();
    let texts = ids.splitn(kinds.len().max(1), ':');
    let shown = texts.zip(&kinds).map(|(text, kind)| match naming {
        Naming::Masked if PERSONAL.contains(kind) => masked(text),
        Naming::Masked | Naming::Plain => text.to_owned(),
    });
    shown.collect::<Vec<_>>().join(":")
}

/// A lock's name as it is shown.
pub(crate) fn lock_name(spec: &LockSpec, ids: &str, naming: Naming) -> String {
    format!("{}:{}", prefix(spec.key), shown(spec.key, ids, naming))
}

/// The first id, which tells whose it is.
pub(crate) fn first_id(ids: &str) -> &str {
    ids.split(':').next().unwrap_or(ids)
}

fn masked(text: &str) -> String {
    let count = text.chars().count();
    let hidden = if count > SHOWN { count - SHOWN } else { count };
    format!("*{}", text.chars().skip(hidden).collect::<String>())
}

/// The classes whose locks can be called `name`.
pub(crate) fn classes_of(name: &str) -> Vec<LockClass> {
    let is_of =
        |class: &LockClass| lock_ids(&class.spec(), name).is_some_and(|ids| !ids.is_empty());
    LockClass::ALL.into_iter().filter(is_of).collect()
}

/// The class with this label.
pub(crate) fn class(label: &str) -> Option<LockClass> {
    LockClass::ALL.into_iter().find(|class| class.spec().label == label)
}

/// The policy with this label.
pub(crate) fn policy(label: &str) -> Option<Policy> {
    Policy::ALL.into_iter().find(|policy| policy.spec().label == label)
}

/// Whether the limit has one key for the whole installation.
pub(crate) fn is_global(spec: &PolicySpec) -> bool {
    placeholders(spec.key).next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_registry_calls_personal_is_masked() {
        for spec in LockClass::ALL.map(LockClass::spec) {
            let ids: Vec<&str> = placeholders(spec.key).map(|_| "15551234567").collect();
            let name = lock_name(&spec, &ids.join(":"), Naming::Masked);
            let is_personal = placeholders(spec.key).any(|kind| PERSONAL.contains(&kind));
            assert_eq!(name.contains("*4567"), is_personal, "{name}");
            let plain = lock_name(&spec, &ids.join(":"), Naming::Plain);
            assert!(!plain.contains('*'), "{plain}");
            assert_eq!(lock_ids(&spec, &plain), Some(ids.join(":").as_str()));
        }
    }

    #[test]
    fn a_short_number_shows_nothing_and_colons_in_an_id_stay_in_it() {
        let spec = LockClass::WhatsAppSend.spec();
        assert_eq!(lock_name(&spec, "cnx_1:1234", Naming::Masked), "whatsapp_send:cnx_1:*");
        assert_eq!(lock_name(&spec, "cnx_1:a:12345", Naming::Masked), "whatsapp_send:cnx_1:*2345");
        assert_eq!(first_id("cnx_1:a"), "cnx_1");
    }

    #[test]
    fn ids_are_read_from_redis_keys() {
        assert_eq!(limit_ids("sw:r:whatsapp_pair_rate_limit:{cnx_7}:1555"), "cnx_7:1555");
        assert_eq!(limit_ids("sw:r:reminder_rate_limit"), "");
        assert!(is_global(&Policy::Reminder.spec()) && !is_global(&Policy::Bot.spec()));
    }
}
