//! A set of names that answers "no" only of what it does not hold. Pure: knows no server.
//!
//! A Bloom filter with one bit a name: what matters is one cache miss, not the last percent of wrong maybes.

use std::hash::Hasher;

use rustc_hash::FxHasher;

/// Bits for each name that is expected: about one name in 16 that is not held gets a "maybe".
const BITS_PER_NAME: usize = 16;
/// Names expected at least, and at most (which is 64 MiB).
const EXPECTED: std::ops::RangeInclusive<usize> = 4096..=(1 << 25);

/// The set.
pub(crate) struct Filter {
    words: Box<[u64]>,
    ones: usize,
}

impl Filter {
    /// A filter for about so many names.
    pub(crate) fn expecting(names: usize) -> Self {
        let names = names.clamp(*EXPECTED.start(), *EXPECTED.end());
        let words = names.saturating_mul(BITS_PER_NAME).next_power_of_two() / 64;
        Self { words: vec![0; words].into(), ones: 0 }
    }

    /// Adds a name.
    pub(crate) fn insert(&mut self, hash: NameHash) {
        let (index, bit) = self.place(hash);
        if let Some(word) = self.words.get_mut(index)
            && *word & bit == 0
        {
            *word |= bit;
            self.ones = self.ones.saturating_add(1);
        }
    }

    /// `false` only if the name was never added.
    pub(crate) fn may_contain(&self, hash: NameHash) -> bool {
        let (index, bit) = self.place(hash);
        self.words.get(index).is_none_or(|word| word & bit != 0)
    }

    /// Whether so many names were added that a new, larger filter would tell much better.
    pub(crate) fn is_crowded(&self) -> bool {
        self.ones > self.words.len().saturating_mul(64 / 4)
    }

    /// The word and the bit in it that stand for a name.
    fn place(&self, hash: NameHash) -> (usize, u64) {
        let mask = self.words.len().wrapping_sub(1);
        // Any bits of a good hash do.
        let index = (hash.0 >> 6) as usize & mask;
        (index, 1 << (hash.0 % 64))
    }
}

/// The hash of a name.
#[derive(Clone, Copy)]
pub(crate) struct NameHash(u64);

impl NameHash {
    /// Hashes a name.
    pub(crate) fn of(name: &[u8]) -> Self {
        let mut hasher = FxHasher::default();
        hasher.write(name);
        Self(hasher.finish())
    }

    /// A place among `count`, which is a power of two or 0. By other bits than the filter's.
    pub(crate) const fn index(self, count: usize) -> usize {
        (self.0 >> 32) as usize & count.wrapping_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn most_names_that_were_not_added_get_a_no() {
        let mut filter = Filter::expecting(10_000);
        for number in 0..10_000 {
            filter.insert(NameHash::of(format!("user:{number:012}").as_bytes()));
        }
        let wrong = (0..10_000)
            .filter(|number| filter.may_contain(NameHash::of(format!("page:{number:012}").as_bytes())))
            .count();
        assert!(wrong < 1_000, "{wrong} of 10,000");
        assert!(!filter.is_crowded());
    }

    #[test]
    fn it_tells_when_it_is_crowded() {
        let mut filter = Filter::expecting(1);
        for number in 0..40_000 {
            filter.insert(NameHash::of(format!("{number}").as_bytes()));
        }
        assert!(filter.is_crowded());
    }

    proptest! {
        #[test]
        fn what_was_added_gets_a_maybe(
            names in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 1..200)
        ) {
            let mut filter = Filter::expecting(names.len());
            for name in &names {
                filter.insert(NameHash::of(name));
            }
            for name in &names {
                prop_assert!(filter.may_contain(NameHash::of(name)));
            }
        }
    }
}
