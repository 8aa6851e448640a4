//! Tells a passing failure from a lasting one, and shows a failure with its causes.

use std::error::Error;
use std::fmt;

/// An error that knows whether the same call may succeed later.
pub trait Retryable: Error {
    /// `true` for a passing failure: a timeout, a lost connection, a rate limit.
    fn is_transient(&self) -> bool;
}

/// Shows `error` and all its sources on one line: `outer: middle: root`.
///
/// Our `Display` impls never repeat their source, so this is the one way to log an error.
pub fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl fmt::Display + 'e {
    Chain(error)
}

struct Chain<'e>(&'e (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(source) = next {
            write!(f, ": {source}")?;
            next = source.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bad port")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn chain_shows_every_source_once() {
        let error = Outer("x".parse::<u16>().unwrap_err());
        assert_eq!(chain(&error).to_string(), "bad port: invalid digit found in string");
    }
}
