//! One channel's life as a consumer.

use std::time::Duration;

use lapin::options::BasicQosOptions;
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection};
use thiserror::Error;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::ConsumerOptions;
use super::batch::Pending;
use super::intake::Intake;
use crate::broker::Broker;
use crate::handler::BatchHandler;
use crate::meter::ConsumedMeter;
use crate::outgoing::clipped;

/// For closing a channel.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why a session ended. What it left unsettled is delivered again.
#[derive(Debug, Error)]
pub(super) enum SessionEnd {
    #[error("consumer was asked to stop")]
    Stopped,
    #[error("channel could not be opened")]
    NotOpened(#[source] lapin::Error),
    #[error("channel or connection failed")]
    Channel(#[from] lapin::Error),
    #[error("broker cancelled the consumer")]
    Cancelled,
    #[error("acknowledgement did not reach the broker")]
    NotAcknowledged,
    #[error("a delivery is missing")]
    Gap,
}

/// Everything a session works with.
pub(super) struct Session<'s, H> {
    pub(super) broker: &'s Broker,
    pub(super) options: &'s ConsumerOptions,
    pub(super) handler: &'s H,
    pub(super) meter: &'s ConsumedMeter,
    pub(super) stop: &'s CancellationToken,
}

impl<H: BatchHandler> Session<'_, H> {
    /// Consumes until something ends it; `opened` is called once deliveries can come.
    pub(super) async fn run(&self, connection: &Connection, opened: impl FnOnce()) -> SessionEnd {
        let mut intake = Intake::new();
        let channel = match self.stop.run_until_cancelled(self.open(connection, &mut intake)).await
        {
            None => return SessionEnd::Stopped,
            Some(Ok(channel)) => channel,
            Some(Err(error)) => {
                if error.is_amqp_soft_error() {
                    // A queue may have been deleted: the next session finds it again.
                    self.broker.shared.declare(connection).await;
                }
                return SessionEnd::NotOpened(error);
            }
        };
        opened();
        let ended = self.consume(&channel, &mut intake).await;
        if matches!(ended, SessionEnd::Stopped) {
            Self::leave(&channel, intake).await;
        }
        ended
    }

    async fn open(
        &self,
        connection: &Connection,
        intake: &mut Intake,
    ) -> Result<Channel, lapin::Error> {
        let channel = connection.create_channel().await?;
        channel.basic_qos(self.prefetch(), BasicQosOptions::default()).await?;
        for (at, queue) in self.options.queues.iter().enumerate() {
            let name = clipped(&self.broker.topology().queue_name(*queue));
            let none = FieldTable::default();
            let consumer =
                channel.basic_consume(name, self.tag(at), Default::default(), none).await?;
            intake.add(*queue, consumer);
        }
        Ok(channel)
    }

    /// Two batches ahead, shared among the queues: the broker counts for each of them.
    fn prefetch(&self) -> u16 {
        let share = (2 * self.options.max_batch).div_ceil(self.options.queues.len().max(1));
        u16::try_from(share).unwrap_or(u16::MAX).max(1)
    }

    fn tag(&self, at: usize) -> ShortString {
        clipped(&format!("{}-{at}", self.options.name))
    }

    async fn consume(&self, channel: &Channel, intake: &mut Intake) -> SessionEnd {
        let ConsumerOptions { max_batch, linger, .. } = *self.options;
        loop {
            let batch = match intake.batch(max_batch.max(1), linger, self.stop).await {
                Ok(Some(batch)) => Pending::new(batch),
                Ok(None) => return SessionEnd::Stopped,
                Err(ended) => return ended,
            };
            if let Err(ended) = self.process(batch, channel, intake).await {
                return ended;
            }
        }
    }

    /// Closing gives everything unsettled back to the broker, in its order. There is no
    /// `basic.cancel` before: a quorum queue puts what a cancelled consumer held *behind* the rest
    /// (3.10.8). The consumers are dropped after the channel, or each would cancel itself.
    async fn leave(channel: &Channel, intake: Intake) {
        timeout(FAREWELL, channel.close(200, "OK".into())).await.ok();
        drop(intake);
    }
}
