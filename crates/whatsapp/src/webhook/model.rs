//! One element of a webhook, as far as it can be understood.
//!
//! Invariant: reading never fails and never panics. A member that is missing, of another type than
//! documented, or unknown is `None` or `Unknown`; numbers and strings are accepted for each other;
//! U+0000 and broken surrogates, which no database takes, arrive as U+FFFD.

/// A `Debug` that shows nothing: these hold what people write and what they are called.
macro_rules! silent {
    ($($type:ident),*) => {$(
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type)).finish_non_exhaustive()
            }
        }
    )*};
}

mod kind;
mod message;
mod parts;
mod preference;
mod status;
mod template;

use chrono::{DateTime, Utc};
use kernel::{UserId, WaId, Wamid};

pub use self::kind::Kind;
pub use self::message::{Echo, InboundMessage};
pub use self::parts::{Card, Location, Media, MetaError, NewIdentity, OrderItem};
pub use self::preference::{Preference, Wish};
pub use self::status::{Pricing, Progress, Status};
pub use self::template::{TemplateChange, TemplateNews};

use crate::json::{self, Object};

/// A person as the webhook describes them: an element of `contacts[]`.
#[derive(Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Profile {
    /// The name that the person chose for WhatsApp.
    pub name: Option<String>,
    /// The user name, since 2026; with its `@` as received.
    pub username: Option<String>,
    /// The number; absent when the person hides it.
    pub wa_id: Option<WaId>,
    /// The business-scoped user id.
    pub user_id: Option<UserId>,
    /// The user id shared by linked business portfolios.
    pub parent_user_id: Option<UserId>,
}

silent!(Profile);

impl Profile {
    /// Reads an element of `contacts[]`.
    pub fn parse(item: &[u8]) -> Self {
        let text = json::clean(item);
        let Some(contact) = Object::read(&text) else { return Self::default() };
        let profile = contact.object("profile");
        let of_profile = |key| profile.as_ref().and_then(|profile| profile.string(key));
        Self {
            name: of_profile("name"),
            username: of_profile("username"),
            wa_id: wa_id(&contact, "wa_id"),
            user_id: user_id(&contact, "user_id"),
            parent_user_id: user_id(&contact, "parent_user_id"),
        }
    }
}

/// A number without the `+` that some senders put in front.
fn wa_id(object: &Object<'_>, key: &str) -> Option<WaId> {
    let text = object.id(key)?;
    let digits = text.strip_prefix('+').unwrap_or(&text);
    Some(digits).filter(|digits| !digits.is_empty()).map(WaId::new)
}

fn user_id(object: &Object<'_>, key: &str) -> Option<UserId> {
    object.id(key).map(UserId::new)
}

fn wamid(object: &Object<'_>, key: &str) -> Option<Wamid> {
    object.id(key).map(Wamid::new)
}

/// Seconds since 1970, up to the year 9999; anything else is no time.
fn time(object: &Object<'_>, key: &str) -> Option<DateTime<Utc>> {
    const YEAR_10000: i64 = 253_402_300_800;
    let seconds = object.number(key).filter(|seconds| (0..YEAR_10000).contains(seconds))?;
    DateTime::from_timestamp(seconds, 0)
}
