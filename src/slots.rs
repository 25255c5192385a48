//! Hash slots of a cluster: which one a key is in, and the tag that names a slot. Pure: knows no server.
//!
//! The index of a slot must be in that slot, so its name ends with a tag that hashes there. The tag of a slot is part of
//! the dataset: every version of this module has to find the same one.

/// How many slots there are.
pub(crate) const COUNT: usize = 16384;

/// A slot, below [`COUNT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(u16);

impl Slot {
    /// The slot of a key: that of its tag, if there is one, the part between the first `{` and the first `}` after it.
    pub(crate) fn of(key: &[u8]) -> Self {
        // Most keys have no tag: one pass does for both.
        let mut crc = 0;
        for byte in key {
            if *byte == b'{' {
                return Self(crc16(tag_of(key)) & MASK);
            }
            crc = next_crc(crc, *byte);
        }
        Self(crc & MASK)
    }

    /// The slot with this number.
    pub(crate) fn from_number(number: usize) -> Option<Self> {
        u16::try_from(number).ok().filter(|number| *number <= MASK).map(Self)
    }

    /// The first.
    pub(crate) const FIRST: Self = Self(0);

    /// The one after this; `None` after the last.
    pub(crate) fn next(self) -> Option<Self> {
        Self::from_number(self.number().saturating_add(1))
    }

    /// Its number.
    pub(crate) const fn number(self) -> usize {
        self.0 as usize
    }
}

const MASK: u16 = 0x3fff;

/// The part of a key that is hashed. A tag that is empty or does not end is none.
fn tag_of(key: &[u8]) -> &[u8] {
    let Some(start) = key.iter().position(|byte| *byte == b'{') else { return key };
    let rest = key.get(start.saturating_add(1)..).unwrap_or_default();
    match rest.iter().position(|byte| *byte == b'}') {
        None | Some(0) => key,
        Some(end) => rest.get(..end).unwrap_or(key),
    }
}

/// CRC-16/XMODEM, which the servers use.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| next_crc(crc, *byte))
}

#[expect(clippy::indexing_slicing, reason = "a byte is a place in the table")]
const fn next_crc(crc: u16, byte: u8) -> u16 {
    let [high, _] = crc.to_be_bytes();
    (crc << 8) ^ CRC_OF_BYTE[(high ^ byte) as usize]
}

/// The CRC of each byte alone.
#[expect(clippy::indexing_slicing, reason = "in a constant, where the compiler tries it")]
static CRC_OF_BYTE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte: u16 = 0;
    while byte < 256 {
        let mut crc = byte << 8;
        let mut bit: u8 = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit = bit.wrapping_add(1);
        }
        table[byte as usize] = crc;
        byte = byte.wrapping_add(1);
    }
    table
};

/// The tags of all slots: of each the shortest, and of those the lexically first, over `0-9a-z`.
pub(crate) struct Tags(Box<[Tag]>);

#[derive(Clone, Copy, Default)]
struct Tag {
    bytes: [u8; LONGEST],
    length: u8,
}

const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// Every slot has a tag of at most so many characters; a test sees to it.
const LONGEST: usize = 4;

impl Tags {
    /// Finds them: about a millisecond.
    pub(crate) fn find() -> Self {
        let mut tags = vec![Tag::default(); COUNT].into_boxed_slice();
        let mut missing = COUNT;
        for length in 1..=LONGEST {
            let mut tag = Tag::default();
            fill(&mut tags, &mut missing, &mut tag, 0, length);
        }
        Self(tags)
    }

    /// The tag of a slot.
    pub(crate) fn of(&self, slot: Slot) -> &[u8] {
        self.0.get(slot.number()).and_then(|tag| tag.bytes.get(..usize::from(tag.length))).unwrap_or_default()
    }
}

/// Tries every tag of that length that begins as `tag`, whose CRC so far is `crc`, in lexical order.
fn fill(tags: &mut [Tag], missing: &mut usize, tag: &mut Tag, crc: u16, length: usize) {
    let position = usize::from(tag.length);
    if position == length {
        if let Some(place) = tags.get_mut(usize::from(crc & MASK))
            && place.length == 0
        {
            *place = *tag;
            *missing = missing.saturating_sub(1);
        }
        return;
    }
    for byte in ALPHABET {
        if *missing == 0 {
            return;
        }
        if let Some(place) = tag.bytes.get_mut(position) {
            *place = *byte;
        }
        tag.length = tag.length.saturating_add(1);
        fill(tags, missing, tag, next_crc(crc, *byte), length);
        tag.length = tag.length.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Slot> {
        std::iter::successors(Some(Slot::FIRST), |slot| slot.next())
    }

    fn slot(key: &str) -> usize {
        Slot::of(key.as_bytes()).number()
    }

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        // The check value of CRC-16/XMODEM, and what CLUSTER KEYSLOT answers.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        for (key, expected) in [("foo", 12182), ("bar", 5061), ("hello", 866), ("", 0), ("a", 15495)] {
            assert_eq!(slot(key), expected, "{key}");
        }
    }

    #[test]
    fn only_the_first_complete_tag_counts() {
        for (key, hashed) in [
            ("{user1000}.following", "user1000"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("foo{bar", "foo{bar"),
            ("foo}bar{zap}", "zap"),
            ("}{", "}{"),
            ("{", "{"),
        ] {
            assert_eq!(tag_of(key.as_bytes()), hashed.as_bytes(), "{key}");
        }
    }

    #[test]
    fn every_slot_has_its_shortest_then_lexically_first_tag() {
        let tags = Tags::find();
        // The same by brute force, without the recursion and the running CRC.
        let mut expected = vec![Vec::new(); COUNT];
        let mut words = vec![Vec::new()];
        for _ in 0..LONGEST {
            words = words
                .iter()
                .flat_map(|word: &Vec<u8>| {
                    ALPHABET.iter().map(move |byte| [word.as_slice(), &[*byte]].concat())
                })
                .collect();
            for word in &words {
                let place = &mut expected[usize::from(crc16(word)) % COUNT];
                if place.is_empty() {
                    place.clone_from(word);
                }
            }
        }
        for slot in all() {
            let tag = tags.of(slot);
            assert!(!tag.is_empty(), "slot {} has no tag", slot.number());
            assert_eq!(tag, expected[slot.number()], "slot {}", slot.number());
            assert_eq!(Slot::of(&[b"MY_KEYSMTIME{", tag, b"}"].concat()), slot);
        }
    }

    #[test]
    fn the_tags_never_change() {
        // All of them in one number: a change would leave the indexes of existing clusters behind.
        let tags = Tags::find();
        let all: Vec<u8> = all().flat_map(|slot| [tags.of(slot), b"\n"].concat()).collect();
        let fnv = all.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        assert_eq!((all.len(), fnv), (64445, 0x2fdb_2fc9_7e02_d461));
        assert_eq!(tags.of(Slot::of(b"foo")), b"foo");
    }

    #[test]
    fn numbers_out_of_range_are_no_slots() {
        assert_eq!(Slot::from_number(COUNT), None);
        assert_eq!(Slot::from_number(65536), None);
        assert_eq!(Slot::from_number(COUNT - 1).map(Slot::number), Some(COUNT - 1));
        assert_eq!(all().count(), COUNT);
    }
}
