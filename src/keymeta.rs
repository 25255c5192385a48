//! An mtime in the eight bytes that a server keeps with a key: the word. Pure: knows no server.
//!
//! The lowest bit is the tag. With it the other 63 bits are an integer in two's complement; without it they are an f64
//! without its sign bit, so from 0 up. What needs more bits does not fit. Words are stored in snapshots: their meaning
//! never changes, a new one gets a new version.

use crate::mtime::Mtime;

/// The word of a key without an mtime. No mtime has it: as a fraction it would be 0, and 0 is an integer.
pub(crate) const UNTRACKED: u64 = 0;

/// The version of these words in snapshots.
pub(crate) const VERSION: i32 = 1;

const TAG: u64 = 1;
const SIGN: u64 = 1 << 63;
/// The integers from the first of these up to the one before the second fit.
const INTEGERS: std::ops::Range<i64> = -(1 << 62)..(1 << 62);

/// The word of an mtime; `None` if it does not fit.
pub(crate) fn encode(mtime: Mtime) -> Option<u64> {
    let (bits, is_fraction) = mtime.to_bits();
    let fits = if is_fraction { bits & SIGN == 0 } else { INTEGERS.contains(&bits.cast_signed()) };
    let tag = if is_fraction { 0 } else { TAG };
    fits.then_some(bits << 1 | tag)
}

/// The mtime of a word; `None` if it is untracked, or what no mtime has: somebody made a snapshot by hand.
pub(crate) fn decode(word: u64) -> Option<Mtime> {
    if word & TAG == TAG {
        // An arithmetic shift: the sign stays.
        Some(Mtime::from_i64(word.cast_signed() >> 1))
    } else if word == UNTRACKED {
        None
    } else {
        Mtime::from_f64(f64::from_bits(word >> 1))
    }
}

/// The mtime of a word in a snapshot of this version; `None` for a version that is not known.
pub(crate) fn decode_version(version: i32, word: u64) -> Option<Option<Mtime>> {
    match version {
        VERSION => Some(decode(word)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::freshness::{State, assigned};
    use proptest::prelude::*;

    fn mtime(text: &str) -> Mtime {
        Mtime::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn words_never_change() {
        for (text, word) in [
            ("0", 1),
            ("1", 3),
            ("-1", u64::MAX),
            ("1700000000123", 3_400_000_000_247),
            ("4611686018427387903", 0x7fff_ffff_ffff_ffff),
            ("-4611686018427387904", 0x8000_0000_0000_0001),
            ("0.5", 0x3fe0_0000_0000_0000 << 1),
            ("5e-324", 2),
            ("1.7976931348623157e308", 0x7fef_ffff_ffff_ffff << 1),
            ("9223372036854775808", 0x43e0_0000_0000_0000 << 1),
        ] {
            assert_eq!(encode(mtime(text)), Some(word), "{text}");
            assert_eq!(decode(word), Some(mtime(text)), "{text}");
        }
    }

    #[test]
    fn what_needs_more_bits_does_not_fit() {
        for text in [
            "4611686018427387904",
            "9223372036854775807",
            "-4611686018427387905",
            "-9223372036854775808",
            "-9223372036854775809",
            "-0.5",
            "-1e300",
            "-5e-324",
        ] {
            assert_eq!(encode(mtime(text)), None, "{text}");
        }
    }

    #[test]
    fn words_that_no_mtime_has_are_untracked() {
        for fraction in [0.0, f64::INFINITY, f64::NAN] {
            assert_eq!(decode(fraction.to_bits() << 1), None, "{fraction}");
        }
        assert_eq!(decode(UNTRACKED), None);
        // A fraction that is an integer is the integer, or mtimes that are equal would differ.
        assert_eq!(decode(5_f64.to_bits() << 1), Some(mtime("5")));
        assert_eq!(encode(mtime("5.0")), encode(mtime("5")));
    }

    #[test]
    fn a_later_version_is_not_guessed_at() {
        assert_eq!(decode_version(VERSION, 3), Some(Some(mtime("1"))));
        for version in [0, 2, 31] {
            assert_eq!(decode_version(version, 3), None);
        }
    }

    #[test]
    fn the_assigned_mtime_may_not_fit() {
        let largest = State::Tracked(mtime("4611686018427387903"));
        assert_eq!(assigned(5, largest).and_then(encode), None);
        let before = State::Tracked(mtime("4611686018427387902"));
        assert_eq!(assigned(5, before).and_then(encode), encode(mtime("4611686018427387903")));
        // Up there fractions go on.
        let fraction = State::Tracked(mtime("9223372036854775808"));
        assert_eq!(
            assigned(5, fraction).and_then(encode).and_then(decode),
            Some(mtime("9223372036854777856"))
        );
    }

    proptest! {
        #[test]
        fn integers_come_back(integer in INTEGERS) {
            let word = encode(Mtime::from_i64(integer)).unwrap();
            prop_assert_ne!(word, UNTRACKED);
            prop_assert_eq!(decode(word), Some(Mtime::from_i64(integer)));
        }

        #[test]
        fn integers_outside_do_not_fit(integer in prop_oneof![i64::MIN..INTEGERS.start, INTEGERS.end..=i64::MAX]) {
            prop_assert_eq!(encode(Mtime::from_i64(integer)), None);
        }

        #[test]
        fn doubles_come_back_or_do_not_fit(bits: u64) {
            let Some(mtime) = Mtime::from_f64(f64::from_bits(bits)) else { return Ok(()) };
            match encode(mtime) {
                Some(word) => {
                    prop_assert_ne!(word, UNTRACKED);
                    let back = decode(word).unwrap();
                    prop_assert_eq!(back, mtime);
                    let same_text = back.with_text(|text| mtime.with_text(|expected| expected == text));
                    prop_assert!(same_text);
                }
                None => prop_assert!(mtime < Mtime::from_i64(0) || f64::from_bits(bits) >= 2_f64.powi(62)),
            }
        }

        #[test]
        fn any_word_is_an_mtime_with_one_word_or_untracked(word: u64) {
            if let Some(mtime) = decode(word)
                && let Some(again) = encode(mtime)
            {
                prop_assert_eq!(decode(again), Some(mtime));
            }
        }

        #[test]
        fn the_order_stays(left: i64, right: i64, bits: u64) {
            let numbers = [
                Some(Mtime::from_i64(left >> 1)),
                Some(Mtime::from_i64(right >> 1)),
                Mtime::from_f64(f64::from_bits(bits >> 1)),
            ];
            let there_and_back = numbers.map(|number| number.and_then(encode).and_then(decode));
            for (i, one) in numbers.iter().enumerate() {
                for (j, other) in numbers.iter().enumerate() {
                    if let (Some(left), Some(right)) = (there_and_back[i], there_and_back[j]) {
                        prop_assert_eq!(Some(left.cmp(&right)), Some(one.cmp(other)));
                    }
                }
            }
        }
    }
}
