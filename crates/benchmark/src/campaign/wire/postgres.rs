//! PostgreSQL's protocol, as far as statements are told apart.

/// Version 3.0 of the protocol: from here on each message has a letter.
const STARTUP: u32 = 196_608;

/// What a client says, cut into messages.
#[derive(Default)]
pub(super) struct Frames {
    begun: Vec<u8>,
    is_started: bool,
}

impl super::Frames for Frames {
    fn complete(&mut self, bytes: &[u8]) -> u64 {
        self.begun.extend_from_slice(bytes);
        let mut executed = 0;
        while let Some((letter, length)) = self.first() {
            if self.begun.len() < length {
                break;
            }
            self.begun.drain(..length);
            executed += u64::from(matches!(letter, Some(b'E' | b'Q')));
        }
        executed
    }
}

impl Frames {
    /// The first message's letter and whole length, once they are known.
    fn first(&mut self) -> Option<(Option<u8>, usize)> {
        if self.is_started {
            let (letter, rest) = self.begun.split_first()?;
            let length = u32::from_be_bytes(*rest.first_chunk()?);
            return Some((Some(*letter), usize::try_from(length).ok()?.checked_add(1)?));
        }
        let (length, rest) = self.begun.split_first_chunk()?;
        let version = u32::from_be_bytes(*rest.first_chunk()?);
        self.is_started = version == STARTUP;
        Some((None, usize::try_from(u32::from_be_bytes(*length)).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Frames as _;
    use super::*;

    fn frame(letter: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[letter], length.as_slice(), body].concat()
    }

    #[test]
    fn statements_are_counted_wherever_the_bytes_are_cut() {
        let startup = [8_u32.to_be_bytes(), STARTUP.to_be_bytes()].concat();
        let said = [
            startup,
            frame(b'Q', b"BEGIN\0"),
            frame(b'P', b"EEEE"),
            frame(b'B', b"QQ"),
            frame(b'E', b"\0\0\0\0\0"),
            frame(b'S', b""),
        ]
        .concat();
        for cut in 0..said.len() {
            let mut frames = Frames::default();
            let (head, tail) = said.split_at(cut);
            assert_eq!(frames.complete(head) + frames.complete(tail), 2, "cut at {cut}");
        }
    }
}
