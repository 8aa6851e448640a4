use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::TimeDelta;
use kernel::{ManualClock, SystemClock};
use secrecy::ExposeSecret;

use super::*;

/// Holds one key, or fails, and counts how often it is asked.
struct Store {
    id: ApiKeyId,
    key: Mutex<anyhow::Result<StoredKey>>,
    asked: AtomicUsize,
}

impl KeyStore for Store {
    fn find(&self, id: ApiKeyId) -> BoxFuture<'_, anyhow::Result<Option<StoredKey>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = match &*self.key.lock().unwrap() {
            Ok(key) => Ok((id == self.id).then_some(*key)),
            Err(error) => Err(anyhow::anyhow!("{error}")),
        };
        Box::pin(async { answer })
    }
}

struct Bench {
    minted: MintedKey,
    store: Arc<Store>,
    clock: Arc<ManualClock>,
    auth: Auth,
}

impl Bench {
    fn new(cached_for: Duration) -> Self {
        let minted = mint();
        let key = StoredKey {
            workspace: WorkspaceId::new(),
            role: Role::Agent,
            secret_sha256: minted.secret_sha256,
            expires_at: None,
            revoked_at: None,
        };
        let id = minted.id;
        let store = Arc::new(Store { id, key: Mutex::new(Ok(key)), asked: AtomicUsize::default() });
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let kept: Arc<dyn KeyStore> = Arc::<Store>::clone(&store);
        let auth = Auth { cached_for, ..Auth::new(kept, Arc::<ManualClock>::clone(&clock)) };
        Self { minted, store, clock, auth }
    }

    fn change(&self, change: impl FnOnce(&mut StoredKey)) {
        change(self.store.key.lock().unwrap().as_mut().unwrap());
    }

    async fn present(&self, text: &str) -> Result<Caller, Code> {
        let value = HeaderValue::from_str(&format!("Bearer {text}")).unwrap();
        self.auth.check(Some(&value)).await.map_err(|problem| problem.code())
    }

    async fn present_own(&self) -> Result<Caller, Code> {
        self.present(self.minted.text.expose_secret()).await
    }

    fn asked(&self) -> usize {
        self.store.asked.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_key_is_looked_up_once_and_remembered_for_a_while() {
    let bench = Bench::new(CACHED);
    let caller = bench.present_own().await.unwrap();
    assert_eq!((caller.key, caller.role, caller.is_live), (bench.minted.id, Role::Agent, true));
    bench.present_own().await.unwrap();
    assert_eq!(bench.asked(), 1);
}

#[tokio::test]
async fn a_right_id_with_a_wrong_secret_is_refused_and_so_is_an_unknown_id() {
    let bench = Bench::new(CACHED);
    let own = bench.minted.text.expose_secret();
    assert_eq!(bench.present(&format!("{own}x")).await.unwrap_err(), Code::KeyInvalid);
    let other = mint();
    assert_eq!(bench.present(other.text.expose_secret()).await.unwrap_err(), Code::KeyInvalid);
    assert_eq!(bench.auth.check(None).await.unwrap_err().code(), Code::KeyInvalid);
}

#[tokio::test]
async fn a_revoked_key_is_refused_as_soon_as_the_memory_of_it_is_old() {
    let bench = Bench::new(Duration::ZERO);
    bench.present_own().await.unwrap();
    bench.change(|key| key.revoked_at = Some(SystemClock.now()));
    assert_eq!(bench.present_own().await.unwrap_err(), Code::KeyInvalid);
    assert_eq!(bench.asked(), 2);
}

#[tokio::test]
async fn a_key_ends_at_its_time_even_when_it_is_remembered() {
    let bench = Bench::new(CACHED);
    let end = bench.clock.now() + TimeDelta::seconds(1);
    bench.change(|key| key.expires_at = Some(end));
    bench.present_own().await.unwrap();
    bench.clock.advance(TimeDelta::seconds(1));
    assert_eq!(bench.present_own().await.unwrap_err(), Code::KeyExpired);
}

#[tokio::test]
async fn a_store_that_is_away_refuses_for_now_and_is_asked_again() {
    let bench = Bench::new(CACHED);
    *bench.store.key.lock().unwrap() = Err(anyhow::anyhow!("away"));
    assert_eq!(bench.present_own().await.unwrap_err(), Code::DependencyUnavailable);
    assert_eq!(bench.present_own().await.unwrap_err(), Code::DependencyUnavailable);
    assert_eq!(bench.asked(), 2);
}

#[tokio::test]
async fn strangers_with_invented_ids_do_not_fill_the_memory() {
    let bench = Bench::new(CACHED);
    for _ in 0..3 * CACHE_SIZE {
        let invented = format!("swk_live_{}_x", ApiKeyId::new().as_uuid().simple());
        assert!(bench.present(&invented).await.is_err());
    }
    assert!(bench.auth.cache.lock().unwrap().len() <= CACHE_SIZE);
}
