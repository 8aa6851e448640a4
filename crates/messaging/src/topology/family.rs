//! The families of work queues. A new one is one line below, and its service.

macro_rules! families {
    ($($(#[$doc:meta])* $family:ident = $name:literal, $lanes:literal lanes $(, hears $event:path)?;)*) => {
        /// A kind of work with queues of its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Family {
            $($(#[$doc])* $family,)*
        }

        impl Family {
            /// Every family.
            pub const ALL: &[Self] = &[$(Self::$family),*];

            /// What queues, routing keys, metrics and dead letters call it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$family => $name),* }
            }

            /// How many queues the work is spread over, for [`contracts::lane_of`]. Within a lane
            /// one consumer at a time keeps the order. `0`: one queue, many consumers, no order.
            pub const fn lanes(self) -> u8 {
                match self { $(Self::$family => $lanes),* }
            }

            /// The type of events that lead to this family; the others are published to it.
            pub(super) const fn event(self) -> Option<&'static str> {
                match self { $(Self::$family => event_of!($($event)?)),* }
            }
        }
    };
}

macro_rules! event_of {
    () => {
        None
    };
    ($event:path) => {
        Some($event)
    };
}

families! {
    /// What Meta posted: messages and statuses.
    Webhooks = "webhooks", 8 lanes;
    /// What Meta posted and nobody waits for: history, templates, account updates.
    WebhooksSlow = "webhooks.slow", 2 lanes;
    /// Messages a bot may have to answer.
    Chatbots = "chatbots", 4 lanes, hears contracts::names::event::MESSAGE_RECEIVED;
    /// Campaigns that should be looked at now.
    Campaigns = "campaigns", 0 lanes;
    /// Imports and exports that should be looked at now.
    Sync = "sync", 0 lanes;
    /// Template syncs, and news about templates, that should be looked at now: apart from the
    /// others, so that a long import delays none of them.
    SyncTemplates = "sync.templates", 0 lanes;
}

impl Family {
    /// The key of `sy.lanes` that leads to `lane`, e.g. `webhooks.03`.
    pub fn routing_key(self, lane: u8) -> String {
        if self.is_ordered() {
            format!("{}.{lane:02}", self.name())
        } else {
            self.name().to_owned()
        }
    }

    /// All queues of the family.
    pub fn queues(self) -> impl Iterator<Item = super::Queue> {
        (0..self.lanes().max(1)).map(move |lane| self.queue(lane))
    }

    /// The queue of `lane`.
    pub const fn queue(self, lane: u8) -> super::Queue {
        super::Queue::Work(self, lane)
    }

    pub(super) const fn is_ordered(self) -> bool {
        self.lanes() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_numbered_with_two_digits() {
        assert_eq!(Family::Webhooks.routing_key(3), "webhooks.03");
        assert_eq!(Family::WebhooksSlow.queues().count(), 2);
        assert_eq!(Family::Chatbots.event(), Some("message.received"));
    }
}
