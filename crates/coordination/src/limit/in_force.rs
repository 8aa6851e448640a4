//! Limits as operators set them at run time.
//!
//! What was set for one limit comes first, then what the caller knows of the thing itself, then what
//! was set for the whole policy, then the default.

use std::borrow::Cow;

use super::{Limit, Limiter};

impl Limiter {
    /// `limit` as it holds now: another one only where an operator set it.
    pub fn in_force<'l>(&self, limit: &'l Limit) -> Cow<'l, Limit> {
        let overrides = &self.shared.overrides;
        let general = || overrides.limit_most(limit.policy()).filter(|_| !limit.is_own);
        match overrides.limit_most_of(&limit.name).or_else(general) {
            Some(most) => Cow::Owned(Limit { most, ..limit.clone() }),
            None => Cow::Borrowed(limit),
        }
    }

    pub(super) fn all_in_force<'l>(&self, limits: &'l [Limit]) -> Cow<'l, [Limit]> {
        let changed = |limit| matches!(self.in_force(limit), Cow::Owned(_));
        if limits.iter().any(changed) {
            return limits.iter().map(|limit| self.in_force(limit).into_owned()).collect();
        }
        Cow::Borrowed(limits)
    }

    pub(super) fn own_in_force<'l>(&self, own: &'l [Option<Limit>]) -> Cow<'l, [Option<Limit>]> {
        let changed = |limit| matches!(self.in_force(limit), Cow::Owned(_));
        if own.iter().flatten().any(changed) {
            let set = |limit: &Limit| self.in_force(limit).into_owned();
            return own.iter().map(|own| own.as_ref().map(set)).collect();
        }
        Cow::Borrowed(own)
    }
}
