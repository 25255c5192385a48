//! The bytes of a request, made once; only the numbers of the keys change.

use crate::arm::{Arm, NUMBER};
use crate::resp::encode;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) struct Request {
    bytes: Vec<u8>,
    /// Where the numbers go.
    places: Vec<usize>,
    /// Whether they are all the same, as several commands are about one key.
    one_key: bool,
    /// How many replies it gets.
    pub(super) replies: usize,
}

impl Request {
    pub(super) fn new(arm: &Arm) -> Self {
        let mut bytes = Vec::new();
        let mut places = Vec::new();
        for command in &arm.commands {
            // A placeholder is as long as a number.
            let mut end = bytes.len() + format!("*{}\r\n", command.len()).len();
            encode(&mut bytes, command);
            for argument in command {
                end += format!("${}\r\n", argument.len()).len() + argument.len();
                if argument.ends_with(NUMBER) {
                    places.push(end - NUMBER.len());
                }
                end += b"\r\n".len();
            }
        }
        Self { bytes, places, one_key: arm.commands.len() > 1, replies: arm.commands.len() }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The request for the next numbers that `number` gives.
    pub(super) fn next(&mut self, number: &mut impl FnMut() -> usize) -> &[u8] {
        let mut drawn = None;
        for place in &self.places {
            let mut rest = match drawn {
                Some(drawn) if self.one_key => drawn,
                _ => number(),
            };
            drawn = Some(rest);
            for digit in self.bytes[*place..place + NUMBER.len()].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        &self.bytes
    }
}

/// Numbers below `below`, each as likely as the others: xorshift64*, as good as is needed to spread requests over keys.
pub(super) struct Numbers {
    state: u64,
    below: u64,
}

impl Numbers {
    /// Others each time, so that a run does not find the keys of the one before in the CPU's caches.
    pub(super) fn new(below: usize) -> Self {
        static SEED: AtomicU64 = AtomicU64::new(1);
        let seed = SEED.fetch_add(2, Ordering::Relaxed);
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), below: below as u64 }
    }

    pub(super) fn next(&mut self) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let drawn = self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        ((drawn * self.below) >> 32) as usize
    }
}
