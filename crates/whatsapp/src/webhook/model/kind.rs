//! The types of messages.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal,)*) => {
        /// What a message is: Meta's `type`.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
            /// A type that we don't know, as received; empty when the message has none.
            Unknown(String),
        }

        impl Kind {
            /// Meta's `type`, as received.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$kind => $name,)*
                    Self::Unknown(name) => name,
                }
            }
        }

        impl From<&str> for Kind {
            fn from(name: &str) -> Self {
                match name {
                    $($name => Self::$kind,)*
                    other => Self::Unknown(other.to_owned()),
                }
            }
        }
    };
}

kinds! {
    /// Plain text.
    Text "text",
    /// A picture.
    Image "image",
    /// A film.
    Video "video",
    /// A voice note or a sound file.
    Audio "audio",
    /// A file.
    Document "document",
    /// A sticker.
    Sticker "sticker",
    /// A place.
    Location "location",
    /// Address cards.
    Contacts "contacts",
    /// An answer to buttons, a list, a form or a permission request.
    Interactive "interactive",
    /// A tap on a template's quick-reply button.
    Button "button",
    /// An emoji on an earlier message, or its removal.
    Reaction "reaction",
    /// A cart from the catalogue.
    Order "order",
    /// The person's number or user id changed.
    System "system",
    /// Something the Cloud API can not show. The person did write.
    Unsupported "unsupported",
    /// New words for an earlier message.
    Edit "edit",
    /// An earlier message was deleted.
    Revoke "revoke",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
