//! Whose turn it is on one connection.

/// What a message is, as far as its connection's limit is concerned; higher ones come first.
///
/// A lane may use the limit up to a ceiling of its own, so that there is always room left for the
/// lanes above it. Reminders and campaigns are bulk: they are spread evenly, and keep a fifth of the
/// limit even when the lanes above ask for all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// A person waits at a screen. Also everything that is not a message.
    #[default]
    Agent,
    /// The chatbot answers.
    Chatbot,
    /// A reminder falls due.
    Reminder,
    /// A campaign goes out.
    Campaign,
}

impl Lane {
    /// Every lane, the first first.
    pub const ALL: [Self; 4] = [Self::Agent, Self::Chatbot, Self::Reminder, Self::Campaign];

    /// The metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Chatbot => "chatbot",
            Self::Reminder => "reminder",
            Self::Campaign => "campaign",
        }
    }

    /// Whether it is spread evenly, and has its turn after four of the others'.
    pub const fn is_bulk(self) -> bool {
        matches!(self, Self::Reminder | Self::Campaign)
    }

    /// The lane's number in the scripts.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Agent => 1,
            Self::Chatbot => 2,
            Self::Reminder => 3,
            Self::Campaign => 4,
        }
    }

    /// How many units of a paced limit may pass at once.
    pub(super) const fn burst(self) -> u32 {
        match self {
            Self::Agent => 10,
            Self::Chatbot => 6,
            Self::Reminder => 3,
            Self::Campaign => 1,
        }
    }

    /// The part of an exact limit that is left to the lanes above, in hundredths.
    pub(super) const fn leaves(self) -> u32 {
        match self {
            Self::Agent => 0,
            Self::Chatbot => 4,
            Self::Reminder => 7,
            Self::Campaign => 10,
        }
    }
}
