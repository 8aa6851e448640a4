//! Cuts text into lines of bounded length, whatever ends them: LF, CRLF, or CR alone.

use std::io::{self, BufRead};

use super::LONGEST;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: u64,
    /// Without its end; `None` when it was longer than [`LONGEST`].
    pub(super) bytes: Option<Vec<u8>>,
}

/// Holds the line that is being read, and no more.
pub(super) struct Lines<R> {
    input: R,
    number: u64,
    /// The last line ended with a CR: an LF that follows belongs to it.
    ended_by_cr: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { input, number: 0, ended_by_cr: false }
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        let (mut bytes, mut is_too_long, mut has_begun) = (Vec::new(), false, false);
        loop {
            let chunk = self.input.fill_buf()?;
            let Some(first) = chunk.first() else {
                return Ok((has_begun || is_too_long).then(|| self.end(bytes, is_too_long)));
            };
            if std::mem::take(&mut self.ended_by_cr) && *first == b'\n' {
                self.input.consume(1);
                continue;
            }
            let end = chunk.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (text, used) = match end {
                Some(end) => chunk.split_at(end),
                None => (chunk, [].as_slice()),
            };
            has_begun = true;
            is_too_long |= bytes.len() + text.len() > LONGEST;
            if is_too_long {
                bytes = Vec::new();
            } else {
                bytes.extend_from_slice(text);
            }
            let taken = text.len() + usize::from(end.is_some());
            self.ended_by_cr = used.first() == Some(&b'\r');
            self.input.consume(taken);
            if end.is_some() {
                return Ok(Some(self.end(bytes, is_too_long)));
            }
        }
    }

    fn end(&mut self, bytes: Vec<u8>, is_too_long: bool) -> Line {
        self.number += 1;
        Line { number: self.number, bytes: (!is_too_long).then_some(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(text: &[u8], buffer: usize) -> Vec<(u64, Option<String>)> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer, text));
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push((line.number, line.bytes.map(|bytes| String::from_utf8(bytes).unwrap())));
        }
        found
    }

    #[test]
    fn every_kind_of_line_end_ends_a_line_wherever_the_buffer_ends() {
        let expected: Vec<_> = [(1, "a"), (2, "b"), (3, ""), (4, "c"), (5, "d")]
            .map(|(number, text)| (number, Some(text.to_owned())))
            .into();
        for buffer in 1..8 {
            assert_eq!(lines(b"a\r\nb\n\nc\rd", buffer), expected, "{buffer}");
        }
    }

    #[test]
    fn a_line_without_end_costs_no_memory_and_not_its_neighbours() {
        let long = [b"a\n".as_slice(), &vec![b'x'; LONGEST * 3], b"\nb"].concat();
        let expected = vec![(1, Some("a".into())), (2, None), (3, Some("b".into()))];
        assert_eq!(lines(&long, 1024), expected);
    }
}
