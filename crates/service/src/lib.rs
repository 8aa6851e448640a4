//! What every service needs around its own work: start-up and shutdown ([`Life`], [`run`]),
//! listeners ([`serve`]), answers to failures ([`Problem`]), keys ([`Auth`], [`Caller`]), health.
//!
//! Invariants: a process that lost a vital part stops; every HTTP answer has a `Request-Id`; every
//! error body is `application/problem+json` and never tells a cause.

pub mod auth;
pub mod http;
pub mod idempotency;
mod life;
mod observe;
pub mod problem;
pub mod values;

pub use self::auth::{Auth, Caller, KeyStore, Role, Scope, StoredKey};
pub use self::http::etag::{IfMatch, etag};
pub use self::http::health::{Health, Need};
pub use self::http::json::{Json, MaybeJson};
pub use self::http::page::{Cursor, Limit, Page};
pub use self::http::query::Query;
pub use self::http::request_id::RequestId;
pub use self::http::version;
pub use self::http::{Listener, app, serve};
pub use self::idempotency::{Answer, Key, Keyed, RolledBack};
pub use self::life::{Life, run};
pub use self::observe::observe;
pub use self::problem::{Code, Problem};
