//! Tells everybody that an import or an export has ended.

use chrono::{DateTime, Utc};
use contracts::events::RunEnded;
use contracts::events::event::Detail;
use contracts::uuid_bytes;
use kernel::ids::{EventId, WorkspaceId};
use storage::events::Event;
use uuid::Uuid;

/// The event that a run has ended: `status` says how, `code` why if it failed. It belongs to no
/// connection and no person.
pub(crate) fn ended(
    event_type: &'static str,
    (workspace, run): (WorkspaceId, Uuid),
    (status, code): (&str, Option<&str>),
    now: DateTime<Utc>,
) -> Event {
    let id = EventId::new();
    let body = contracts::events::Event {
        id: uuid_bytes(id.as_uuid()),
        r#type: event_type.to_owned(),
        workspace_id: uuid_bytes(workspace.as_uuid()),
        occurred_at_us: now.timestamp_micros(),
        detail: Some(Detail::RunEnded(RunEnded {
            run_id: uuid_bytes(run),
            status: status.to_owned(),
            code: code.unwrap_or_default().to_owned(),
        })),
        ..contracts::events::Event::default()
    };
    Event {
        id,
        workspace_id: workspace,
        event_type: event_type.to_owned(),
        conversation_id: None,
        message_id: None,
        body: contracts::encode(&body),
        traceparent: telemetry::trace::current_traceparent(),
        is_awaited: false,
    }
}
