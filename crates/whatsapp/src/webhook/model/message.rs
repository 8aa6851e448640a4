//! A message that somebody wrote.

use chrono::{DateTime, Utc};
use kernel::{UserId, WaId, Wamid};
use serde::Serialize;

use super::kind::Kind;
use super::parts::{Card, Location, Media, MetaError, NewIdentity, OrderItem};
use super::{time, user_id, wa_id, wamid};
use crate::json::{self, Object};

/// An element of `messages[]`.
#[derive(Clone, PartialEq, Serialize)]
pub struct InboundMessage {
    /// Unique for one business number, and not beyond it.
    pub id: Option<Wamid>,
    /// The writer's number; absent when the person hides it.
    pub from: Option<WaId>,
    /// The writer's business-scoped user id.
    pub from_user_id: Option<UserId>,
    /// The writer's user id shared by linked business portfolios.
    pub from_parent_user_id: Option<UserId>,
    /// When the person sent it, to the second, by Meta's clock.
    pub sent_at: Option<DateTime<Utc>>,
    /// What it is.
    pub kind: Kind,
    /// What the person said, chose, captioned or shared, as far as words can say it.
    pub text: Option<String>,
    /// The id of the chosen button or row, or the payload of a template's button.
    pub choice: Option<String>,
    /// The message that this one answers.
    pub reply_to: Option<Wamid>,
    /// The message that is reacted to, edited or revoked.
    pub target: Option<Wamid>,
    /// The group it was written in.
    pub group_id: Option<String>,
    /// Whether the person passed on what another wrote.
    pub is_forwarded: bool,
    /// Whether the person came by an advertisement: opens the free 72 hours.
    pub has_referral: bool,
    /// The attached content.
    pub media: Option<Media>,
    /// The shared place.
    pub location: Option<Location>,
    /// The shared address cards.
    pub cards: Vec<Card>,
    /// The ordered goods.
    pub order: Vec<OrderItem>,
    /// The person's new number or user id.
    pub new_identity: Option<NewIdentity>,
    /// Why Meta could not pass on all of it.
    pub errors: Vec<MetaError>,
}

silent!(InboundMessage, Echo);

impl InboundMessage {
    /// Reads an element of `messages[]`.
    pub fn parse(item: &[u8]) -> Self {
        let text = json::clean(item);
        Object::read(&text).map_or_else(Self::nothing, |message| Self::read(&message))
    }

    fn read(message: &Object<'_>) -> Self {
        let kind = Kind::from(&*message.text("type").unwrap_or_default());
        let context = message.object("context");
        let is_context = |key| context.as_ref().is_some_and(|context| context.is_true(key));
        let body = message.object(kind.as_str());
        let content = Content::read(&kind, message, body.as_ref());
        Self {
            id: wamid(message, "id"),
            from: wa_id(message, "from"),
            from_user_id: user_id(message, "from_user_id"),
            from_parent_user_id: user_id(message, "from_parent_user_id"),
            sent_at: time(message, "timestamp"),
            text: content.text,
            choice: content.choice,
            reply_to: context.as_ref().and_then(|context| wamid(context, "id")),
            target: content.target,
            group_id: message.id("group_id").map(Into::into),
            is_forwarded: is_context("forwarded") || is_context("frequently_forwarded"),
            has_referral: message.object("referral").is_some(),
            media: content.media,
            location: content.location,
            cards: content.cards,
            order: content.order,
            new_identity: content.new_identity,
            errors: MetaError::read_all(message),
            kind,
        }
    }

    fn nothing() -> Self {
        Self {
            id: None,
            from: None,
            from_user_id: None,
            from_parent_user_id: None,
            sent_at: None,
            kind: Kind::Unknown(String::new()),
            text: None,
            choice: None,
            reply_to: None,
            target: None,
            group_id: None,
            is_forwarded: false,
            has_referral: false,
            media: None,
            location: None,
            cards: Vec::new(),
            order: Vec::new(),
            new_identity: None,
            errors: Vec::new(),
        }
    }
}

/// An element of `message_echoes[]`: a message from the business to a person, written on a phone.
#[derive(Clone, PartialEq, Serialize)]
pub struct Echo {
    /// The person's number.
    pub to: Option<WaId>,
    /// The person's business-scoped user id.
    pub to_user_id: Option<UserId>,
    /// The message; `from` is the business.
    pub message: InboundMessage,
}

impl Echo {
    /// Reads an element of `message_echoes[]`.
    pub fn parse(item: &[u8]) -> Self {
        let text = json::clean(item);
        let Some(echo) = Object::read(&text) else {
            return Self { to: None, to_user_id: None, message: InboundMessage::nothing() };
        };
        Self {
            to: wa_id(&echo, "to"),
            to_user_id: user_id(&echo, "to_user_id")
                .or_else(|| user_id(&echo, "recipient_user_id")),
            message: InboundMessage::read(&echo),
        }
    }
}

/// What depends on the type.
#[derive(Default)]
struct Content {
    text: Option<String>,
    choice: Option<String>,
    target: Option<Wamid>,
    media: Option<Media>,
    location: Option<Location>,
    cards: Vec<Card>,
    order: Vec<OrderItem>,
    new_identity: Option<NewIdentity>,
}

impl Content {
    /// Reads what `message`, of this `kind`, holds in the member named like it.
    fn read(kind: &Kind, message: &Object<'_>, body: Option<&Object<'_>>) -> Self {
        let string = |key| body.and_then(|body| body.string(key));
        let target = |key| body.and_then(|body| wamid(body, key));
        let content = Self::default();
        match kind {
            Kind::Text => Self { text: string("body"), ..content },
            Kind::Image | Kind::Video | Kind::Audio | Kind::Document | Kind::Sticker => {
                Self { text: string("caption"), media: body.map(Media::read), ..content }
            }
            Kind::Location => Self::of_location(body),
            Kind::Contacts => Self::of_cards(message),
            Kind::Interactive => body.map_or(content, Self::of_answer),
            Kind::Button => Self { text: string("text"), choice: string("payload"), ..content },
            Kind::Reaction => {
                Self { text: string("emoji"), target: target("message_id"), ..content }
            }
            Kind::Order => {
                let items = body.map(|body| body.objects("product_items")).unwrap_or_default();
                let order = items.iter().map(OrderItem::read).collect();
                Self { text: string("text"), order, ..content }
            }
            Kind::System => Self {
                text: string("body"),
                new_identity: body.and_then(NewIdentity::read),
                ..content
            },
            Kind::Edit => {
                let edited = body.and_then(|body| body.object("message"));
                let content = edited.as_ref().map(Self::of_edited).unwrap_or_default();
                Self { target: target("original_message_id"), ..content }
            }
            Kind::Revoke => Self { target: target("original_message_id"), ..content },
            Kind::Unsupported | Kind::Unknown(_) => content,
        }
    }

    /// What an edited message says now. An edit inside an edit says nothing, so this ends.
    fn of_edited(message: &Object<'_>) -> Self {
        match Kind::from(&*message.text("type").unwrap_or_default()) {
            Kind::Edit => Self::default(),
            kind => Self::read(&kind, message, message.object(kind.as_str()).as_ref()),
        }
    }

    /// The choice in `interactive`: the member named like its type.
    fn of_answer(interactive: &Object<'_>) -> Self {
        let kind = interactive.text("type").unwrap_or_default();
        let Some(answer) = interactive.object(&kind) else { return Self::default() };
        let text = ["title", "body", "response"].into_iter().find_map(|key| answer.string(key));
        Self { text, choice: answer.string("id"), ..Self::default() }
    }

    fn of_location(body: Option<&Object<'_>>) -> Self {
        let Some(location) = body.map(Location::read) else { return Self::default() };
        let words: Vec<&str> =
            [&location.name, &location.address].into_iter().flatten().map(String::as_str).collect();
        let text = (!words.is_empty()).then(|| words.join(", "));
        Self { text, location: Some(location), ..Self::default() }
    }

    fn of_cards(message: &Object<'_>) -> Self {
        let cards: Vec<Card> = message.objects("contacts").iter().map(Card::read).collect();
        let words: Vec<&str> = cards
            .iter()
            .filter_map(|card| card.name.as_ref().or(card.phones.first()))
            .map(String::as_str)
            .collect();
        let text = (!words.is_empty()).then(|| words.join(", "));
        Self { text, cards, ..Self::default() }
    }
}
