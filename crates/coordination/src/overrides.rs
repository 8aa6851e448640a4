//! What operators changed while the processes run; read at every decision, without a lock.

use std::collections::HashMap;

use arc_swap::ArcSwap;

use crate::registry::{LockClass, Policy};

/// Whether a lock or limit binds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Nothing is asked; the work runs.
    Off,
    /// Asked without waiting, counted and logged; the work runs anyway.
    Observe,
    /// It binds.
    #[default]
    Enforce,
}

/// Modes that differ from the registry's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overriding {
    /// By lock class.
    pub lock_modes: HashMap<LockClass, Mode>,
    /// By limit policy.
    pub limit_modes: HashMap<Policy, Mode>,
}

/// The overrides of a process, shared by everything that decides.
#[derive(Debug, Default)]
pub struct Overrides(ArcSwap<Overriding>);

impl Overrides {
    /// Replaces all overrides at once.
    pub fn replace(&self, overriding: Overriding) {
        self.0.store(overriding.into());
    }

    /// Whether locks of `class` bind now.
    pub fn lock_mode(&self, class: LockClass) -> Mode {
        self.0.load().lock_modes.get(&class).copied().unwrap_or_default()
    }

    /// Whether limits of `policy` bind now.
    pub fn limit_mode(&self, policy: Policy) -> Mode {
        self.0.load().limit_modes.get(&policy).copied().unwrap_or_default()
    }
}
