//! Redis's protocol, as far as commands are told apart.

/// What a client says, cut into commands: arrays of strings, each with its length in front.
#[derive(Default)]
pub(super) struct Frames {
    begun: Vec<u8>,
}

impl super::Frames for Frames {
    fn complete(&mut self, bytes: &[u8]) -> u64 {
        self.begun.extend_from_slice(bytes);
        let mut rest = self.begun.as_slice();
        let mut commands = 0;
        while let Some(after) = past_command(rest) {
            rest = after;
            commands += 1;
        }
        let used = self.begun.len() - rest.len();
        self.begun.drain(..used);
        commands
    }
}

/// What follows the first command, once that is complete.
fn past_command(bytes: &[u8]) -> Option<&[u8]> {
    let (strings, mut rest) = number(bytes)?;
    for _ in 0..strings {
        let (length, after) = number(rest)?;
        rest = after.get(length + 2..)?;
    }
    Some(rest)
}

/// The number of a line such as `*3` or `$12`, and what follows the line.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let digits = std::str::from_utf8(bytes.get(1..end)?).ok()?;
    Some((digits.parse().ok()?, bytes.get(end + 2..)?))
}

#[cfg(test)]
mod tests {
    use super::super::Frames as _;
    use super::*;

    #[test]
    fn commands_are_counted_wherever_the_bytes_are_cut() {
        let said = b"*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$3\r\n*1\r\r\n$4\r\n\r\n$9\r\n";
        for cut in 0..said.len() {
            let mut frames = Frames::default();
            let (head, tail) = said.split_at(cut);
            assert_eq!(frames.complete(head) + frames.complete(tail), 2, "cut at {cut}");
        }
    }
}
