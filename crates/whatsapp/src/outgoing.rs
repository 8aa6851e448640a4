//! What may be sent, in the shapes that Meta's API takes, and Meta's limits on it.
//!
//! [`Outgoing::check`] finds whatever can be told to be refused without asking Meta, so that nobody
//! waits for a message that could never leave. The limits are those of "Send messages" and of the
//! reference of each type (Meta, read in November 2025).

mod contacts;
mod flaws;
mod interactive;
mod media;
mod template;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::contacts::Contact;
pub use self::flaws::{Flaw, Flaws};
pub use self::interactive::Interactive;
pub use self::media::Media;
pub use self::template::Template;

/// Characters of a text at most.
const LONGEST_TEXT: usize = 4_096;
/// Contacts in one message at most.
const MOST_CONTACTS: usize = 257;
/// Characters of one emoji at most: a family with skin tones is about ten.
const LONGEST_EMOJI: usize = 16;

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub enum Outgoing {
    /// Plain text.
    Text(Text),
    /// A picture.
    Image(Media),
    /// A film.
    Video(Media),
    /// A sound, or a voice message.
    Audio(Media),
    /// A file.
    Document(Media),
    /// A sticker.
    Sticker(Media),
    /// A place.
    Location(Location),
    /// Address cards.
    Contacts(Vec<Contact>),
    /// An emoji on another message.
    Reaction(Reaction),
    /// Buttons, a list, a link, a flow.
    Interactive(Box<Interactive>),
    /// An approved template, which alone may open a conversation.
    Template(Box<Template>),
}

/// Plain text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// What it says.
    pub body: String,
    /// Whether WhatsApp shows a preview of the first link.
    #[serde(default)]
    pub preview_url: bool,
}

/// A place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// Degrees, north positive.
    pub latitude: f64,
    /// Degrees, east positive.
    pub longitude: f64,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// An emoji on another message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// Meta's id of the message.
    pub message_id: String,
    /// The emoji; empty takes the reaction back.
    pub emoji: String,
}

impl Outgoing {
    /// Meta's `type`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Image(_) => "image",
            Self::Video(_) => "video",
            Self::Audio(_) => "audio",
            Self::Document(_) => "document",
            Self::Sticker(_) => "sticker",
            Self::Location(_) => "location",
            Self::Contacts(_) => "contacts",
            Self::Reaction(_) => "reaction",
            Self::Interactive(_) => "interactive",
            Self::Template(_) => "template",
        }
    }

    /// Each value that Meta would refuse, with a JSON pointer from `/{kind}` on.
    pub fn check(&self) -> Vec<Flaw> {
        let mut flaws = Flaws::at(self.kind());
        match self {
            Self::Text(text) => flaws.length("body", &text.body, 1..=LONGEST_TEXT),
            Self::Image(media) | Self::Video(media) => {
                media.check(&mut flaws, media::Allows::Caption)
            }
            Self::Document(media) => media.check(&mut flaws, media::Allows::CaptionAndName),
            Self::Audio(media) => media.check(&mut flaws, media::Allows::Voice),
            Self::Sticker(media) => media.check(&mut flaws, media::Allows::Nothing),
            Self::Location(location) => location.check(&mut flaws),
            Self::Contacts(contacts) => {
                flaws.count("", contacts.len(), 1..=MOST_CONTACTS);
                for (place, contact) in contacts.iter().enumerate() {
                    flaws.below(place, |flaws| contact.check(flaws));
                }
            }
            Self::Reaction(reaction) => {
                flaws.require(
                    "emoji",
                    is_emoji(&reaction.emoji),
                    "one emoji, or nothing to take it back",
                );
            }
            Self::Interactive(interactive) => interactive.check(&mut flaws),
            Self::Template(template) => template.check(&mut flaws),
        }
        match self.as_meta_takes_it() {
            Ok(body) => flaws.refuse_nul(&body),
            Err(_unwritable) => flaws.require("", false, "something that can be written as JSON"),
        }
        flaws.into_found()
    }

    /// The member of Meta's request that is named like the type.
    ///
    /// # Errors
    ///
    /// When it cannot be written as JSON.
    pub fn as_meta_takes_it(&self) -> Result<Value, serde_json::Error> {
        Ok(match self {
            Self::Text(text) => serde_json::to_value(text)?,
            Self::Image(media)
            | Self::Video(media)
            | Self::Audio(media)
            | Self::Document(media)
            | Self::Sticker(media) => serde_json::to_value(media)?,
            Self::Location(location) => serde_json::to_value(location)?,
            Self::Contacts(contacts) => serde_json::to_value(contacts)?,
            Self::Reaction(reaction) => serde_json::to_value(reaction)?,
            Self::Interactive(interactive) => serde_json::to_value(interactive)?,
            Self::Template(template) => template.as_meta_takes_it(),
        })
    }

    /// What a thread shows of it.
    pub fn shown(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.body.clone()),
            Self::Image(media) | Self::Video(media) => media.caption.clone(),
            Self::Document(media) => media.caption.clone().or_else(|| media.filename.clone()),
            Self::Audio(_) | Self::Sticker(_) => None,
            Self::Location(location) => location.name.clone().or_else(|| location.address.clone()),
            Self::Contacts(contacts) => {
                let names: Vec<&str> = contacts.iter().map(Contact::formatted_name).collect();
                Some(names.join(", "))
            }
            Self::Reaction(reaction) => Some(reaction.emoji.clone()),
            Self::Interactive(interactive) => interactive.shown(),
            Self::Template(template) => Some(template.shown()),
        }
    }
}

impl Location {
    fn check(&self, flaws: &mut Flaws) {
        let is_latitude = (-90.0..=90.0).contains(&self.latitude);
        flaws.require("latitude", is_latitude, "degrees from -90 to 90");
        let is_longitude = (-180.0..=180.0).contains(&self.longitude);
        flaws.require("longitude", is_longitude, "degrees from -180 to 180");
    }
}

/// No letters, no white space: what is left of Unicode is near enough.
fn is_emoji(text: &str) -> bool {
    text.chars().count() <= LONGEST_EMOJI
        && !text.chars().any(|c| c.is_alphabetic() || c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests;
