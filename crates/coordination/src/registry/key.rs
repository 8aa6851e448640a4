//! Spelling of physical keys: `{namespace}:{kind}:{prefix}:{<first id>}[:<second id>]`.
//!
//! The first id is the hash tag, so that everything about one thing lives in one cluster slot.

use std::borrow::Cow;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::LockClass;

use crate::lock::store::ProcessId;

/// What a key holds; the letter keeps the kinds apart.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// A rate limit's exact log of admissions.
    Log,
    /// A rate limit's pace: the time at which its debt is paid.
    Pace,
    /// What a limit has learnt: its lanes' turns, and what Meta's answers changed.
    Lanes,
    /// The processes that ask limits.
    Processes,
}

/// Puts a key together; `template` is the registry's spelling, e.g. `bot_rate_limit:{…}`.
pub(crate) fn physical(
    namespace: &str,
    kind: Kind,
    template: &str,
    ids: &[Cow<'_, str>],
) -> String {
    let kind = match kind {
        Kind::Log => 'r',
        Kind::Pace => 'g',
        Kind::Lanes => 'a',
        Kind::Processes => 'p',
    };
    let prefix = template.split_once(":{").map_or(template, |(prefix, _)| prefix);
    let mut key = format!("{namespace}:{kind}:{prefix}");
    push_ids(&mut key, ids);
    key
}

/// A lock's logical name with its ids, the first of them in braces: it tells the cluster slot. Cheap to
/// clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LockKey(Arc<str>);

impl LockKey {
    /// `template` is the registry's spelling; ids hold neither spaces nor braces.
    pub(crate) fn new(template: &str, ids: &[Cow<'_, str>]) -> Self {
        let prefix = template.split_once(":{").map_or(template, |(prefix, _)| prefix);
        let mut tagged = prefix.to_owned();
        push_ids(&mut tagged, ids);
        Self(tagged.into())
    }

    /// Reads what [`Self::tagged`] wrote.
    pub(crate) fn from_tagged(tagged: &str) -> Self {
        Self(tagged.into())
    }

    /// Reads what [`Self::plain`] wrote for a lock of `template`.
    pub(crate) fn from_plain(template: &str, plain: &str) -> Option<Self> {
        let (prefix, ids) = template.split_once(":{")?;
        let found = plain.strip_prefix(prefix)?.strip_prefix(':')?;
        // Only the first of two ids can be told by its end: it is an identifier of ours.
        let (first, rest) = match found.find(':').filter(|_| ids.contains('{')) {
            Some(end) => found.split_at_checked(end)?,
            None => (found, ""),
        };
        (!first.is_empty()).then(|| Self(format!("{prefix}:{{{first}}}{rest}").into()))
    }

    /// The class whose lock it is.
    pub(crate) fn class(&self) -> Option<LockClass> {
        let prefix = self.0.split_once(":{").map_or(&*self.0, |(prefix, _)| prefix);
        let is_of = |class: &LockClass| {
            class.spec().key.split_once(":{").is_some_and(|(key, _)| key == prefix)
        };
        LockClass::ALL.into_iter().find(is_of)
    }

    /// With the first id in braces, e.g. `whatsapp_send:{cnx_…}:15551234567`.
    pub(crate) fn tagged(&self) -> &str {
        &self.0
    }

    /// As people, Laravel and the table in PostgreSQL spell it.
    pub(crate) fn plain(&self) -> String {
        self.0.replace(['{', '}'], "")
    }

    fn tag(&self) -> &str {
        self.0.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(tag, _)| tag)
    }
}

/// How locks are spelled on this Redis.
#[derive(Clone, Debug)]
pub(crate) struct Spelling {
    namespace: String,
    /// Set while a Laravel application shares the locks: its connection's and its cache's prefix.
    laravel_prefix: Option<String>,
}

impl Spelling {
    pub(crate) const fn new(namespace: String, laravel_prefix: Option<String>) -> Self {
        Self { namespace, laravel_prefix }
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) const fn is_laravel(&self) -> bool {
        self.laravel_prefix.is_some()
    }

    /// The lock itself; byte for byte what `Cache::lock(name)` uses when Laravel shares it.
    pub(crate) fn lock(&self, key: &LockKey) -> String {
        match &self.laravel_prefix {
            Some(prefix) => format!("{prefix}{}", key.plain()),
            None => self.beside('l', key),
        }
    }

    /// The list of its waiters.
    pub(crate) fn queue(&self, key: &LockKey) -> String {
        self.beside('q', key)
    }

    /// Its last fence.
    pub(crate) fn fence(&self, key: &LockKey) -> String {
        self.beside('f', key)
    }

    /// A pattern that finds the locks of `template`, for `SCAN`.
    pub(crate) fn search(&self, template: Option<&str>) -> String {
        let prefix = template.map_or_else(String::new, |template| {
            let prefix = template.split_once(":{").map_or(template, |(prefix, _)| prefix);
            format!("{prefix}:")
        });
        let start = match &self.laravel_prefix {
            Some(laravel) => format!("{laravel}{prefix}"),
            None => format!("{}:l:{prefix}", self.namespace),
        };
        let mut pattern = String::new();
        for c in start.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('*');
        pattern
    }

    /// Reads what [`Self::lock`] wrote for a lock of `template`.
    pub(crate) fn read(&self, key: &str, template: &str) -> Option<LockKey> {
        match &self.laravel_prefix {
            Some(laravel) => LockKey::from_plain(template, key.strip_prefix(laravel.as_str())?),
            None => {
                let tagged = key.strip_prefix(&self.namespace)?.strip_prefix(":l:")?;
                Some(LockKey::from_tagged(tagged))
            }
        }
    }

    /// The channel in the lock's slot on which a process listens, on a Redis Cluster.
    pub(crate) fn shard_channel(&self, key: &LockKey, process: ProcessId) -> String {
        let tag = match &self.laravel_prefix {
            Some(_) => self.lock(key),
            None => key.tag().to_owned(),
        };
        format!("{}:w:{{{tag}}}:{}", self.namespace, process.0.simple())
    }

    /// A key in the slot of the lock: by its tag, or, since Laravel's has none, by all of it.
    fn beside(&self, kind: char, key: &LockKey) -> String {
        match &self.laravel_prefix {
            Some(_) => format!("{}:{kind}:{{{}}}", self.namespace, self.lock(key)),
            None => format!("{}:{kind}:{}", self.namespace, key.tagged()),
        }
    }
}

/// Appends `:{first}:second…`.
fn push_ids(key: &mut String, ids: &[Cow<'_, str>]) {
    for (position, id) in ids.iter().enumerate() {
        let (open, close) = if position == 0 { (":{", "}") } else { (":", "") };
        key.push_str(open);
        key.push_str(id);
        key.push_str(close);
    }
}

/// Makes text from outside safe inside a key: what could close the tag or blow up the key is
/// replaced by its hash (128 bits of SHA-256).
pub(crate) fn free_text(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"=._:+/-".contains(&byte);
    // A text that looks like a hash is hashed too: it could be taken for another one's.
    if (1..=256).contains(&text.len()) && text.bytes().all(is_plain) && !text.starts_with("h.") {
        return Cow::Borrowed(text);
    }
    let digest = Sha256::digest(text.as_bytes());
    let half: Vec<u8> = digest.iter().take(16).copied().collect();
    Cow::Owned(format!("h.{}", hex::encode(half)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_id_is_the_hash_tag() {
        let ids = [Cow::Borrowed("cnx_7"), Cow::Borrowed("15551234567")];
        let key = physical("sw", Kind::Log, "pair:{connection_id}:{phone_number}", &ids);
        assert_eq!(key, "sw:r:pair:{cnx_7}:15551234567");
        assert_eq!(
            physical("sw", Kind::Log, "reminder_rate_limit", &[]),
            "sw:r:reminder_rate_limit"
        );
    }

    #[test]
    fn text_from_outside_can_not_close_the_tag() {
        assert_eq!(free_text("wamid.HBgN+/=="), "wamid.HBgN+/==");
        for hostile in ["a}b", "{", "", "a b", "ü", "a\0", "h.0123", &"x".repeat(257)] {
            let safe = free_text(hostile);
            assert_eq!(safe.len(), 34, "{hostile}");
            assert!(safe.starts_with("h."), "{hostile}");
        }
        assert_ne!(free_text("a}b"), free_text("a}c"));
    }
}
