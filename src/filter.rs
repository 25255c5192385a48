//! A set of names that answers "no" only of what it does not hold. Pure: knows no server.
//!
//! A Bloom filter with two bits a name, both in one word: what matters is one cache miss, not the last percent of wrong
//! maybes. Before it a table of how names begin, small enough to be always at hand: names that are not held mostly have
//! another prefix than those that are (`session:` and `page:`), and need no look into the large one, nor a hash.

use std::hash::Hasher;

use rustc_hash::FxHasher;

/// Bits for each name that is expected: about one name in 20 that is not held gets a "maybe".
const BITS_PER_NAME: usize = 8;
/// Names expected at least, and at most (which is 32 MiB).
const EXPECTED: std::ops::RangeInclusive<usize> = 8192..=(1 << 25);
/// Bytes of a name that tell how it begins.
const BEGINNING: usize = 4;
/// Ways to begin, told apart by their hash: half a kibibyte.
const BEGINNINGS: usize = 4096;

/// The set.
pub(crate) struct Filter {
    beginnings: [u64; BEGINNINGS / 64],
    words: Box<[u64]>,
    ones: usize,
}

impl Filter {
    /// A filter for about so many names.
    pub(crate) fn expecting(names: usize) -> Self {
        let names = names.clamp(*EXPECTED.start(), *EXPECTED.end());
        let words = names.saturating_mul(BITS_PER_NAME).next_power_of_two() / 64;
        Self { beginnings: [0; BEGINNINGS / 64], words: vec![0; words].into(), ones: 0 }
    }

    /// Adds a name.
    pub(crate) fn insert(&mut self, name: &[u8]) {
        self.insert_beginning(name);
        let (index, bits) = self.place(NameHash::of(name));
        if let Some(word) = self.words.get_mut(index) {
            let new = (bits & !*word).count_ones() as usize;
            *word |= bits;
            self.ones = self.ones.saturating_add(new);
        }
    }

    /// Adds how a name begins, and not the name.
    pub(crate) fn insert_beginning(&mut self, name: &[u8]) {
        let (index, bit) = beginning(name);
        if let Some(word) = self.beginnings.get_mut(index) {
            *word |= bit;
        }
    }

    /// `false` only if neither the name nor one that begins as it does was ever added.
    pub(crate) fn may_begin_so(&self, name: &[u8]) -> bool {
        let (index, bit) = beginning(name);
        self.beginnings.get(index).is_none_or(|word| word & bit != 0)
    }

    /// `false` only if the name was never added.
    pub(crate) fn may_contain(&self, name: &[u8]) -> bool {
        let (index, bits) = self.place(NameHash::of(name));
        self.words.get(index).is_none_or(|word| word & bits == bits)
    }

    /// Whether so many names were added that a new, larger filter would tell much better.
    pub(crate) fn is_crowded(&self) -> bool {
        self.ones > self.words.len().saturating_mul(64 / 4)
    }

    /// The word and the bits in it that stand for a name.
    fn place(&self, hash: NameHash) -> (usize, u64) {
        let mask = self.words.len().wrapping_sub(1);
        // Any bits of a good hash do.
        let index = (hash.0 >> 6) as usize & mask;
        (index, 1 << (hash.0 % 64) | 1 << (hash.0 >> 58))
    }
}

/// The word and the bit in it that stand for how a name begins.
fn beginning(name: &[u8]) -> (usize, u64) {
    let mut first = [0; BEGINNING];
    for (byte, of_name) in first.iter_mut().zip(name) {
        *byte = *of_name;
    }
    // The upper bits of a product with 2^32 / golden ratio are a good hash.
    let hash = u32::from_le_bytes(first).wrapping_mul(0x9e37_79b9) >> 20;
    ((hash / 64) as usize, 1 << (hash % 64))
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

    /// A byte of other bits than those of [`Self::index`], for up to 2^24 places.
    pub(crate) const fn byte(self) -> u8 {
        self.0.to_be_bytes()[0]
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
            filter.insert(format!("user:{number:012}").as_bytes());
        }
        let wrong =
            (0..10_000).filter(|number| filter.may_contain(format!("page:{number:012}").as_bytes())).count();
        assert!(wrong < 1_000, "{wrong} of 10,000");
        assert!(!filter.is_crowded());
    }

    #[test]
    fn it_tells_when_it_is_crowded() {
        let mut filter = Filter::expecting(1);
        for number in 0..40_000 {
            filter.insert(format!("{number}").as_bytes());
        }
        assert!(filter.is_crowded());
    }

    #[test]
    fn names_that_begin_otherwise_are_told_from_a_small_table() {
        let mut filter = Filter::expecting(1);
        filter.insert(b"user:1");
        filter.insert_beginning(b"MY_KEYSMTIME");
        filter.insert(b"x");
        for (name, expected) in [
            ("user:2", true),
            ("users", true),
            ("MY_KEYS", true),
            ("x", true),
            ("page:1", false),
            ("use", false),
            ("y", false),
            ("", false),
        ] {
            assert_eq!(filter.may_begin_so(name.as_bytes()), expected, "{name}");
        }
        assert!(!filter.may_contain(b"MY_KEYSMTIME"));
    }

    proptest! {
        #[test]
        fn what_was_added_gets_a_maybe(
            names in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 1..200)
        ) {
            let mut filter = Filter::expecting(names.len());
            for name in &names {
                filter.insert(name);
            }
            for name in &names {
                prop_assert!(filter.may_begin_so(name) && filter.may_contain(name));
            }
        }
    }
}
