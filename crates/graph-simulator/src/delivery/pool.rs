//! Keeps connections to the targets open between POSTs.

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use crate::sync::lock;
use crate::wire::{Target, Wire};

/// Idle connections by host and port.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<HashMap<(String, u16), Vec<Wire>>>);

impl Pool {
    /// Sends `request` over an idle or a new connection and gives the status of its answer.
    pub(super) async fn exchange(
        &self,
        target: &Target,
        request: &[u8],
        limit: Duration,
    ) -> io::Result<u16> {
        let mut wire = match self.idle(target) {
            Some(wire) => wire,
            None => connect(target, limit).await?,
        };
        let reply = wire.exchange(request, limit).await?;
        if reply.reusable {
            let address = (target.host.clone(), target.port);
            lock(&self.0).entry(address).or_default().push(wire);
        }
        Ok(reply.status)
    }

    /// An idle connection that the target has not closed meanwhile.
    fn idle(&self, target: &Target) -> Option<Wire> {
        let mut wires = lock(&self.0);
        let idle = wires.get_mut(&(target.host.clone(), target.port))?;
        while let Some(wire) = idle.pop() {
            if wire.is_idle() {
                return Some(wire);
            }
        }
        None
    }
}

async fn connect(target: &Target, limit: Duration) -> io::Result<Wire> {
    match tokio::time::timeout(limit, Wire::connect(target)).await {
        Ok(wire) => wire,
        Err(elapsed) => Err(io::Error::new(io::ErrorKind::TimedOut, elapsed)),
    }
}
