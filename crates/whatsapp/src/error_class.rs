//! What to do about an error code of Meta's.
//!
//! Codes decide, not HTTP statuses and not texts: Meta documents that both change. One table serves
//! answers to a send and `failed` webhooks alike.

mod table;

use std::fmt::Write as _;

use self::table::{Row, TABLE};

/// What an error calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorClass {
    /// Refused before it was processed, for a passing reason: repeat after a pause.
    Retry,
    /// Refused before it was processed: repeat, and send less on this connection.
    SlowConnection,
    /// Refused before it was processed: repeat, and send less to this person.
    SlowPair,
    /// Nothing will go out until somebody acts: stop the connection or campaign and tell an operator.
    PauseConnection,
    /// This person can not be reached with this; others can.
    Recipient,
    /// This template in this language can not be sent.
    Template,
    /// Our request is wrong; repeating it changes nothing.
    Request,
    /// The token or permission is gone: stop the connection until somebody renews it.
    Auth,
    /// It may have been sent: never repeat blindly.
    Ambiguous,
}

impl ErrorClass {
    /// The class as labels and tables show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::SlowConnection => "slow_connection",
            Self::SlowPair => "slow_pair",
            Self::PauseConnection => "pause_connection",
            Self::Recipient => "recipient",
            Self::Template => "template",
            Self::Request => "request",
            Self::Auth => "auth",
            Self::Ambiguous => "ambiguous",
        }
    }

    /// Whether the same message may be sent again later without anybody's help.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Retry | Self::SlowConnection | Self::SlowPair)
    }
}

/// What an error code means and calls for.
///
/// `http_status` only judges codes that are in no document; `None` for errors that come by webhook.
/// An unknown code is our mistake ([`ErrorClass::Request`]), unless Meta's server says that it is its
/// own (5xx), which leaves open whether the message went out.
pub fn classify(code: i32, subcode: Option<i32>, http_status: Option<u16>) -> ErrorClass {
    match find(code, subcode) {
        Some(row) => row.class,
        None if http_status.is_some_and(|status| status >= 500) => ErrorClass::Ambiguous,
        None => ErrorClass::Request,
    }
}

/// Advice for an operator who sees this code; empty for a code that is in no document.
pub fn advice(code: i32, subcode: Option<i32>) -> &'static str {
    find(code, subcode).map_or("", |row| row.advice)
}

/// The whole table as a page for operators.
pub fn table_markdown() -> String {
    let mut page = String::from("| code | class | meaning | what to do |\n|---|---|---|---|\n");
    for row in TABLE {
        let last = if row.first == row.last { String::new() } else { format!("–{}", row.last) };
        let subcode = row.subcode.map_or(String::new(), |subcode| format!(" / {subcode}"));
        // Writing into a string can not fail.
        writeln!(
            page,
            "| {}{last}{subcode} | {} | {} | {} |",
            row.first,
            row.class.as_str(),
            row.meaning,
            row.advice
        )
        .ok();
    }
    page
}

/// The narrowest row that covers the code; a row for the very subcode comes first.
fn find(code: i32, subcode: Option<i32>) -> Option<&'static Row> {
    TABLE
        .iter()
        .filter(|row| (row.first..=row.last).contains(&code))
        .filter(|row| row.subcode.is_none() || row.subcode == subcode)
        .min_by_key(|row| (row.subcode.is_none(), row.last - row.first))
}
