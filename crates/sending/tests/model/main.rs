//! A model of how a campaign's messages reach Meta (ADR-0004, ADR-0014), explored completely for
//! small sizes.
//!
//! It is checked as it is built, where every property holds, and in variants with one rule left out,
//! where the checker must find what that rule is for.

#![expect(clippy::indexing_slicing, reason = "a model's arrays have one entry for each thing")]

mod campaign;
#[path = "../../../coordination/tests/model/explore.rs"]
mod explore;
mod proofs;
mod rules;
mod steps;
