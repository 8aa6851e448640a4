//! Looks into a workbook before it is parsed: what is small on the disk may be huge in memory.
//!
//! Everything that the parser will read is unpacked once and thrown away, counting: what an archive
//! says of itself may be a lie. The parser streams rows, but holds the table of shared texts, and each
//! text between two tags.

use std::fs::File;
use std::io::{BufReader, Read, Seek};

use zip::ZipArchive;

use super::FileError;

/// Parts of a workbook at most.
const MOST_PARTS: usize = 10_000;
/// Bytes of a workbook, unpacked, at most: a million rows of fifty columns have fewer.
const MOST_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Bytes of a part that the parser holds in memory at most.
const MOST_HELD: u64 = 40 * 1024 * 1024;
/// Bytes between two tags at most: Excel's longest text has 32,767 characters.
const MOST_BETWEEN_TAGS: usize = 256 * 1024;

/// Refuses a workbook that would not fit.
pub(super) fn check(file: &File) -> Result<(), FileError> {
    let mut file = file.try_clone()?;
    file.rewind()?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| damaged(&error))?;
    if archive.len() > MOST_PARTS {
        return Err(bomb(&format!("it has {} parts", archive.len())));
    }
    let mut left = MOST_BYTES;
    for place in 0..archive.len() {
        let part = archive.by_index(place).map_err(|error| damaged(&error))?;
        let name = part.name().map_err(|error| damaged(&error))?.to_ascii_lowercase();
        if !name.ends_with(".xml") && !name.ends_with(".rels") {
            continue;
        }
        // Rows are streamed; everything else is held.
        let most = if name.contains("worksheets/") { left } else { left.min(MOST_HELD) };
        left -= measure(part, &name, most)?;
    }
    Ok(())
}

/// Unpacks a part; returns its true size.
fn measure(mut part: impl Read, name: &str, most: u64) -> Result<u64, FileError> {
    let (mut buffer, mut size, mut since_tag) = (vec![0; 64 * 1024], 0_u64, 0_usize);
    loop {
        let length = match part.read(&mut buffer) {
            Ok(0) => return Ok(size),
            Ok(length) => length,
            Err(error) => return Err(damaged(&error)),
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        size += u64::try_from(length).unwrap_or(u64::MAX);
        if size > most {
            return Err(bomb(&format!("its part {name} has more than {most} bytes")));
        }
        for part in bytes.split_inclusive(|byte| *byte == b'<') {
            since_tag += part.len();
            if since_tag > MOST_BETWEEN_TAGS {
                return Err(bomb(&format!(
                    "a text of its part {name} is longer than any honest one"
                )));
            }
            if part.ends_with(b"<") {
                since_tag = 0;
            }
        }
    }
}

fn bomb(why: &str) -> FileError {
    FileError::unfit(
        "workbook_too_large",
        format!("the workbook is too large: {why}; save it as CSV"),
    )
}

fn damaged(error: &dyn std::error::Error) -> FileError {
    FileError::unfit(
        "workbook_damaged",
        format!("the file is no workbook that can be read: {error}"),
    )
}
