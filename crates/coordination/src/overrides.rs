//! What operators changed while the processes run; read at every decision, without a lock.

pub(crate) mod load;
mod rows;

use std::collections::HashMap;

use arc_swap::ArcSwap;

pub use self::rows::{Change, InForce, Override};

use crate::registry::{LimitName, LockClass, Policy};

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

impl Mode {
    /// As it is spelled in settings and in the database.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }

    /// Reads what [`Self::label`] spells.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Off, Self::Observe, Self::Enforce].into_iter().find(|mode| mode.label() == text)
    }
}

/// Modes that differ from the registry's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overriding {
    /// By lock class.
    pub lock_modes: HashMap<LockClass, Mode>,
    /// By limit policy.
    pub limit_modes: HashMap<Policy, Mode>,
    /// Units in a window, by limit policy.
    pub limit_most: HashMap<Policy, u32>,
    /// Units in a window, for single limits: stronger than the above.
    pub limit_most_of: HashMap<LimitName, u32>,
}

impl Overriding {
    /// How many limits and policies are changed.
    pub(crate) fn limits(&self) -> usize {
        self.limit_modes.len() + self.limit_most.len() + self.limit_most_of.len()
    }
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

    /// How many units `policy` admits by default in its window, when that was changed.
    pub fn limit_most(&self, policy: Policy) -> Option<u32> {
        self.0.load().limit_most.get(&policy).copied()
    }

    /// How many units this one limit admits in its window, when that was changed.
    pub fn limit_most_of(&self, name: &LimitName) -> Option<u32> {
        self.0.load().limit_most_of.get(name).copied()
    }
}
