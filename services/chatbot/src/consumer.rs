//! Turns broker messages into hints where to look.

use std::sync::Arc;

use contracts::events::Event;
use contracts::names::event::MESSAGE_RECEIVED;
use contracts::uuid_field;
use kernel::ids::{ConversationId, MessageId};
use messaging::{BatchHandler, Delivery, Fault, Verdict};

use crate::turns::{Hints, Turns};

/// Consumes the family `chatbots`.
pub(crate) struct Hinted {
    turns: Arc<Turns>,
}

impl Hinted {
    pub(crate) fn new(turns: Arc<Turns>) -> Self {
        Self { turns }
    }
}

impl BatchHandler for Hinted {
    type Message = Event;

    async fn handle(&self, batch: Vec<Delivery<Event>>) -> Result<Vec<Verdict>, Fault> {
        self.turns.play(&hints(&batch)).await?;
        Ok(batch.iter().map(|_| Verdict::Done).collect())
    }
}

/// Events that are no received message, or name no conversation, hint at nothing.
fn hints(batch: &[Delivery<Event>]) -> Hints {
    let mut hints = Hints::default();
    for delivery in batch.iter().filter(|delivery| delivery.message.r#type == MESSAGE_RECEIVED) {
        let event = &delivery.message;
        if let Some(conversation) = uuid_field(&event.conversation_id) {
            let message = uuid_field(&event.message_id).map(MessageId::from_uuid);
            let conversation = ConversationId::from_uuid(conversation);
            hints.add(conversation, message, delivery.traceparent());
        }
    }
    hints
}

#[cfg(test)]
mod tests {
    use contracts::uuid_bytes;
    use messaging::Family;
    use uuid::Uuid;

    use super::*;

    fn delivery(kind: &str, conversation: Option<Uuid>) -> Delivery<Event> {
        let event = Event {
            r#type: kind.to_owned(),
            conversation_id: conversation.map(uuid_bytes).unwrap_or_default(),
            ..Event::default()
        };
        Delivery::made_up(event, Family::Chatbots.queue(0), Uuid::nil())
    }

    #[test]
    fn only_received_messages_hint_and_each_conversation_once() {
        let one = Uuid::from_u128(1);
        let batch = [
            delivery(MESSAGE_RECEIVED, Some(one)),
            delivery(MESSAGE_RECEIVED, Some(one)),
            delivery(MESSAGE_RECEIVED, None),
            delivery("message.sent", Some(Uuid::from_u128(2))),
        ];
        assert_eq!(hints(&batch).conversations(), [ConversationId::from_uuid(one)]);
    }
}
