//! Imports and exports, worked off by processes that can be killed.

mod access;
mod exports;
mod imports;
mod kills;
mod races;
mod refusals;
mod world;
