//! Log messages whose wording is a promise: operators and their alerts look for them (F15).

/// What was delivered again has already taken effect.
pub const ALREADY_PROCESSED: &str = "Duplicate message detected: already processed";

/// What was delivered again is taking effect right now, somewhere else.
pub const CURRENTLY_PROCESSED: &str = "Duplicate message detected: currently being processed";
