//! Markers in every lane, by which others know how far the lane has been worked off.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contracts::inbound::{WebhookEvent, WebhookEventKind};
use contracts::uuid_bytes;
use kernel::{Clock, chain};
use messaging::{Exchange, Family, Outgoing, Publisher};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use uuid::Uuid;

/// How often; a doubt about a send is decided this much later at most.
const EVERY: Duration = Duration::from_secs(2);

pub(crate) async fn run(publisher: Publisher, clock: Arc<dyn Clock>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        let at = clock.now().timestamp_micros();
        let markers = [Family::Webhooks, Family::WebhooksSlow]
            .into_iter()
            .flat_map(|family| (0..family.lanes()).map(move |lane| marker(family, lane, at)));
        if let Err(error) = publisher.publish_all(markers.collect()).await {
            debug!(error = %chain(&error), "no markers this time");
        }
    }
}

fn marker(family: Family, lane: u8, at: i64) -> Outgoing {
    let id = Uuid::new_v4();
    let event = WebhookEvent {
        event_id: uuid_bytes(id),
        kind: WebhookEventKind::Marker.into(),
        received_at_us: at,
        item: Bytes::new(),
        ..WebhookEvent::default()
    };
    // Bundled like the events, so that it does not overtake them.
    Outgoing::of(Exchange::Lanes, family.routing_key(lane), id, &event).bundled()
}
