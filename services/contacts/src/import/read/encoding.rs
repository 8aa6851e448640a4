//! Turns a file's bytes into UTF-8.

use std::io::{BufReader, Read};

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use encoding_rs_io::{DecodeReaderBytes, DecodeReaderBytesBuilder};

use super::FileError;

/// Bytes at the beginning of a file that its encoding is guessed from.
pub(super) const HEAD: usize = 64 * 1024;

/// Text as UTF-8. Bytes that are none pass where the file says that it is UTF-8: they cost their line.
pub(super) struct Text<R> {
    pub(super) encoding: &'static Encoding,
    pub(super) input: BufReader<DecodeReaderBytes<R, Vec<u8>>>,
}

/// Decodes `file`, which begins with `head`.
pub(super) fn decode<R: Read>(
    file: R,
    head: &[u8],
    said: Option<&'static Encoding>,
) -> Result<Text<R>, FileError> {
    let encoding = said.unwrap_or_else(|| guess(head));
    let decoder = DecodeReaderBytesBuilder::new()
        // Without one, UTF-8 passes as it is.
        .encoding((encoding != UTF_8).then_some(encoding))
        .bom_override(said.is_none())
        .utf8_passthru(true)
        .strip_bom(true)
        .build_with_buffer(file, vec![0; HEAD])?;
    Ok(Text { encoding, input: BufReader::with_capacity(HEAD, decoder) })
}

/// By its mark; else by its zeros, which UTF-16 has in every other byte of Latin text; else UTF-8 where
/// that fits, and what Windows writes in the West where it does not.
fn guess(head: &[u8]) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(head) {
        return encoding;
    }
    let zeros = |rest: usize| {
        let places = head.iter().skip(rest).step_by(2);
        let (all, zeros) =
            places.fold((0, 0), |(all, zeros), byte| (all + 1, zeros + usize::from(*byte == 0)));
        all > 1 && zeros * 10 > all * 7
    };
    match (zeros(0), zeros(1)) {
        (true, false) => return UTF_16BE,
        (false, true) => return UTF_16LE,
        _ => (),
    }
    match str::from_utf8(head) {
        Ok(_) => UTF_8,
        // The head may end within a character.
        Err(error) if error.error_len().is_none() => UTF_8,
        Err(error) if error.valid_up_to() > HEAD / 2 => UTF_8,
        Err(_) if looks_like_utf_8(head) => UTF_8,
        Err(_) => WINDOWS_1252,
    }
}

/// Most of what is not ASCII is UTF-8: then the file is, and has broken lines.
fn looks_like_utf_8(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let good = text.chars().filter(|c| !c.is_ascii() && *c != char::REPLACEMENT_CHARACTER).count();
    let bad = text.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER).count();
    good > 0 && good >= bad
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_guessed_from_marks_zeros_and_bytes() {
        let cases: [(&[u8], &str); 8] = [
            (b"\xef\xbb\xbfphone", "UTF-8"),
            (b"\xff\xfep\0", "UTF-16LE"),
            (b"\xfe\xff\0p", "UTF-16BE"),
            (b"p\0h\0o\0n\0e\0\n\0", "UTF-16LE"),
            (b"\0p\0h\0o\0n\0e\0\n", "UTF-16BE"),
            ("phone,name\n+49,Jürgen".as_bytes(), "UTF-8"),
            (b"phone,name\n+49,J\xfcrgen", "windows-1252"),
            (b"phone\n\xe2\x82", "UTF-8"),
        ];
        for (head, expected) in cases {
            assert_eq!(guess(head).name(), expected, "{head:?}");
        }
    }
}
