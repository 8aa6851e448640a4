//! `/v1/campaigns` as its callers see it; nobody sends, so that a campaign stays as a test put it.

mod access;
mod drafts;
mod files;
mod frozen;
mod lists;
mod numbers;
mod starting;
mod stopping;
mod tests_sent;
mod world;
