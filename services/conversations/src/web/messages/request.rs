//! The body of a request to send, and what is wrong with it.

use kernel::ids::{ConnectionId, ContactId, MessageId};
use serde::Deserialize;
use serde_json::{Map, Value};
use service::{Code, Problem};
use storage::send_ledger::OnDoubt;
use whatsapp::outgoing::{
    Contact, Interactive, Location, Media, Outgoing, Reaction, Template, Text,
};

use crate::letter::Said;
use crate::web::values::Phone;

/// Members of `metadata` at most, and bytes of it in all.
const MOST_METADATA: usize = 50;
const LONGEST_METADATA: usize = 8 * 1_024;

/// What to send to whom. Of the contents exactly one is given.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    pub(super) connection: Option<ConnectionId>,
    pub(super) to: Option<Phone>,
    pub(super) contact: Option<ContactId>,
    /// The message that this one answers, shown above it.
    reply_to: Option<MessageId>,
    /// The caller's own data, given back with the message.
    metadata: Option<Metadata>,
    #[serde(default)]
    pub(super) on_limit: OnLimit,
    #[serde(default)]
    on_uncertain: OnUncertain,
    /// May be given, as Meta's API wants it; the content says it, too.
    r#type: Option<String>,
    text: Option<Text>,
    image: Option<Media>,
    video: Option<Media>,
    audio: Option<Media>,
    document: Option<Media>,
    sticker: Option<Media>,
    location: Option<Location>,
    contacts: Option<Vec<Contact>>,
    reaction: Option<Reacting>,
    interactive: Option<Interactive>,
    template: Option<Template>,
}

/// A reaction names its message by our id.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reacting {
    message: MessageId,
    emoji: String,
}

/// What happens when the message would have to wait for a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnLimit {
    /// It waits.
    #[default]
    Queue,
    /// It is refused.
    Reject,
}

/// What happens when nobody can tell whether Meta took the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OnUncertain {
    #[default]
    Hold,
    AssumeSent,
    Resend,
}

#[derive(Deserialize)]
#[serde(try_from = "Map<String, Value>")]
struct Metadata(Map<String, Value>);

impl TryFrom<Map<String, Value>> for Metadata {
    type Error = &'static str;

    fn try_from(members: Map<String, Value>) -> Result<Self, &'static str> {
        let is_plain = |value: &Value| !value.is_array() && !value.is_object();
        let text = Value::Object(members.clone()).to_string();
        // PostgreSQL cannot keep the character of code 0.
        let is_fit = members.len() <= MOST_METADATA
            && members.values().all(is_plain)
            && text.len() <= LONGEST_METADATA
            && !text.contains("\\u0000");
        if is_fit {
            return Ok(Self(members));
        }
        Err(
            "metadata has 50 members at most, 8,192 bytes in all: texts, numbers, true, false or null",
        )
    }
}

impl Body {
    /// What the message says.
    ///
    /// # Errors
    ///
    /// Each value that Meta would refuse.
    pub(super) fn content(&mut self) -> Result<Said, Problem> {
        let (outgoing, reacts_to) = self.outgoing()?;
        let kind = outgoing.kind();
        if self.r#type.as_ref().is_some_and(|named| named != kind) {
            return Err(Problem::invalid(
                "/type",
                "invalid_value",
                format!("the content is of type `{kind}`"),
            ));
        }
        let mut flaws = outgoing.check().into_iter().peekable();
        if flaws.peek().is_some() {
            let mut problem =
                Problem::new(Code::ValidationFailed, "Meta would refuse this message.");
            for flaw in flaws {
                problem = problem.and_invalid(flaw.pointer, "invalid_value", flaw.detail);
            }
            return Err(problem);
        }
        let may_answer = !matches!(outgoing, Outgoing::Reaction(_) | Outgoing::Template(_));
        if self.reply_to.is_some() && !may_answer {
            let detail = "a reaction or a template answers no message";
            return Err(Problem::invalid("/reply_to", "invalid_value", detail));
        }
        Ok(Said { outgoing, about: reacts_to.or(self.reply_to) })
    }

    /// The one content that is given, and what it reacts to.
    fn outgoing(&mut self) -> Result<(Outgoing, Option<MessageId>), Problem> {
        let reacts_to = self.reaction.as_ref().map(|reaction| reaction.message);
        let reaction = self.reaction.take().map(|reaction| {
            Outgoing::Reaction(Reaction { message_id: String::new(), emoji: reaction.emoji })
        });
        let interactive = self.interactive.take().map(Box::new).map(Outgoing::Interactive);
        let template = self.template.take().map(Box::new).map(Outgoing::Template);
        let given = [
            self.text.take().map(Outgoing::Text),
            self.image.take().map(Outgoing::Image),
            self.video.take().map(Outgoing::Video),
            self.audio.take().map(Outgoing::Audio),
            self.document.take().map(Outgoing::Document),
            self.sticker.take().map(Outgoing::Sticker),
            self.location.take().map(Outgoing::Location),
            self.contacts.take().map(Outgoing::Contacts),
            reaction,
            interactive,
            template,
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(outgoing), None) => Ok((outgoing, reacts_to)),
            _ => Err(Problem::invalid(
                "",
                "one_content",
                "give exactly one of text, image, video, audio, document, sticker, location, contacts, reaction, \
                 interactive and template",
            )),
        }
    }

    /// What becomes of it when its outcome stays unknown.
    pub(super) const fn on_doubt(&self) -> OnDoubt {
        match self.on_uncertain {
            OnUncertain::Hold => OnDoubt::Hold,
            OnUncertain::AssumeSent => OnDoubt::AssumeSent,
            OnUncertain::Resend => OnDoubt::Resend,
        }
    }

    /// The caller's own data.
    pub(super) fn metadata(&mut self) -> Option<Value> {
        self.metadata.take().map(|Metadata(members)| Value::Object(members))
    }
}
