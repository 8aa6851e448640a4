//! PostgreSQL, Redis, RabbitMQ and the Graph API: whether they answer, how fast, and whether they
//! are set up as the services need them.

use std::time::{Duration, Instant};

use diesel::QueryableByName;
use diesel::sql_types::{Double, Integer, Text};
use diesel_async::RunQueryDsl;
use kernel::{Clock, SystemClock};
use messaging::Broker;
use redis::AsyncConnectionConfig;
use settings::Settings;
use storage::Database;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::{Finding, ms};
use crate::exit::{BROKER_AWAY, DATABASE_AWAY, Failure, REDIS_AWAY};
use crate::parts;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// A new installation's broker creates dozens of queues.
const DECLARING: Duration = Duration::from_secs(15);
/// Beyond this, limits and deadlines of two machines disagree visibly.
const MOST_SKEW_MS: f64 = 1_000.0;

/// PostgreSQL: version, latency, schema, clock.
pub(super) async fn postgres(settings: &Settings) -> Finding {
    const NAME: &str = "PostgreSQL";
    let looked = async {
        let db = parts::database(settings)?;
        let state = state(&db).await.map_err(|error| Failure::new(error, DATABASE_AWAY))?;
        let schema =
            parts::schema(&db).await.map_err(|error| Failure::new(error, DATABASE_AWAY))?;
        Ok::<_, Failure>((state, schema))
    };
    match timeout(PATIENCE, looked).await {
        Err(_) => Finding::fail(NAME, "no answer within 5 s", DATABASE_AWAY),
        Ok(Err(failure)) => Finding::fail(NAME, failure.to_string(), failure.fix),
        Ok(Ok((state, (applied, known)))) => {
            let detail = format!(
                "{}, {}, schema {applied}/{known}, {} of {} connections, clock skew {:.0} ms",
                state.version,
                ms(state.latency),
                state.used,
                state.most,
                state.skew_ms
            );
            if applied < known {
                Finding::fail(NAME, detail, "switchyard migrate up")
            } else if state.skew_ms.abs() > MOST_SKEW_MS {
                Finding::warn(NAME, detail, "synchronise the clocks of both machines (NTP)")
            } else {
                Finding::ok(NAME, detail)
            }
        }
    }
}

struct State {
    version: String,
    used: i32,
    most: i32,
    latency: Duration,
    skew_ms: f64,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    version: String,
    #[diesel(sql_type = Integer)]
    used: i32,
    #[diesel(sql_type = Integer)]
    most: i32,
    #[diesel(sql_type = Double)]
    now_ms: f64,
}

const STATE: &str = "SELECT split_part(current_setting('server_version'), ' ', 1) AS version, \
     (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend') AS used, \
     current_setting('max_connections')::int AS most, \
     (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now_ms";

async fn state(db: &Database) -> anyhow::Result<State> {
    let mut conn = db.connection().await?;
    let asked = Instant::now();
    let asked_at = SystemClock.now();
    let row: Row = diesel::sql_query(STATE).get_result(&mut conn).await?;
    let latency = asked.elapsed();
    // The server read its clock about half way between question and answer.
    let asked_ms = asked_at.timestamp_micros().to_string().parse::<f64>().unwrap_or(0.0) / 1_000.0;
    let skew_ms = row.now_ms - asked_ms - latency.as_secs_f64() * 500.0;
    let Row { version, used, most, .. } = row;
    Ok(State { version, used, most, latency, skew_ms })
}

/// Redis: version, latency, and whether it would throw locks away.
pub(super) async fn redis(settings: &Settings) -> Finding {
    const NAME: &str = "Redis";
    let url = match settings.redis.url() {
        Ok(url) => url,
        Err(error) => {
            let failure = Failure::from(error);
            return Finding::fail(NAME, failure.to_string(), failure.fix);
        }
    };
    match timeout(PATIENCE, redis_info(url.expose())).await {
        Err(_) => Finding::fail(NAME, "no answer within 5 s", REDIS_AWAY),
        Ok(Err(error)) => {
            let fix =
                "start Redis or correct redis.url; without it, locks and limits are per process";
            Finding::fail(NAME, kernel::chain(&error).to_string(), fix)
        }
        Ok(Ok((info, latency))) => {
            let version = info_field(&info, "redis_version").unwrap_or("unknown version");
            let policy = info_field(&info, "maxmemory_policy").unwrap_or("unknown");
            let detail = format!("{version}, {}, maxmemory-policy is {policy}", ms(latency));
            match policy {
                "noeviction" | "unknown" => Finding::ok(NAME, detail),
                _ => Finding::warn(
                    NAME,
                    format!(
                        "{detail}: locks could be evicted (data stays safe, work may be doubled)"
                    ),
                    "CONFIG SET maxmemory-policy noeviction",
                ),
            }
        }
    }
}

async fn redis_info(url: &str) -> Result<(String, Duration), redis::RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let asked = Instant::now();
    redis::cmd("PING").query_async::<()>(&mut connection).await?;
    let latency = asked.elapsed();
    let info = redis::cmd("INFO").query_async(&mut connection).await?;
    Ok((info, latency))
}

fn info_field<'i>(info: &'i str, name: &str) -> Option<&'i str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// RabbitMQ: version, and whether it takes the topology.
pub(super) async fn rabbit(settings: &Settings) -> Finding {
    const NAME: &str = "RabbitMQ";
    let options = match parts::broker_options(settings, "switchyard doctor") {
        Ok(options) => options,
        Err(failure) => return Finding::fail(NAME, failure.to_string(), failure.fix),
    };
    let url = settings.amqp.url.as_ref().and_then(|url| Url::parse(url.expose()).ok());
    let version = match timeout(PATIENCE, greeting(url)).await {
        Ok(Ok(version)) => version,
        Ok(Err(error)) => {
            return Finding::fail(NAME, kernel::chain(&error).to_string(), BROKER_AWAY);
        }
        Err(_) => return Finding::fail(NAME, "no answer within 5 s", BROKER_AWAY),
    };
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let begun = Instant::now();
    let broker = Broker::start(options, tasks.clone(), stop.clone());
    let ready = broker.wait_ready(DECLARING).await;
    let took = begun.elapsed();
    drop(broker);
    stop.cancel();
    tasks.close();
    if timeout(PATIENCE, tasks.wait()).await.is_err() {
        tracing::debug!("the connections to the broker are left open");
    }
    match ready {
        Ok(()) => Finding::ok(NAME, format!("{version}, topology declared in {}", ms(took))),
        Err(_) => Finding::fail(
            NAME,
            format!("{version}, answers but takes neither the login nor the topology"),
            "see why: switchyard -v doctor; check user, virtual host, and queues of another version",
        ),
    }
}

/// The version in the broker's greeting: the one thing the AMQP library keeps for itself.
async fn greeting(url: Option<Url>) -> std::io::Result<String> {
    let (Some(url), hidden) = (url, || "version hidden by TLS".to_owned()) else {
        return Ok("unknown version".to_owned());
    };
    if url.scheme() != "amqp" {
        return Ok(hidden());
    }
    let host = url.host_str().unwrap_or("localhost").trim_matches(['[', ']']);
    let mut stream = TcpStream::connect((host, url.port().unwrap_or(5672))).await?;
    stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
    let mut greeting = vec![0; 4_096];
    let mut filled = 0;
    while version_in(greeting.get(..filled).unwrap_or_default()).is_none() {
        match stream.read(greeting.get_mut(filled..).unwrap_or_default()).await? {
            0 => break,
            read => filled += read,
        }
    }
    let version = version_in(greeting.get(..filled).unwrap_or_default());
    Ok(version.unwrap_or_else(|| "unknown version".to_owned()))
}

/// Finds the table entry `version`: name, type `S`, a length of four bytes, the text.
fn version_in(greeting: &[u8]) -> Option<String> {
    const ENTRY: &[u8] = b"\x07versionS";
    let at = greeting.windows(ENTRY.len()).position(|window| window == ENTRY)?;
    let (length, rest) = greeting.get(at + ENTRY.len()..)?.split_first_chunk::<4>()?;
    let text = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    String::from_utf8(text.to_vec()).ok()
}

/// The Graph API: whether a connection can be made.
pub(super) async fn graph(settings: &Settings) -> Finding {
    const NAME: &str = "Meta Graph API";
    let url = &settings.meta.base_url;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let fix = "let this machine reach it (DNS, firewall), or correct meta.base_url";
    let begun = Instant::now();
    let connected = timeout(PATIENCE, TcpStream::connect((host.as_str(), port))).await;
    let took = ms(begun.elapsed());
    match connected {
        Ok(Ok(_)) => {
            let version = &settings.meta.api_version;
            Finding::ok(NAME, format!("{version}, {host}:{port} connects in {took}"))
        }
        Ok(Err(error)) => Finding::fail(NAME, format!("{host}:{port}: {error}"), fix),
        Err(_) => Finding::fail(NAME, format!("{host}:{port} does not connect within 5 s"), fix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_redis_info_is_found_by_its_whole_name() {
        let info = "# Server\r\nredis_version:7.0.15\r\nmaxmemory_policy:noeviction\r\n";
        assert_eq!(info_field(info, "redis_version"), Some("7.0.15"));
        assert_eq!(info_field(info, "maxmemory_policy"), Some("noeviction"));
        assert_eq!(info_field(info, "maxmemory"), None);
    }

    #[test]
    fn the_version_is_read_only_when_it_has_arrived_in_full() {
        let greeting = b"\x01\x00\x00....\x07productS\x00\x00\x00\x08RabbitMQ\x07versionS\x00\x00\x00\x083.10.8x";
        assert_eq!(version_in(greeting), None);
        let greeting = b"....\x07versionS\x00\x00\x00\x063.10.8\xce";
        assert_eq!(version_in(greeting), Some("3.10.8".to_owned()));
        assert_eq!(version_in(b"\x07versionS\x00\x00"), None);
    }
}
