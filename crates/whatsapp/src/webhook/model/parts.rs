//! What messages and statuses are made of.

use kernel::{UserId, WaId};
use serde::Serialize;

use super::{user_id, wa_id};
use crate::json::Object;

/// A picture, film, sound, file or sticker, to be fetched from Meta within 7 days.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Media {
    /// Meta's id of the media; absent when Meta could not fetch it.
    pub id: Option<String>,
    /// For instance `audio/ogg; codecs=opus`.
    pub mime_type: Option<String>,
    /// Base64 of the content's SHA-256.
    pub sha256: Option<String>,
    /// The file's name, for documents.
    pub filename: Option<String>,
    /// Where the content is for five minutes, to whoever shows the access token.
    pub url: Option<String>,
    /// A voice note rather than a sound file.
    pub is_voice: bool,
    /// A moving sticker.
    pub is_animated: bool,
}

/// A place.
#[derive(Clone, Default, PartialEq, Serialize)]
pub struct Location {
    /// Degrees north; 0 is a legal value.
    pub latitude: Option<f64>,
    /// Degrees east; 0 is a legal value.
    pub longitude: Option<f64>,
    /// The place's name.
    pub name: Option<String>,
    /// The place's address.
    pub address: Option<String>,
    /// The place's page.
    pub url: Option<String>,
}

/// An address card.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Card {
    /// The name as it is shown.
    pub name: Option<String>,
    /// Phone numbers as typed.
    pub phones: Vec<String>,
}

/// One line of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OrderItem {
    /// The business's own number of the product.
    pub product: Option<String>,
    /// How many, as received.
    pub quantity: Option<String>,
    /// Price of one, as received: a decimal, never a float.
    pub price: Option<String>,
    /// ISO 4217.
    pub currency: Option<String>,
}

/// The person has a new number or user id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NewIdentity {
    /// The number from now on.
    pub wa_id: Option<WaId>,
    /// The user id from now on.
    pub user_id: Option<UserId>,
    /// The user id until now.
    pub previous_user_id: Option<UserId>,
}

/// One of Meta's errors, inside a message or a status.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct MetaError {
    /// Look it up with [`crate::error_class::classify`].
    pub code: Option<i32>,
    /// A short text for people; changes without notice.
    pub title: Option<String>,
    /// A longer text for people; changes without notice.
    pub details: Option<String>,
}

silent!(Media, Location, Card, MetaError);

impl Media {
    pub(super) fn read(media: &Object<'_>) -> Self {
        Self {
            id: media.id("id").map(Into::into),
            mime_type: media.string("mime_type"),
            sha256: media.string("sha256"),
            filename: media.string("filename"),
            url: media.string("url"),
            is_voice: media.is_true("voice"),
            is_animated: media.is_true("animated"),
        }
    }
}

impl Location {
    pub(super) fn read(location: &Object<'_>) -> Self {
        Self {
            latitude: location.number("latitude").filter(|degrees: &f64| degrees.is_finite()),
            longitude: location.number("longitude").filter(|degrees: &f64| degrees.is_finite()),
            name: location.string("name"),
            address: location.string("address"),
            url: location.string("url"),
        }
    }
}

impl Card {
    pub(super) fn read(card: &Object<'_>) -> Self {
        let name = card.object("name");
        let of_name = |key| name.as_ref().and_then(|name| name.string(key));
        Self {
            name: of_name("formatted_name").or_else(|| of_name("first_name")),
            phones: card
                .objects("phones")
                .iter()
                .filter_map(|phone| phone.string("phone"))
                .collect(),
        }
    }
}

impl OrderItem {
    pub(super) fn read(item: &Object<'_>) -> Self {
        Self {
            product: item.string("product_retailer_id"),
            quantity: item.string("quantity"),
            price: item.string("item_price"),
            currency: item.string("currency"),
        }
    }
}

impl NewIdentity {
    pub(super) fn read(system: &Object<'_>) -> Option<Self> {
        let new = Self {
            wa_id: wa_id(system, "wa_id").or_else(|| wa_id(system, "new_wa_id")),
            user_id: user_id(system, "user_id"),
            previous_user_id: user_id(system, "previous_user_id"),
        };
        (new != Self::default()).then_some(new)
    }
}

impl MetaError {
    /// Reads the member `errors` of a message or status.
    pub(super) fn read_all(item: &Object<'_>) -> Vec<Self> {
        let read = |error: &Object<'_>| Self {
            code: error.number("code"),
            title: error.string("title").or_else(|| error.string("message")),
            details: error.object("error_data").and_then(|data| data.string("details")),
        };
        item.objects("errors").iter().map(read).collect()
    }
}
