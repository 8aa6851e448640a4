//! The sections, each key with its default and meaning. The docs are made from this file.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use serde::Deserialize;
use url::Url;

use crate::field::{CoordinationBackend, Entry, Field, LogFormat, RedisMode};
use crate::{ServerUrl, SettingsError, duration};

/// The key that access tokens and app secrets are encrypted with; erased from memory when dropped.
pub type MasterKey = SecretBox<[u8; 32]>;

/// Declares one section: the struct, its defaults and its lines in the docs, so that none differs.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $name:ident, $section:literal;
        $(
            $(#[doc = $doc:literal])+
            $(#[serde($($serde:tt)+)])?
            $field:ident: $kind:ty = $default:expr;
        )+
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $(
                $(#[doc = $doc])+
                $(#[serde($($serde)+)])?
                pub $field: $kind,
            )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl $name {
            pub(crate) fn entries(&self) -> Vec<Entry> {
                vec![$(
                    Entry {
                        key: concat!($section, ".", stringify!($field)),
                        about: concat!($($doc),+).trim_ascii(),
                        form: <$kind as Field>::FORM,
                        value: self.$field.shown(),
                        secrecy: <$kind as Field>::SECRECY,
                    },
                )+]
            }
        }
    };
}

section! {
    /// PostgreSQL: the truth.
    Database, "database";
    /// Where PostgreSQL is, e.g. `postgres://user:password@host:5432/switchyard`.
    url: Option<ServerUrl> = None;
    /// Connections one process opens at most.
    pool_size: u32 = 8;
    /// How long work waits for a free connection before it fails and is retried.
    #[serde(deserialize_with = "duration::deserialize")]
    wait: Duration = Duration::from_secs(5);
}

section! {
    /// Redis: locks and limits. It may be emptied at any time.
    Redis, "redis";
    /// Where Redis is, e.g. `redis://:password@host:6379`; `rediss` for TLS.
    url: Option<ServerUrl> = None;
    /// Stands before every key, so that installations can share a server.
    namespace: String = "sw".to_owned();
    /// `single`, `sentinel` (then `url` is a sentinel) or `cluster` (then `url` is a node).
    mode: RedisMode = RedisMode::Single;
    /// Further sentinels or nodes, URLs separated by commas.
    others: Option<SecretString> = None;
    /// What the sentinels call the primary.
    primary: String = "mymaster".to_owned();
    /// Prefix of a Laravel application's locks during a move, e.g.
    /// `laravel_database_laravel_cache:`; locks then exclude those of its `Cache::lock`.
    laravel_prefix: Option<String> = None;
}

section! {
    /// Locks and limits, each by its name in the registry.
    Coordination, "coordination";
    /// `redis`, or `postgres` to do without Redis. To change it, stop every process and wait for as
    /// long as the longest ttl of a lock.
    backend: CoordinationBackend = CoordinationBackend::Redis;
    /// Locks that differ from the registry: `name.mode=off|observe|enforce`, `name.ttl=30s`,
    /// `name.max_hold=10m`, `name.wait=2s`, separated by commas.
    locks: String = String::new();
    /// Limits that differ from the registry: `name.mode=off|observe|enforce`, separated by commas.
    limits: String = String::new();
}

section! {
    /// RabbitMQ: work that waits.
    Amqp, "amqp";
    /// Where RabbitMQ is, e.g. `amqp://user:password@host:5672/%2f`; `amqps` for TLS. 3.10 or newer.
    url: Option<ServerUrl> = None;
    /// Stands before every queue and exchange, so that installations can share a virtual host.
    prefix: String = String::new();
    /// How long the broker may take to confirm before a publish counts as failed.
    #[serde(deserialize_with = "duration::deserialize")]
    publish_timeout: Duration = Duration::from_secs(2);
}

section! {
    /// The listeners.
    Http, "http";
    /// Where webhooks and the API are served.
    listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8080));
    /// Where health and metrics are served; without it, on the same listener as the rest.
    admin_listen: Option<SocketAddr> = None;
    /// Threads that serve requests; without it, one per core.
    workers: Option<usize> = None;
    /// The largest webhook body read, in bytes; Meta sends up to 3 MB.
    webhook_body_limit_bytes: usize = 4 * 1024 * 1024;
    /// How long a sender may take to send a webhook's body.
    #[serde(deserialize_with = "duration::deserialize")]
    webhook_read_timeout: Duration = Duration::from_secs(5);
}

section! {
    /// The Graph API and the webhooks it sends.
    Meta, "meta";
    /// Root of the Graph API; a simulator's address in tests and demos.
    base_url: Url = graph_api();
    /// Version of the Graph API that requests name.
    api_version: String = "v25.0".to_owned();
    /// Secret of the default Meta app, which signs webhooks; several, separated by commas, while it
    /// is being rotated.
    app_secret: Option<SecretString> = None;
    /// What Meta must present when it verifies the webhook address.
    verify_token: Option<SecretString> = None;
    /// How long connecting to the Graph API may take.
    #[serde(deserialize_with = "duration::deserialize")]
    connect_timeout: Duration = Duration::from_secs(3);
    /// How long one request to the Graph API may take in all.
    #[serde(deserialize_with = "duration::deserialize")]
    timeout: Duration = Duration::from_secs(15);
}

section! {
    /// Encryption at rest.
    Security, "security";
    /// Encrypts access tokens and app secrets in the database: base64 of 32 random bytes, as
    /// `openssl rand -base64 32` prints. Lost means that all of them must be entered again.
    master_key: Option<SecretString> = None;
}

section! {
    /// Default rate limits; a connection may have its own.
    Limits, "limits";
    /// Requests to the Graph API per connection and minute (R1).
    whatsapp_api_per_minute: u32 = 100;
    /// Webhook events per connection and minute before the surplus takes the slow lane (R4).
    webhook_per_minute: u32 = 100;
    /// Replies of a bot per conversation and minute (R3).
    bot_per_minute: u32 = 5;
    /// Pages of templates per connection and minute, and requests for a sync (R2).
    template_sync_per_minute: u32 = 10;
}

section! {
    /// Working off inbound events.
    Conversations, "conversations";
    /// Events in one transaction at most, or few more when the last of them came in one bundle.
    max_batch: usize = 500;
    /// How long a batch that is not full waits for more events.
    #[serde(deserialize_with = "duration::deserialize")]
    linger: Duration = Duration::from_millis(5);
    /// Batches worked on at once.
    workers: usize = 2;
}

section! {
    /// Handing messages to Meta.
    Sending, "sending";
    /// How long after its claim an attempt may still begin its request; the write fence enforces it.
    #[serde(deserialize_with = "duration::deserialize")]
    attempt_deadline: Duration = Duration::from_secs(10);
    /// Messages claimed at once at most.
    claim_batch: usize = 256;
    /// Requests to Meta in flight at once at most; an eighth of them is kept from campaigns.
    in_flight: usize = 512;
    /// How often the ledger is looked through for work whose hint was lost.
    #[serde(deserialize_with = "duration::deserialize")]
    poll: Duration = Duration::from_millis(500);
    /// Spare time after the last moment a request can be under way, before its outcome is doubted.
    #[serde(deserialize_with = "duration::deserialize")]
    doubt_margin: Duration = Duration::from_secs(5);
    /// On a quiet connection, how long no status may come before silence counts as an answer.
    #[serde(deserialize_with = "duration::deserialize")]
    quiet_window: Duration = Duration::from_mins(15);
    /// On a busy connection, how many later sends must have shown a status before silence counts.
    min_probes: u32 = 20;
}

section! {
    /// Answering by rules.
    Chatbot, "chatbot";
    /// Messages in one transaction at most.
    max_batch: usize = 100;
}

section! {
    /// Fetching templates from Meta.
    Templates, "templates";
    /// How often the templates of a connection are fetched, give or take a tenth; `0s`: only when
    /// somebody asks or Meta tells of a change. A connection may have its own interval.
    #[serde(deserialize_with = "duration::deserialize")]
    sync_every: Duration = Duration::from_hours(6);
}

section! {
    /// Files of imports and exports of contacts: in a folder, or in a bucket of S3.
    Files, "files";
    /// Folder that every process of `contacts` sees; with several machines, set `bucket`.
    folder: String = "switchyard-files".to_owned();
    /// Bucket of S3 or of a store that speaks like it; then nothing is kept in `folder`.
    bucket: Option<String> = None;
    /// Where the store is, unless it is Amazon's.
    endpoint: Option<Url> = None;
    /// Region of the bucket.
    region: String = "us-east-1".to_owned();
    /// Access key of the store.
    access_key_id: Option<SecretString> = None;
    /// Its secret.
    secret_access_key: Option<SecretString> = None;
    /// Bytes of an import's file at most.
    most_import_bytes: u64 = 1024 * 1024 * 1024;
    /// How long the file of an export can be fetched.
    #[serde(deserialize_with = "duration::deserialize")]
    keep_exports: Duration = Duration::from_hours(7 * 24);
}

section! {
    /// Logs and traces.
    Telemetry, "telemetry";
    /// How log lines look; `auto` is `pretty` on a terminal, else `json`.
    log_format: LogFormat = LogFormat::Auto;
    /// What is logged: a level, or `tracing` directives such as `info,messaging=debug`.
    log: String = "info".to_owned();
    /// OTLP/HTTP collector that traces are sent to, e.g. `http://collector:4318`; none, no export.
    otlp_endpoint: Option<Url> = None;
}

macro_rules! required_url {
    ($($section:ident: $key:literal;)*) => {
        $(
            impl $section {
                /// The server's URL.
                ///
                /// # Errors
                ///
                /// [`SettingsError::Missing`] when none is set.
                pub fn url(&self) -> Result<&ServerUrl, SettingsError> {
                    self.url.as_ref().ok_or(SettingsError::Missing { key: $key })
                }
            }
        )*
    };
}

required_url! {
    Database: "database.url";
    Redis: "redis.url";
    Amqp: "amqp.url";
}

impl Redis {
    /// All sentinels or nodes: `url` and the others.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Missing`] when no URL is set.
    pub fn urls(&self) -> Result<Vec<String>, SettingsError> {
        let mut urls = vec![self.url()?.expose().to_owned()];
        let others = self.others.as_ref().map_or("", |others| others.expose_secret());
        let others = others.split(',').map(str::trim).filter(|url| !url.is_empty());
        urls.extend(others.map(str::to_owned));
        Ok(urls)
    }
}

impl Meta {
    /// The default app's secrets: one, or several during a rotation; empty when none is set.
    pub fn app_secrets(&self) -> Vec<SecretString> {
        let Some(secrets) = &self.app_secret else { return Vec::new() };
        secrets
            .expose_secret()
            .split(',')
            .map(str::trim)
            .filter(|secret| !secret.is_empty())
            .map(SecretString::from)
            .collect()
    }
}

impl Security {
    /// The decoded key.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Missing`] when none is set, [`SettingsError::MasterKey`] when the text is
    /// not the base64 of 32 bytes.
    pub fn master_key(&self) -> Result<MasterKey, SettingsError> {
        let key = "security.master_key";
        let text = self.master_key.as_ref().ok_or(SettingsError::Missing { key })?;
        let mut bytes = Box::new([0_u8; 32]);
        match STANDARD.decode_slice(text.expose_secret().trim(), bytes.as_mut_slice()) {
            Ok(32) => Ok(SecretBox::new(bytes)),
            Ok(_) | Err(_) => Err(SettingsError::MasterKey),
        }
    }
}

#[expect(clippy::expect_used, reason = "a literal, parsed by every test of this crate")]
fn graph_api() -> Url {
    Url::parse("https://graph.facebook.com").expect("the literal is a URL")
}
