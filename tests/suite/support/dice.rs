//! Random numbers for tests that are too long to shrink: one seed, printed when the test fails, repeats the run.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A source of random numbers (SplitMix64). Prints its seed when the thread panics.
pub(crate) struct Dice {
    state: u64,
    seed: u64,
}

impl Dice {
    /// Seeded from `REDIS_MTIME_TEST_SEED` if that is set, else at random.
    pub(crate) fn new() -> Self {
        Self::seeded(number_of("REDIS_MTIME_TEST_SEED", || RandomState::new().build_hasher().finish()))
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self { state: seed, seed }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// An index into something of that length.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        let length = u64::try_from(length).expect("a length");
        usize::try_from(self.below(length)).expect("below a length")
    }

    /// True once in `times`, on average.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.index(choices.len())]
    }

    /// As many bytes as asked for, of any value.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| u8::try_from(self.below(256)).expect("a byte")).collect()
    }
}

impl Drop for Dice {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("run it again with REDIS_MTIME_TEST_SEED={}", self.seed);
        }
    }
}

/// A number from the environment, or else the default.
pub(crate) fn number_of(variable: &str, default: impl FnOnce() -> u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is no number")),
        Err(_) => default(),
    }
}
