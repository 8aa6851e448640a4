//! Cuts a stream of bytes into lines of bounded length.

/// Bytes of a line at most: a number, a name and some fifty values.
pub(crate) const LONGEST: usize = 16 * 1024;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Counted from 1.
    pub(crate) number: i32,
    /// Without its end; `None` when it was longer than [`LONGEST`].
    pub(crate) bytes: Option<Vec<u8>>,
}

/// Holds the line that has begun, and no more.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    number: i32,
    pub(super) begun: Vec<u8>,
    is_too_long: bool,
}

impl Lines {
    /// Takes bytes as they come; answers with the lines that end in them.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Vec<Line> {
        let mut ended = Vec::new();
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            match part.strip_suffix(b"\n") {
                Some(rest) => {
                    self.extend(rest);
                    ended.push(self.end());
                }
                None => self.extend(part),
            }
        }
        ended
    }

    /// The last line, which no line end follows.
    pub(crate) fn finish(mut self) -> Option<Line> {
        (self.is_too_long || !self.begun.is_empty()).then(|| self.end())
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.is_too_long || self.begun.len() + bytes.len() > LONGEST {
            self.is_too_long = true;
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(bytes);
        }
    }

    fn end(&mut self) -> Line {
        self.number = self.number.saturating_add(1);
        let bytes = std::mem::take(&mut self.begun);
        let is_too_long = std::mem::take(&mut self.is_too_long);
        Line { number: self.number, bytes: (!is_too_long).then_some(bytes) }
    }
}
