//! Counts the replies in what a connection receives, without keeping it.

use crate::Result;

/// Of one connection.
pub(super) struct Replies {
    /// The start of a line whose end has not come yet.
    line: Vec<u8>,
    /// Bytes of a bulk string still to come.
    bulk: usize,
    /// Parts of the current reply still to come; a reply that is no array is one part.
    parts: usize,
}

impl Replies {
    pub(super) fn new() -> Self {
        Self { line: Vec::new(), bulk: 0, parts: 1 }
    }

    /// How many replies end within `bytes`.
    pub(super) fn count(&mut self, mut bytes: &[u8]) -> Result<usize> {
        let mut complete = 0;
        while !bytes.is_empty() {
            if self.bulk > 0 {
                let skipped = self.bulk.min(bytes.len());
                self.bulk -= skipped;
                bytes = &bytes[skipped..];
                if self.bulk > 0 {
                    break;
                }
                complete += self.part();
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                self.line.extend_from_slice(bytes);
                break;
            };
            let (line, rest) = bytes.split_at(end + 1);
            bytes = rest;
            let head = if self.line.is_empty() {
                Head::of(line)?
            } else {
                self.line.extend_from_slice(line);
                let head = Head::of(&self.line)?;
                self.line.clear();
                head
            };
            match head {
                Head::Line => complete += self.part(),
                Head::Bulk(length) => self.bulk = length + b"\r\n".len(),
                Head::Array(length) => {
                    self.parts += length;
                    complete += self.part();
                }
            }
        }
        Ok(complete)
    }

    /// A part has ended: 1 if the reply has.
    fn part(&mut self) -> usize {
        self.parts -= 1;
        if self.parts > 0 {
            return 0;
        }
        self.parts = 1;
        1
    }
}

enum Head {
    Line,
    Bulk(usize),
    Array(usize),
}

impl Head {
    fn of(line: &[u8]) -> Result<Self> {
        let length = || {
            let digits = line.get(1..).unwrap_or_default();
            let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
            digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'))
        };
        Ok(match line {
            [b'-', ..] => return Err(String::from_utf8_lossy(line).trim().into()),
            // Nulls are no more than their line.
            [b'$' | b'*', b'-', ..] => Self::Line,
            [b'$', ..] => Self::Bulk(length()),
            [b'*', ..] => Self::Array(length()),
            _ => Self::Line,
        })
    }
}
