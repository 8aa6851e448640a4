//! What is thrown at the door.

use std::time::Duration;

use graph_simulator::{FloodOptions, FloodReport, Load, Number, Until, flood};
use url::Url;

use crate::installation::{APP_SECRET, PHONE, WABA};

/// POSTs on the way at once.
pub(crate) const CONNECTIONS: usize = 64;
/// People who write, in turn.
pub(crate) const PERSONS: u64 = 5_000;
/// Makes a body of one message about as long as Meta's, 700 bytes.
const TEXT: &str = "Hello, I ordered the green chair last week (order 20331) and would like to know \
                    when it will be delivered. Would Thursday afternoon work? If not, please call me.";
/// POSTs to sign beforehand per second, more than any machine we know takes.
const POSTS_PER_SECOND: u64 = 12_000;

/// A body of `updates` messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) updates: u64,
}

/// Closed loop for `time`; answers when the last POST was answered.
pub(crate) async fn throw(door: &Url, shape: Shape, time: Duration) -> anyhow::Result<FloodReport> {
    let prepared = POSTS_PER_SECOND * time.as_secs().max(1);
    let options = FloodOptions {
        targets: vec![door.join("webhooks/whatsapp")?],
        app_secret: APP_SECRET.to_owned(),
        numbers: vec![Number::new(WABA, PHONE)],
        persons: PERSONS,
        per_post: shape.updates,
        text: TEXT.to_owned(),
        load: Load::Closed { connections: CONNECTIONS },
        until: Until::Elapsed(time),
        prepared: prepared.div_ceil(shape.updates),
        ..FloodOptions::default()
    };
    Ok(flood(options).await?)
}
