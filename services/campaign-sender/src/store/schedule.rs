//! Wall clocks as moments: `PostgreSQL` knows the time zones.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::sql_types::{Bool, Text, Timestamp, Timestamptz};
use diesel_async::RunQueryDsl;
use kernel::statement;
use storage::AsyncPgConnection;

use super::ChangeError;

/// The zone where a day begins first: a campaign that goes by each recipient's clock begins there.
const EARLIEST_ZONE: &str = "Etc/GMT-14";

statement! {
    Moment(at: NaiveDateTime, zone: String) -> Timestamptz {
        "SELECT " [at: Timestamp] " AT TIME ZONE " [zone: Text]
    }
}

statement! {
    Known(zone: String) -> Bool {
        "SELECT EXISTS (SELECT 1 FROM pg_timezone_names WHERE name = " [zone: Text] ")"
    }
}

/// The moment at which a clock in `zone` shows `at`.
pub(crate) async fn moment(
    tx: &mut AsyncPgConnection,
    at: NaiveDateTime,
    zone: &str,
) -> Result<DateTime<Utc>, ChangeError> {
    require_zone(tx, zone).await?;
    Ok(Moment { at, zone: zone.to_owned() }.get_result(tx).await?)
}

/// The first moment at which a clock anywhere shows `at`.
pub(crate) async fn earliest(
    tx: &mut AsyncPgConnection,
    at: NaiveDateTime,
) -> Result<DateTime<Utc>, ChangeError> {
    Ok(Moment { at, zone: EARLIEST_ZONE.to_owned() }.get_result(tx).await?)
}

/// Refuses a name that is no time zone; also abbreviations (`CEST`) and offsets (`+02`), which
/// `PostgreSQL` would take: they know no summer time.
async fn require_zone(tx: &mut AsyncPgConnection, zone: &str) -> Result<(), ChangeError> {
    let is_known: bool = Known { zone: zone.to_owned() }.get_result(tx).await?;
    if is_known { Ok(()) } else { Err(ChangeError::UnknownZone) }
}
