//! Who calls: `Authorization: Bearer swk_live_<key id>_<secret>`.
//!
//! Invariants: only a hash of the secret is known, and it is compared in constant time; a revoked
//! key works for at most [`CACHED`] longer.

mod key;
mod scope;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use actix_web::{FromRequest, HttpRequest, web};
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, LocalBoxFuture};
use kernel::Clock;
use kernel::ids::{ApiKeyId, WorkspaceId};
use tokio::time::Instant;

use self::key::PresentedKey;
pub use self::key::{MintedKey, mint};
pub use self::scope::{Role, Scope, UnknownRole};
use crate::{Code, Problem};

/// How long a key found in the store is not asked for again.
pub const CACHED: Duration = Duration::from_secs(5);
/// Keys remembered at once; strangers who invent ids must not fill the memory.
const CACHE_SIZE: usize = 1024;

/// A key as stored.
#[derive(Clone, Copy, Debug)]
pub struct StoredKey {
    /// The tenant it belongs to.
    pub workspace: WorkspaceId,
    /// What it may do.
    pub role: Role,
    /// SHA-256 of the secret part.
    pub secret_sha256: [u8; 32],
    /// After this it is refused.
    pub expires_at: Option<DateTime<Utc>>,
    /// Since then it is refused.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Where keys are kept.
pub trait KeyStore: Send + Sync + 'static {
    /// Finds a key by its public part.
    ///
    /// # Errors
    ///
    /// When the store does not answer; the request is then refused with 503.
    fn find(&self, id: ApiKeyId) -> BoxFuture<'_, anyhow::Result<Option<StoredKey>>>;
}

/// Checks keys; one per process, handed to listeners as `web::Data::from(Arc<Auth>)`.
pub struct Auth {
    store: Arc<dyn KeyStore>,
    clock: Arc<dyn Clock>,
    cache: Mutex<HashMap<ApiKeyId, Cached>>,
    cached_for: Duration,
}

#[derive(Clone, Copy)]
struct Cached {
    found: Option<StoredKey>,
    at: Instant,
}

/// Who makes the request. As a handler's argument it demands a valid key.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The tenant; every query takes it.
    pub workspace: WorkspaceId,
    /// The key used.
    pub key: ApiKeyId,
    /// The key's role.
    pub role: Role,
    /// `false` for a test key, which can never reach Meta.
    pub is_live: bool,
}

impl Caller {
    /// Lets only keys pass whose role has `scope`.
    ///
    /// # Errors
    ///
    /// 403 `scope_missing`, naming the scope.
    pub fn require(&self, scope: Scope) -> Result<(), Problem> {
        if scope.is_granted_to(self.role) {
            return Ok(());
        }
        let detail = format!("This needs the scope {scope}, which the role {} lacks.", self.role);
        Err(Problem::new(Code::ScopeMissing, detail).with("scope", scope.as_str()))
    }
}

impl Auth {
    /// Checks keys against `store`.
    pub fn new(store: Arc<dyn KeyStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, cache: Mutex::default(), cached_for: CACHED }
    }

    /// Finds out who presents `authorization`.
    ///
    /// # Errors
    ///
    /// 401 when the key is missing, malformed, unknown, wrong, revoked or expired; 503 when the
    /// store does not answer.
    pub async fn check(&self, authorization: Option<&HeaderValue>) -> Result<Caller, Problem> {
        let presented = authorization
            .and_then(|value| value.to_str().ok())
            .and_then(PresentedKey::parse)
            .ok_or_else(|| refused("Send a key: Authorization: Bearer swk_live_…"))?;
        let stored = self.find(presented.id).await?.filter(|key| presented.matches(key));
        let Some(key) = stored.filter(|key| key.revoked_at.is_none()) else {
            return Err(refused("The key is unknown, wrong or revoked."));
        };
        if key.expires_at.is_some_and(|end| end <= self.clock.now()) {
            let expired = Problem::new(Code::KeyExpired, "The key's time is over. Rotate it.");
            return Err(challenge(expired));
        }
        Ok(Caller {
            workspace: key.workspace,
            key: presented.id,
            role: key.role,
            is_live: presented.is_live,
        })
    }

    async fn find(&self, id: ApiKeyId) -> Result<Option<StoredKey>, Problem> {
        if let Some(cached) = self.cached(id) {
            return Ok(cached.found);
        }
        // Read before the store is asked: an answer is as old as its question.
        let at = Instant::now();
        let found = self
            .store
            .find(id)
            .await
            .map_err(|cause| Problem::unavailable("the store of API keys", cause))?;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHE_SIZE {
            cache.clear();
        }
        cache.insert(id, Cached { found, at });
        Ok(found)
    }

    fn cached(&self, id: ApiKeyId) -> Option<Cached> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.get(&id).filter(|cached| cached.at.elapsed() < self.cached_for).copied()
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let auth = request.app_data::<web::Data<Auth>>().cloned();
        let authorization = request.headers().get(AUTHORIZATION).cloned();
        async move {
            let auth = auth.ok_or_else(|| {
                Problem::internal(anyhow::anyhow!("this listener was given no Auth"))
            })?;
            auth.check(authorization.as_ref()).await
        }
        .boxed_local()
    }
}

fn refused(detail: &'static str) -> Problem {
    challenge(Problem::new(Code::KeyInvalid, detail))
}

fn challenge(problem: Problem) -> Problem {
    problem.with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

#[cfg(test)]
mod tests;
