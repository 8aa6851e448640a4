//! Names that are part of the contract with other programs: exchanges, headers, event types.

/// The topic exchange that everybody may subscribe to; routing key `{event type}.{lane}`, where the lane
/// is a number for Switchyard's own services, or `-` when none of them acts upon the event: subscribe to
/// `{event type}.*`.
pub const EVENTS_EXCHANGE: &str = "switchyard.events";

/// AMQP header names. Never `x-*`: those belong to the broker.
pub mod header {
    /// The workspace's uuid.
    pub const WORKSPACE: &str = "sy-workspace";
    /// The connection's uuid.
    pub const CONNECTION: &str = "sy-connection";
    /// How often handling this message has failed; absent on the first try.
    pub const ATTEMPT: &str = "sy-attempt";
    /// Why handling failed the last time.
    pub const ERROR: &str = "sy-error";
    /// The queue a dead letter or a waiting message came from.
    pub const ORIGIN: &str = "sy-origin";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
}

/// Event types: AMQP `type` suffixes, routing keys, `GET /v1/events` and webhooks share them.
pub mod event {
    /// A person wrote to a connection.
    pub const MESSAGE_RECEIVED: &str = "message.received";
    /// A message of ours waits to be sent.
    pub const MESSAGE_QUEUED: &str = "message.queued";
    /// Meta took a message and gave it an id.
    pub const MESSAGE_ACCEPTED: &str = "message.accepted";
    /// Meta sent a message.
    pub const MESSAGE_SENT: &str = "message.sent";
    /// A message reached the person's phone.
    pub const MESSAGE_DELIVERED: &str = "message.delivered";
    /// The person read a message.
    pub const MESSAGE_READ: &str = "message.read";
    /// A message did not and will not arrive.
    pub const MESSAGE_FAILED: &str = "message.failed";
    /// Whether Meta took a message is not known.
    pub const MESSAGE_UNCERTAIN: &str = "message.uncertain";
    /// A person said what became of a message of which it was not known.
    pub const MESSAGE_RESOLVED: &str = "message.resolved";
    /// A person is known now: they wrote for the first time, or somebody made the contact.
    pub const CONTACT_CREATED: &str = "contact.created";
    /// A person is known by more or other things than before.
    pub const CONTACT_UPDATED: &str = "contact.updated";
    /// A person does not want to hear from us any more.
    pub const CONTACT_OPTED_OUT: &str = "contact.opted_out";
    /// A person wants to hear from us again.
    pub const CONTACT_OPTED_IN: &str = "contact.opted_in";
    /// Several contacts became this one.
    pub const CONTACT_MERGED: &str = "contact.merged";
    /// A person was forgotten.
    pub const CONTACT_ERASED: &str = "contact.erased";
    /// A conversation began, or somebody opened it again.
    pub const CONVERSATION_OPENED: &str = "conversation.opened";
    /// Somebody else looks after a conversation, or nobody any more.
    pub const CONVERSATION_ASSIGNED: &str = "conversation.assigned";
    /// A conversation is done; the person's next message opens it again.
    pub const CONVERSATION_CLOSED: &str = "conversation.closed";
    /// A bot had an answer and did not give it.
    pub const BOT_SILENT: &str = "bot.silent";
    /// A campaign left its draft or its schedule: its audience is being frozen, then it sends.
    pub const CAMPAIGN_STARTED: &str = "campaign.started";
    /// A campaign sends nothing until it is resumed.
    pub const CAMPAIGN_PAUSED: &str = "campaign.paused";
    /// A paused campaign goes on.
    pub const CAMPAIGN_RESUMED: &str = "campaign.resumed";
    /// Everybody in a campaign had a turn.
    pub const CAMPAIGN_COMPLETED: &str = "campaign.completed";
    /// A campaign cannot go on until somebody acts.
    pub const CAMPAIGN_NEEDS_ATTENTION: &str = "campaign.needs_attention";
    /// Meta approved, paused, disabled or deleted a template.
    pub const TEMPLATE_STATUS_CHANGED: &str = "template.status_changed";
    /// Meta changed what it thinks of a template.
    pub const TEMPLATE_QUALITY_CHANGED: &str = "template.quality_changed";
    /// A campaign was stopped for good.
    pub const CAMPAIGN_CANCELLED: &str = "campaign.cancelled";
    /// An import of contacts has ended.
    pub const IMPORT_COMPLETED: &str = "import.completed";
    /// An export of contacts has ended.
    pub const EXPORT_COMPLETED: &str = "export.completed";
}
