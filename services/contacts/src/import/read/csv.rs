//! Records of a CSV file: RFC 4180, and what spreadsheets make of it.
//!
//! A value in quotes may have line breaks. A quote that is not closed would take the rest of the file
//! with it, so a record ends after [`MOST_LINES`]: then its first line alone is bad, and the next ones
//! are read again.

use std::collections::VecDeque;
use std::io::BufRead;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::encoding::Text;
use super::lines::{Line, Lines};
use super::sheet::{Record, Sheet};
use super::{FileError, LONGEST, Reject, Sink, Understood};
use crate::import::options::Options;
use crate::import::person::Unfit;

/// Lines of a record at most: an address or a note has a few.
const MOST_LINES: usize = 50;
/// Values of a record at most.
const MOST_CELLS: usize = 500;
/// What may stand between values.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

pub(super) fn read<R: std::io::Read>(
    text: Text<R>,
    options: &Options,
    sink: &mut Sink<'_>,
) -> Result<(), FileError> {
    let mut records = Records::new(Lines::new(text.input), options.delimiter);
    let mut sheet = Sheet::new(options);
    while let Some(record) = records.next()? {
        let (encoding, delimiter) = (text.encoding.name(), records.delimiter.map(char::from));
        let how = |columns| Understood {
            format: "csv",
            encoding: Some(encoding),
            delimiter,
            sheet: None,
            columns,
        };
        sheet.take(record, how, sink)?;
    }
    sheet.end()
}

/// Cuts lines into records.
struct Records<R> {
    lines: Lines<R>,
    /// Lines that are to be read again.
    again: VecDeque<Line>,
    delimiter: Option<u8>,
    /// Made when the delimiter is known.
    parser: Option<Reader>,
    output: Vec<u8>,
    ends: Vec<usize>,
}

/// What became of the lines of a record so far.
enum Cut {
    Record(Vec<String>),
    Open,
    Bad(Unfit),
}

impl<R: BufRead> Records<R> {
    fn new(lines: Lines<R>, delimiter: Option<char>) -> Self {
        let delimiter = delimiter.and_then(|c| u8::try_from(c).ok());
        let (output, ends) = (vec![0; LONGEST + 1], vec![0; MOST_CELLS]);
        Self { lines, again: VecDeque::new(), delimiter, parser: None, output, ends }
    }

    fn line(&mut self) -> Result<Option<Line>, FileError> {
        match self.again.pop_front() {
            Some(line) => Ok(Some(line)),
            None => Ok(self.lines.next()?),
        }
    }

    /// The next record that is not empty.
    fn next(&mut self) -> Result<Option<Result<Record, Reject>>, FileError> {
        loop {
            let Some(Line { number, bytes }) = self.line()? else { return Ok(None) };
            let Some(bytes) = bytes else {
                return Ok(Some(Err(Reject::new(number, &Unfit::TooLong, ""))));
            };
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if number == 1 && self.is_told(&bytes) {
                continue;
            }
            self.delimiter.get_or_insert_with(|| delimiter(&bytes));
            return self.record(number, bytes).map(Some);
        }
    }

    /// Excel's own first line, `sep=;`.
    fn is_told(&mut self, line: &[u8]) -> bool {
        let told = line.strip_prefix(b"sep=").and_then(|rest| rest.first());
        self.delimiter = told.copied().or(self.delimiter);
        told.is_some()
    }

    fn record(&mut self, number: u64, first: Vec<u8>) -> Result<Result<Record, Reject>, FileError> {
        let delimiter = self.delimiter.unwrap_or(b',');
        let make = || ReaderBuilder::new().delimiter(delimiter).build();
        let mut parser = self.parser.take().unwrap_or_else(make);
        parser.reset();
        let record = self.record_by(&mut parser, number, first);
        self.parser = Some(parser);
        record
    }

    fn record_by(
        &mut self,
        parser: &mut Reader,
        number: u64,
        first: Vec<u8>,
    ) -> Result<Result<Record, Reject>, FileError> {
        let (mut written, mut ended, mut length) = (0, 0, 0);
        let mut more = Vec::new();
        let mut bytes = first.clone();
        loop {
            bytes.push(b'\n');
            length += bytes.len();
            let last = number + u64::try_from(more.len()).unwrap_or(0);
            match self.feed(parser, &bytes, &mut written, &mut ended) {
                Cut::Record(cells) => return Ok(Ok(Record { line: number, last, cells })),
                Cut::Bad(unfit) => return Ok(Err(reject(number, &unfit, &first).through(last))),
                Cut::Open => (),
            }
            let next = if more.len() + 1 < MOST_LINES { self.line()? } else { None };
            let fits = next.as_ref().and_then(|line| line.bytes.clone());
            let fits = fits.filter(|line| length + line.len() <= LONGEST);
            more.extend(next);
            let Some(line) = fits else {
                for line in more.into_iter().rev() {
                    self.again.push_front(line);
                }
                return Ok(Err(reject(number, &Unfit::Quote, &first)));
            };
            bytes = line;
        }
    }

    /// Gives a line to the parser.
    fn feed(
        &mut self,
        parser: &mut Reader,
        mut line: &[u8],
        written: &mut usize,
        ended: &mut usize,
    ) -> Cut {
        if line.contains(&0) {
            return Cut::Bad(Unfit::Nul);
        }
        loop {
            let (output, ends) = (self.output.get_mut(*written..), self.ends.get_mut(*ended..));
            let (output, ends) = (output.unwrap_or_default(), ends.unwrap_or_default());
            let (result, used, wrote, marked) = parser.read_record(line, output, ends);
            line = line.get(used..).unwrap_or_default();
            *written += wrote;
            *ended += marked;
            return match result {
                ReadRecordResult::InputEmpty if line.is_empty() => Cut::Open,
                ReadRecordResult::InputEmpty => continue,
                ReadRecordResult::OutputFull => Cut::Bad(Unfit::TooLong),
                ReadRecordResult::OutputEndsFull => Cut::Bad(Unfit::TooManyCells),
                ReadRecordResult::Record | ReadRecordResult::End => self.cells(*ended),
            };
        }
    }

    fn cells(&self, ended: usize) -> Cut {
        let (mut cells, mut from) = (Vec::with_capacity(ended), 0);
        for end in self.ends.iter().take(ended) {
            let bytes = self.output.get(from..*end).unwrap_or_default();
            from = *end;
            match str::from_utf8(bytes) {
                Ok(text) => cells.push(text.to_owned()),
                Err(_) => return Cut::Bad(Unfit::Encoding),
            }
        }
        Cut::Record(cells)
    }
}

fn reject(line: u64, unfit: &Unfit, record: &[u8]) -> Reject {
    Reject::new(line, unfit, &String::from_utf8_lossy(record))
}

/// What stands most often between the values of a header; within quotes it is text.
fn delimiter(header: &[u8]) -> u8 {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut is_quoted = false;
    for byte in header {
        is_quoted ^= *byte == b'"';
        let place = DELIMITERS.iter().position(|delimiter| delimiter == byte && !is_quoted);
        if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
            *count += 1;
        }
    }
    let best = counts.iter().zip(DELIMITERS).rev().max_by_key(|(count, _)| **count);
    best.map_or(b',', |(_, delimiter)| delimiter)
}
