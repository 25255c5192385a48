//! A pure model of the module, written from the contract and not from the source: the third oracle. Its numbers
//! compare by their exact decimal expansions, which shares no step with any clever comparison.

use super::client::{Reply, array, bulk, error, int, modified, nil, not_modified, untracked};
use super::storage::is_keymeta;
use std::cmp::Ordering;
use std::collections::BTreeMap;

pub(crate) const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

/// A modification time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Integer(i64),
    Fraction(f64),
}

impl Number {
    /// `[-]digits[.digits][(e|E)[+-]digits]`, at most 64 bytes, finite.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        const LONGEST: usize = 64;
        let whole = std::str::from_utf8(text).ok().filter(|text| text.len() <= LONGEST)?;
        let unsigned = whole.strip_prefix('-').unwrap_or(whole);
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (unsigned, None),
        };
        let (integer, fraction) = match mantissa.split_once('.') {
            Some((integer, fraction)) => (integer, Some(fraction)),
            None => (mantissa, None),
        };
        let exponent_is_sound =
            exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
        if !digits(integer) || !fraction.is_none_or(digits) || !exponent_is_sound {
            return None;
        }
        if exponent.is_none()
            && fraction.is_none()
            && let Ok(number) = whole.parse()
        {
            return Some(Self::Integer(number));
        }
        let number: f64 = whole.parse().ok()?;
        number.is_finite().then(|| Self::of_f64(number))
    }

    fn of_f64(number: f64) -> Self {
        // Both bounds are powers of two, so exact in f64.
        let range = -9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0;
        if number.fract() == 0.0 && range.contains(&number) {
            Self::Integer(format!("{number:.0}").parse().expect("an integer in range"))
        } else {
            Self::Fraction(number)
        }
    }

    /// What the module stores and answers.
    pub(crate) fn canonical(self) -> String {
        match self {
            Self::Integer(number) => number.to_string(),
            // Beyond i64 every f64 is an integer: all its digits, so that one sent as an integer is read back.
            Self::Fraction(number) if (9_223_372_036_854_775_808.0..1e21).contains(&number.abs()) => {
                format!("{number:.0}")
            }
            Self::Fraction(number) if (1e-7..1e21).contains(&number.abs()) => number.to_string(),
            Self::Fraction(number) => format!("{number:e}"),
        }
    }

    /// The number after this one that a server-given time has to reach, where there is one.
    pub(crate) fn successor(self) -> Option<Self> {
        match self {
            Self::Integer(number) => number.checked_add(1).map(Self::Integer),
            Self::Fraction(number) => {
                Some(Self::of_f64(number + 1.0)).filter(|next| next.compare(self) == Ordering::Greater)
            }
        }
    }

    pub(crate) fn compare(self, other: Self) -> Ordering {
        let (ours, theirs) = (Expansion::of(self), Expansion::of(other));
        match (ours.negative, theirs.negative) {
            (false, false) => ours.magnitude().cmp(&theirs.magnitude()),
            (true, true) => theirs.magnitude().cmp(&ours.magnitude()),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        }
    }
}

/// The exact decimal expansion of a number, without leading or trailing zeros.
struct Expansion {
    negative: bool,
    integer: String,
    fraction: String,
}

impl Expansion {
    fn of(number: Number) -> Self {
        let text = match number {
            Number::Integer(number) => number.to_string(),
            Number::Fraction(number) => format!("{number:.*}", decimals(number)),
        };
        let (negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text.as_str()),
        };
        let (integer, fraction) = text.split_once('.').unwrap_or((text, ""));
        let integer = integer.trim_start_matches('0').to_owned();
        let fraction = fraction.trim_end_matches('0').to_owned();
        let is_zero = integer.is_empty() && fraction.is_empty();
        Self { negative: negative && !is_zero, integer, fraction }
    }

    /// Orders as the absolute values do: a longer integer part is larger, equal ones compare digit by digit.
    fn magnitude(&self) -> (usize, &str, &str) {
        (self.integer.len(), &self.integer, &self.fraction)
    }
}

/// How many decimals show an f64 exactly: its lowest bit is 2^(exponent - 52), and 2^-n has n decimals.
fn decimals(number: f64) -> usize {
    const SMALLEST_BIT: i64 = 1074;
    let exponent = i64::try_from((number.to_bits() >> 52) & 0x7ff).expect("eleven bits") - 1023;
    usize::try_from((52 - exponent).clamp(0, SMALLEST_BIT)).expect("not negative")
}

/// When a write applies.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Always,
    IfNewer,
    IfEqual(String),
    IfMissing,
    IfExists,
}

/// What a key holds.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Text(Vec<u8>),
    Other,
}

/// One database.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) keys: BTreeMap<String, Content>,
    /// The index as text, so that garbage in it can be modelled too.
    pub(crate) index: BTreeMap<String, Vec<u8>>,
}

impl Model {
    /// The mtime a key is tracked with; says nothing about the key being there.
    pub(crate) fn entry(&self, key: &str) -> Option<Number> {
        Number::parse(self.index.get(key)?)
    }

    /// A plain command sets or removes a value; whether there was one. Without invalidation, which is what the model knows,
    /// an entry in an index stays, while an mtime that is with the key goes with its value.
    pub(crate) fn write_plainly(&mut self, key: &str, content: Option<Content>) -> bool {
        if is_keymeta() {
            self.index.remove(key);
        }
        match content {
            Some(content) => self.keys.insert(key.to_owned(), content),
            None => self.keys.remove(key),
        }
        .is_some()
    }

    pub(crate) fn mtget(&self, key: &str, since: &str, exact: bool, with_mtime: bool) -> Reply {
        let value = match self.keys.get(key) {
            None => return nil(),
            Some(Content::Other) => return error(WRONG_TYPE),
            Some(Content::Text(value)) => value,
        };
        let Some(since) = Number::parse(since.as_bytes()) else {
            return error("ERR since is not a valid number");
        };
        let Some(mtime) = self.entry(key) else {
            return if with_mtime { untracked(value) } else { bulk(value) };
        };
        let order = mtime.compare(since);
        let is_modified = if exact { order != Ordering::Equal } else { order == Ordering::Greater };
        match (is_modified, with_mtime) {
            (true, true) => modified(&mtime.canonical(), value),
            (true, false) => bulk(value),
            (false, true) => not_modified(&mtime.canonical()),
            (false, false) => nil(),
        }
    }

    pub(crate) fn mtmget(&self, pairs: &[(String, String)]) -> Reply {
        array(pairs.iter().map(|(key, since)| match self.keys.get(key) {
            Some(Content::Other) => nil(),
            _ => self.mtget(key, since, false, true),
        }))
    }

    pub(crate) fn mttime(&self, key: &str) -> Reply {
        match self.keys.get(key) {
            None => nil(),
            Some(Content::Other) => error(WRONG_TYPE),
            Some(Content::Text(_)) => self.entry(key).map_or_else(nil, |mtime| bulk(mtime.canonical())),
        }
    }

    /// Whether a write with that mtime (`None` is `*`, which beats every other) applies.
    pub(crate) fn allows(&self, key: &str, mtime: Option<Number>, condition: &Condition) -> bool {
        let exists = self.keys.contains_key(key);
        let stored = self.entry(key).filter(|_| exists);
        match condition {
            Condition::Always => true,
            Condition::IfNewer => match (stored, mtime) {
                (Some(stored), Some(mtime)) => mtime.compare(stored) == Ordering::Greater,
                _ => true,
            },
            Condition::IfEqual(text) => {
                let wanted = Number::parse(text.as_bytes()).expect("a valid number");
                stored.is_some_and(|stored| stored.compare(wanted) == Ordering::Equal)
            }
            Condition::IfMissing => !exists,
            Condition::IfExists => exists,
        }
    }

    pub(crate) fn put(&mut self, key: &str, value: &[u8], mtime: Number) {
        self.keys.insert(key.to_owned(), Content::Text(value.to_vec()));
        self.index.insert(key.to_owned(), mtime.canonical().into_bytes());
    }

    /// MTTOUCH: the reply; an answer of 1 has set the mtime.
    pub(crate) fn mttouch(&mut self, key: &str, mtime: Number, condition: &Condition) -> Reply {
        match self.keys.get(key) {
            Some(Content::Other) => error(WRONG_TYPE),
            Some(Content::Text(_)) if self.allows(key, Some(mtime), condition) => {
                self.index.insert(key.to_owned(), mtime.canonical().into_bytes());
                int(1)
            }
            _ => int(0),
        }
    }

    /// MTDEL with an optional IFNEWER or IFEQ: the reply; an answer of 1 has removed key and entry.
    pub(crate) fn mtdel(&mut self, key: &str, newer: Option<Number>, condition: &Condition) -> Reply {
        match self.keys.get(key) {
            Some(Content::Other) => error(WRONG_TYPE),
            Some(Content::Text(_)) if self.allows(key, newer, condition) => {
                self.keys.remove(key);
                self.index.remove(key);
                int(1)
            }
            _ => int(0),
        }
    }
}

/// The model itself is an oracle only if its own numbers are right.
mod tests {
    use super::Number;
    use std::cmp::Ordering;

    fn number(text: &str) -> Number {
        Number::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text} is a number"))
    }

    #[test]
    fn numbers_are_ordered_exactly() {
        let ascending = [
            "-1e300",
            "-9223372036854775809",
            "-9223372036854775807",
            "-1.5",
            "-1",
            "-5e-324",
            "0",
            "5e-324",
            "0.1",
            "0.5",
            "1",
            "1.25",
            "9007199254740992",
            "9007199254740993",
            "9223372036854775807",
            "9223372036854775808",
            "1e300",
        ];
        for (i, left) in ascending.iter().enumerate() {
            for (j, right) in ascending.iter().enumerate() {
                assert_eq!(number(left).compare(number(right)), i.cmp(&j), "{left} against {right}");
            }
        }
        assert_eq!(number("-0.0").compare(number("0")), Ordering::Equal);
        assert_eq!(number("1e3").compare(number("1000.0")), Ordering::Equal);
    }

    #[test]
    fn canonical_texts() {
        for (text, canonical) in [
            ("007", "7"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("1e3", "1000"),
            ("1.0", "1"),
            ("1.50", "1.5"),
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "9223372036854775808"),
            ("1e300", "1e300"),
            ("1.5e-9", "1.5e-9"),
            ("1700000000.1233999729156494", "1700000000.1234"),
            ("1.7000000000000002e+18", "1700000000000000256"),
        ] {
            assert_eq!(number(text).canonical(), canonical, "{text}");
        }
    }

    #[test]
    fn texts_that_are_no_numbers() {
        for text in
            ["", " 1", "1 ", "+1", "0x10", "inf", "nan", "1e400", ".5", "1.", "1e", "1e+", "--1", "1.2.3"]
        {
            assert!(Number::parse(text.as_bytes()).is_none(), "{text}");
        }
        assert!(Number::parse("1".repeat(64).as_bytes()).is_some());
        assert!(Number::parse("1".repeat(65).as_bytes()).is_none());
    }
}
