//! A cache of mtimes by key: of fixed size, two places for a key, the older of two that collide gives way. Pure: knows
//! no server. What it answers was put in and not taken out since; when that has to happen is `recent`'s affair.
//!
//! The lines are large and mostly far from the CPU, so each has a tag of one byte in a table that stays near: a line
//! whose tag is not that of a key does not hold it, and is not looked at. To forget a key is to clear its tag.

use crate::filter::NameHash;
use crate::mtime::Mtime;

/// The longest key that is kept, in bytes: what makes a line 64 bytes, as many as the CPU fetches at once.
pub(crate) const LONGEST_KEY: usize = 42;
/// Sets at first (65 KiB), and at most (4 MiB and 64 KiB).
const SETS: std::ops::RangeInclusive<usize> = 512..=(1 << 15);

/// What is kept of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recent {
    /// Its mtime.
    pub(crate) mtime: Mtime,
    /// Whether its value is so long that it is stored raw.
    pub(crate) is_raw: bool,
    /// The number of the index it was read from.
    pub(crate) index: u16,
    /// Where its value was.
    pub(crate) value_at: Address,
}

impl Recent {
    /// Whether both say the same. Where the value is may change at any time.
    pub(crate) fn agrees(self, other: Self) -> bool {
        (self.mtime, self.is_raw) == (other.mtime, other.is_raw)
    }
}

/// An address in memory that something was at, as far as a CPU of today has addresses: 48 bits. Nothing may be read there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address([u8; 6]);

impl Address {
    /// No address that anything is at.
    pub(crate) const NONE: Self = Self([0; 6]);

    /// Where something is now.
    pub(crate) fn of<T>(something: &[T]) -> Self {
        let [bytes @ .., _, _] = (something.as_ptr().addr() as u64).to_le_bytes();
        Self(bytes)
    }

    /// As a number.
    pub(crate) const fn number(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }
}

/// The cache. Takes no memory before something is put in.
pub(crate) struct MtimeCache {
    sets: Vec<Set>,
    /// As many. [`NO_TAG`] says that a line is empty.
    tags: Vec<[u8; 2]>,
    /// Lines of other generations are empty. From 1 up.
    generation: u16,
    /// Lines that gave way to others since the cache has its size.
    displaced: usize,
    /// How many sets there shall be.
    wanted: usize,
}

type Set = [Line; 2];

#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line {
    mtime: u64,
    generation: u16,
    database: u16,
    index: u16,
    length: u8,
    flags: u8,
    value_at: Address,
    key: [u8; LONGEST_KEY],
}

const EMPTY: Line = Line {
    mtime: 0,
    generation: 0,
    database: 0,
    index: 0,
    length: 0,
    flags: 0,
    value_at: Address::NONE,
    key: [0; LONGEST_KEY],
};
const FRACTION: u8 = 1;
const RAW: u8 = 2;
/// The tag of an empty line.
const NO_TAG: u8 = 0;

/// A key, with the hash of its name.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    hash: NameHash,
    name: &'a [u8],
    length: u8,
}

impl<'a> Place<'a> {
    /// `None` for a key that is too long to be kept.
    pub(crate) fn of(name: &'a [u8]) -> Option<Self> {
        let length = u8::try_from(name.len()).ok().filter(|_| name.len() <= LONGEST_KEY)?;
        Some(Self { hash: NameHash::of(name), name, length })
    }

    fn tag(self) -> u8 {
        self.hash.byte().max(NO_TAG + 1)
    }
}

impl Line {
    fn holds(&self, generation: u16, place: Place<'_>) -> bool {
        self.generation == generation
            && self.length == place.length
            && self.key.get(..place.name.len()) == Some(place.name)
    }

    const fn recent(&self) -> Recent {
        Recent {
            mtime: Mtime::from_bits((self.mtime, self.flags & FRACTION != 0)),
            is_raw: self.flags & RAW != 0,
            index: self.index,
            value_at: self.value_at,
        }
    }
}

impl MtimeCache {
    /// An empty cache.
    pub(crate) const fn new() -> Self {
        Self { sets: Vec::new(), tags: Vec::new(), generation: 1, displaced: 0, wanted: *SETS.start() }
    }

    /// What is kept of a key. O(1).
    pub(crate) fn get(&self, place: Place<'_>, database: u16) -> Option<Recent> {
        let index = place.hash.index(self.sets.len());
        let (tags, set) = (self.tags.get(index)?, self.sets.get(index)?);
        let mut lines = tags.iter().zip(set).filter(|(tag, _)| **tag == place.tag());
        let (_, line) =
            lines.find(|(_, line)| line.database == database && line.holds(self.generation, place))?;
        Some(line.recent())
    }

    /// Whether nothing was put in yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// The lines that may hold a key, and their tags.
    pub(crate) fn lines(&self, place: Place<'_>) -> Option<(&[u8; 2], &[Line; 2])> {
        let index = place.hash.index(self.sets.len());
        self.tags.get(index).zip(self.sets.get(index))
    }

    /// Keeps something of a key. Answers what was kept of it before. O(1), but for the first time.
    pub(crate) fn put(&mut self, place: Place<'_>, database: u16, recent: Recent) -> Option<Recent> {
        if self.sets.is_empty() {
            self.sets = vec![[EMPTY; 2]; self.wanted];
            self.tags = vec![[NO_TAG; 2]; self.wanted];
        }
        let index = place.hash.index(self.sets.len());
        let (tags, set) = (self.tags.get_mut(index)?, self.sets.get_mut(index)?);
        let (mtime, is_fraction) = recent.mtime.to_bits();
        let flags = if is_fraction { FRACTION } else { 0 } | if recent.is_raw { RAW } else { 0 };
        let mut line = Line {
            mtime,
            generation: self.generation,
            database,
            index: recent.index,
            length: place.length,
            flags,
            value_at: recent.value_at,
            ..EMPTY
        };
        line.key.get_mut(..place.name.len())?.copy_from_slice(place.name);
        for (tag, present) in tags.iter().zip(&mut *set) {
            let is_full = *tag == place.tag();
            if is_full && present.database == database && present.holds(self.generation, place) {
                let before = present.recent();
                *present = line;
                return Some(before);
            }
        }
        let [first_tag, second_tag] = tags;
        let [first, second] = set;
        let is_full = |tag: u8, line: &Line| tag != NO_TAG && line.generation == self.generation;
        if is_full(*first_tag, first) {
            if is_full(*second_tag, second) {
                self.displaced = self.displaced.saturating_add(1);
            }
            (*second_tag, *second) = (*first_tag, *first);
        }
        (*first_tag, *first) = (place.tag(), line);
        None
    }

    /// Forgets a key, in whichever database, and any other with the same place and tag. O(1).
    pub(crate) fn remove(&mut self, place: Place<'_>) {
        let index = place.hash.index(self.tags.len());
        for tag in self.tags.get_mut(index).into_iter().flatten() {
            if *tag == place.tag() {
                *tag = NO_TAG;
            }
        }
    }

    /// Forgets everything. O(1), but for once in 65,535 times, when 64 KiB are cleared.
    pub(crate) fn clear(&mut self) {
        self.generation = self.generation.checked_add(1).unwrap_or_else(|| {
            self.tags.fill([NO_TAG; 2]);
            1
        });
    }

    /// Forgets everything, and gives the memory back.
    pub(crate) fn release(&mut self) {
        *self = Self::new();
    }

    /// Grows if many lines had to give way. Forgets everything then.
    pub(crate) fn grow_if_crowded(&mut self) {
        if self.displaced > self.sets.len() / 4 && self.sets.len() < *SETS.end() {
            *self = Self {
                generation: self.generation,
                wanted: self.sets.len().saturating_mul(2),
                ..Self::new()
            };
        }
    }

    /// The memory it takes, in bytes.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        size_of_val(self.sets.as_slice()).saturating_add(size_of_val(self.tags.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn at(mtime: i64) -> Recent {
        let index = mtime.to_le_bytes()[0].into();
        Recent {
            mtime: Mtime::from_i64(mtime),
            is_raw: mtime % 2 == 0,
            index,
            value_at: Address::of(&[mtime]),
        }
    }

    fn place(name: &[u8]) -> Place<'_> {
        Place::of(name).unwrap()
    }

    #[test]
    fn a_line_is_what_the_cpu_fetches() {
        assert_eq!(size_of::<Line>(), 64);
    }

    #[test]
    fn long_keys_are_not_kept() {
        assert!(Place::of(&[b'k'; LONGEST_KEY]).is_some());
        assert!(Place::of(&[b'k'; LONGEST_KEY + 1]).is_none());
        assert!(Place::of(&[b'k'; 256 + 3]).is_none());
    }

    #[test]
    fn databases_are_told_apart_but_not_when_a_key_is_forgotten() {
        let mut cache = MtimeCache::new();
        cache.put(place(b"k"), 0, at(1));
        cache.put(place(b"k"), 7, at(2));
        assert_eq!(cache.get(place(b"k"), 0), Some(at(1)));
        assert_eq!(cache.get(place(b"k"), 7), Some(at(2)));
        assert_eq!(cache.get(place(b"k"), 1), None);
        cache.remove(place(b"k"));
        assert_eq!((cache.get(place(b"k"), 0), cache.get(place(b"k"), 7)), (None, None));
    }

    #[test]
    fn it_grows_with_what_is_used_and_not_without_end() {
        let keys: Vec<_> = (0..20_000).map(|number| format!("key:{number:012}").into_bytes()).collect();
        let mut cache = MtimeCache::new();
        assert_eq!(cache.bytes(), 0);
        for _ in 0..20 {
            for key in &keys {
                cache.put(place(key), 0, at(1));
            }
            cache.grow_if_crowded();
        }
        for key in &keys {
            cache.put(place(key), 0, at(1));
        }
        let kept = keys.iter().filter(|key| cache.get(place(key), 0).is_some()).count();
        assert!(kept > 18_000, "{kept}");
        for round in 0..20 {
            for number in 0..100_000 {
                cache.put(place(format!("{round} {number}").as_bytes()), 0, at(1));
            }
            cache.grow_if_crowded();
            assert!(cache.bytes() <= (4 << 20) + (64 << 10), "{}", cache.bytes());
        }
        cache.release();
        assert_eq!(cache.bytes(), 0);
    }

    #[test]
    fn generations_do_not_come_back() {
        let mut cache = MtimeCache::new();
        cache.put(place(b"k"), 0, at(1));
        cache.generation = u16::MAX;
        cache.put(place(b"l"), 0, at(1));
        cache.clear();
        assert_eq!((cache.get(place(b"k"), 0), cache.get(place(b"l"), 0)), (None, None));
    }

    proptest! {
        /// It may forget, but never answers anything else than what was put in last.
        #[test]
        fn it_answers_the_last_or_nothing(
            steps in proptest::collection::vec((0..40u8, 0..3u16, any::<i64>(), 0..20u8), 1..400)
        ) {
            let mut cache = MtimeCache::new();
            cache.wanted = 4;
            let mut truth = HashMap::new();
            for (key, database, mtime, action) in steps {
                let name = vec![key; usize::from(key)];
                let place = place(&name);
                match action {
                    0 => { cache.clear(); truth.clear(); }
                    1 => { cache.grow_if_crowded(); }
                    2..=4 => { cache.remove(place); truth.retain(|(other, _), _| *other != key); }
                    _ => {
                        let before = cache.put(place, database, at(mtime));
                        prop_assert!(before.is_none() || before == truth.get(&(key, database)).copied());
                        truth.insert((key, database), at(mtime));
                        prop_assert_eq!(cache.get(place, database), Some(at(mtime)));
                    }
                }
                for other in 0..40u8 {
                    for database in 0..3 {
                        let name = vec![other; usize::from(other)];
                        let found = cache.get(Place::of(&name).unwrap(), database);
                        prop_assert!(found.is_none() || found == truth.get(&(other, database)).copied());
                    }
                }
            }
        }
    }
}
