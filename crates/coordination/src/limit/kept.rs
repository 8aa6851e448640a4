//! Asks where the limits are kept: on Redis, or in PostgreSQL where there is no Redis.
//!
//! In PostgreSQL a lane has its ceiling and nothing else: no turns between lanes, no slots of the
//! future, and nothing is learnt from Meta's throttling.

use std::time::Duration;

use thiserror::Error;
use uuid::Uuid;

use super::shape::{Ahead, Shape};
use super::{Answer, Charge, Extent, Keeper, Limit, Permit, Shared, script};
use crate::postgres::PostgresAway;
use crate::postgres::limits::{Ask, Asked};
use crate::redis::link::RedisAway;

/// The limits could not be asked.
#[derive(Debug, Error)]
pub(super) enum LimitsAway {
    #[error(transparent)]
    Redis(#[from] RedisAway),
    #[error(transparent)]
    Postgres(#[from] PostgresAway),
}

pub(super) async fn admit(
    shared: &Shared,
    limits: &[Limit],
    unit: Uuid,
    units: u32,
    extent: Extent,
) -> Result<Answer, LimitsAway> {
    let Some(postgres) = &shared.postgres else {
        return Ok(script::admit(shared, limits, unit, units, extent).await?);
    };
    let asks: Vec<Ask> = limits.iter().map(|limit| ask(shared, limit)).collect();
    let need = if extent == Extent::All { units } else { units.min(1) };
    Ok(match postgres.admit(&asks, unit, units, need).await? {
        Asked::Granted { units, paid } => {
            let charged = limits.iter().zip(paid).map(|(limit, (before, after))| Charge {
                limit: limit.clone(),
                before: u64::try_from(before).unwrap_or(0),
                after: u64::try_from(after).unwrap_or(0),
            });
            let (charges, keeper) = (charged.collect(), Keeper::Postgres);
            Answer::Granted(units, Permit { charges, unit, first: 1, last: units, keeper })
        }
        Asked::Denied { after, binding } => {
            let ms = u64::try_from(after.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX);
            Answer::Denied { after: Duration::from_millis(ms), binding }
        }
    })
}

/// Takes an admission back where it was charged.
pub(super) async fn refund(shared: &Shared, permit: &Permit) -> Result<(), LimitsAway> {
    let (Keeper::Postgres, Some(postgres)) = (permit.keeper, &shared.postgres) else {
        script::refund(shared, permit).await?;
        return Ok(());
    };
    let number = |us: u64| i64::try_from(us).unwrap_or(i64::MAX);
    let charges: Vec<(Ask, (i64, i64))> = permit
        .charges
        .iter()
        .map(|charge| {
            let paid = (number(charge.before), number(charge.after));
            (ask(shared, &charge.limit), paid)
        })
        .collect();
    Ok(postgres.refund(permit.unit, &charges).await?)
}

fn ask(shared: &Shared, limit: &Limit) -> Ask {
    let shape = Shape::of(limit, Ahead::Now);
    Ask {
        key: script::key(shared, limit),
        ceiling: shape.burst(),
        window: shape.window,
        interval: shape.interval,
    }
}
