//! The modification time: a decimal number in whatever unit the application uses. Parses, compares and prints it.
//!
//! Pure: knows no server. The grammar is `[-]digits[.digits][(e|E)[+-]digits]`, at most 64 bytes (SPEC section 2).
//! Integers in the i64 range are exact, because nanoseconds and snowflake ids are beyond the 2^53 where an f64 stops
//! counting. Everything else is a finite f64.

use std::cmp::Ordering;
use std::fmt::{self, Write as _};

/// The longest text that can be an mtime, in bytes.
pub(crate) const MAX_TEXT: usize = 64;

/// So many digits are always in the i64 range.
const SAFE_DIGITS: usize = 18;

/// 2^63 as f64: the first value above the i64 range. Exact, being a power of two.
const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;

/// A modification time. Totally ordered; integer and fraction compare exactly, without rounding either.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mtime(Number);

/// `Fraction` holds what `Integer` cannot: fractions, and magnitudes beyond i64. Always finite. That makes the
/// representation unique: equal mtimes are the same variant with the same content.
#[derive(Clone, Copy, Debug)]
enum Number {
    Integer(i64),
    Fraction(f64),
}

impl Mtime {
    /// An integer mtime.
    pub(crate) const fn from_i64(integer: i64) -> Self {
        Self(Number::Integer(integer))
    }

    /// Reads a number of the grammar above. `None` for anything else: blanks, hex, `inf`, `nan`, a sign alone, a
    /// literal beyond the f64 range, more than 64 bytes. O(n) with n <= 64.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > MAX_TEXT {
            return None;
        }
        match parse_integer(text) {
            Literal::Integer(integer) => Some(Self::from_i64(integer)),
            Literal::NoInteger => parse_fraction(text),
        }
    }

    /// The canonical text: integers plain, fractions in the shortest form that reads back the same.
    /// Given to `take` rather than returned: it lives on the stack, because the read path allocates nothing.
    pub(crate) fn with_text<R>(self, take: impl FnOnce(&[u8]) -> R) -> R {
        match self.0 {
            Number::Integer(integer) => take(itoa::Buffer::new().format(integer).as_bytes()),
            Number::Fraction(fraction) => take(Text::of(fraction).as_bytes()),
        }
    }

    /// Whether `text`, which this mtime was parsed from, is its canonical text.
    pub(crate) fn is_canonical(self, text: &[u8]) -> bool {
        match self.0 {
            // Printing it to compare would take five times as long. Only the least may be rounded, from below the range.
            Number::Integer(integer) if integer > i64::MIN => is_plain_integer(text),
            _ => self.with_text(|canonical| canonical == text),
        }
    }

    /// This mtime and one; the next number above where one is lost in rounding. `None` past the f64 range.
    pub(crate) fn successor(self) -> Option<Self> {
        let next = match self.0 {
            Number::Integer(integer) => match integer.checked_add(1) {
                Some(next) => return Some(Self::from_i64(next)),
                None => TWO_POW_63,
            },
            Number::Fraction(fraction) => (fraction + 1.0).max(fraction.next_up()),
        };
        Self::from_f64(next)
    }

    /// The number in 64 bits, and whether they are a fraction's: for who has to keep many.
    pub(crate) const fn to_bits(self) -> (u64, bool) {
        match self.0 {
            Number::Integer(integer) => (integer.cast_unsigned(), false),
            Number::Fraction(fraction) => (fraction.to_bits(), true),
        }
    }

    /// The number that [`Self::to_bits`] has taken apart.
    pub(crate) const fn from_bits((bits, is_fraction): (u64, bool)) -> Self {
        Self(if is_fraction {
            Number::Fraction(f64::from_bits(bits))
        } else {
            Number::Integer(bits.cast_signed())
        })
    }

    /// The mtime of this value, be it an integer; `None` for what is not finite.
    pub(crate) fn from_f64(value: f64) -> Option<Self> {
        let is_integer = value.fract() == 0.0 && (-TWO_POW_63..TWO_POW_63).contains(&value);
        let number = if is_integer { Number::Integer(truncate(value)) } else { Number::Fraction(value) };
        value.is_finite().then_some(Self(number))
    }
}

impl Ord for Mtime {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.0, other.0) {
            (Number::Integer(a), Number::Integer(b)) => a.cmp(&b),
            (Number::Integer(a), Number::Fraction(b)) => compare_mixed(a, b),
            (Number::Fraction(a), Number::Integer(b)) => compare_mixed(b, a).reverse(),
            // Finite and never zero, so the total order is the numeric one.
            (Number::Fraction(a), Number::Fraction(b)) => a.total_cmp(&b),
        }
    }
}

impl PartialOrd for Mtime {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Mtime {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Mtime {}

/// A fraction as text.
struct Text {
    bytes: [u8; MAX_TEXT],
    length: usize,
}

impl Text {
    fn of(fraction: f64) -> Self {
        let mut text = Self { bytes: [0; MAX_TEXT], length: 0 };
        // Cannot fail: the longest output is 25 bytes.
        let _ = match fraction.abs() {
            TWO_POW_63..1e21 => write!(text, "{fraction:.0}"),
            1e-7..1e21 => write!(text, "{fraction}"),
            _ => write!(text, "{fraction:e}"),
        };
        text
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let end = self.length.checked_add(part.len()).ok_or(fmt::Error)?;
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(part.as_bytes());
        self.length = end;
        Ok(())
    }
}

enum Literal {
    Integer(i64),
    NoInteger,
}

/// The fast path: `[-]digits` in the i64 range. Anything else, also what is no number at all, is `NoInteger`.
fn parse_integer(text: &[u8]) -> Literal {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return Literal::NoInteger;
    }
    if digits.len() <= SAFE_DIGITS {
        let mut value: i64 = 0;
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return Literal::NoInteger;
            }
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
        }
        return Literal::Integer(if negative { value.wrapping_neg() } else { value });
    }
    // Counting down, because the i64 range reaches one further below zero than above.
    let mut value: i64 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Literal::NoInteger;
        }
        let Some(next) = value.checked_mul(10).and_then(|value| value.checked_sub(i64::from(digit))) else {
            return Literal::NoInteger;
        };
        value = next;
    }
    let value = if negative { Some(value) } else { value.checked_neg() };
    value.map_or(Literal::NoInteger, Literal::Integer)
}

/// Whether a number is written as an integer, and without a needless zero or sign.
fn is_plain_integer(text: &[u8]) -> bool {
    match text.strip_prefix(b"-").unwrap_or(text) {
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => text == b"0",
    }
}

fn parse_fraction(text: &[u8]) -> Option<Mtime> {
    // Rust's own parser takes more than the grammar (`inf`, `+1`, `.5`, `1.`), so the grammar is checked first.
    if !is_decimal_literal(text) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok().and_then(Mtime::from_f64)
}

/// Whether `text` is `[-]digits[.digits][(e|E)[+-]digits]`.
fn is_decimal_literal(text: &[u8]) -> bool {
    let rest = text.strip_prefix(b"-").unwrap_or(text);
    let Some(mut rest) = skip_digits(rest) else { return false };
    if let Some(fraction) = rest.strip_prefix(b".") {
        let Some(after) = skip_digits(fraction) else { return false };
        rest = after;
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', digits @ ..] => digits,
            digits => digits,
        };
        let Some(after) = skip_digits(exponent) else { return false };
        rest = after;
    }
    rest.is_empty()
}

/// What follows the digits at the head of `text`; `None` if there is none.
fn skip_digits(text: &[u8]) -> Option<&[u8]> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 { None } else { text.get(count..) }
}

/// The integer part of a float in the i64 range.
#[expect(clippy::cast_possible_truncation, reason = "saturates outside the range, which the callers exclude")]
fn truncate(value: f64) -> i64 {
    value as i64
}

/// Compares without rounding the integer to 53 bits: first the integer part, then what is left of the fraction.
fn compare_mixed(integer: i64, fraction: f64) -> Ordering {
    if fraction >= TWO_POW_63 {
        return Ordering::Less;
    }
    if fraction < -TWO_POW_63 {
        return Ordering::Greater;
    }
    // In the i64 range a float has an exact integer part, and truncation is exact.
    integer.cmp(&truncate(fraction)).then_with(|| {
        let rest = fraction.fract();
        if rest > 0.0 {
            Ordering::Less
        } else if rest < 0.0 {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    })
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a panic in a test is a failure, not a crash")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mtime(text: &str) -> Mtime {
        Mtime::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text} is a number"))
    }

    fn canonical(text: &str) -> String {
        mtime(text).with_text(|text| String::from_utf8(text.to_vec()).unwrap())
    }

    #[test]
    fn integers_in_the_i64_range_are_exact() {
        for text in ["0", "1", "-1", "9223372036854775807", "-9223372036854775808", "9007199254740993"] {
            assert_eq!(canonical(text), text);
        }
        assert!(mtime("9007199254740993") > mtime("9007199254740992"));
        assert!(mtime("9223372036854775807") > mtime("9223372036854775806"));
    }

    #[test]
    fn other_spellings_get_the_canonical_text() {
        for (text, expected) in [
            ("007", "7"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("1.50", "1.5"),
            ("1.0", "1"),
            ("1e3", "1000"),
            ("1E+3", "1000"),
            ("15e-1", "1.5"),
            ("1e300", "1e300"),
            ("1.5e-9", "1.5e-9"),
            ("1700000000.1233999729156494", "1700000000.1234"),
            ("1.7000000000000002e+18", "1700000000000000256"),
            ("9223372036854775808", "9223372036854775808"),
            ("9223372036854775809", "9223372036854775808"),
            ("-1e20", "-100000000000000000000"),
            ("1e21", "1e21"),
        ] {
            assert_eq!(canonical(text), expected, "{text}");
        }
    }

    #[test]
    fn everything_outside_the_grammar_is_refused() {
        for text in [
            "", " ", "-", "+1", " 1", "1 ", "1.", ".5", "1e", "1e+", "e1", "0x10", "inf", "-inf", "nan",
            "NaN", "1e400", "-1e400", "1_000", "1,5", "--1", "1-1", "1e1.5", "1\0", "infinity", "٣",
        ] {
            assert!(Mtime::parse(text.as_bytes()).is_none(), "{text:?}");
        }
        assert!(Mtime::parse(b"\xff").is_none());
        assert!(Mtime::parse(&[b'1'; MAX_TEXT]).is_some());
        assert!(Mtime::parse(&[b'1'; MAX_TEXT + 1]).is_none());
    }

    #[test]
    fn integer_against_fraction_compares_exactly() {
        // As f64 both sides of each pair would be equal.
        assert!(mtime("9007199254740993") > mtime("9007199254740992.0"));
        assert!(mtime("9223372036854775807") < mtime("9223372036854775808"));
        assert!(mtime("-9223372036854775808") > mtime("-9223372036854777856"));
        assert!(mtime("1") < mtime("1.5"));
        assert!(mtime("-1") > mtime("-1.5"));
        assert!(mtime("0") > mtime("-0.5"));
        assert!(mtime("0") < mtime("1e-300"));
        assert_eq!(mtime("2"), mtime("2.0"));
    }

    #[test]
    fn the_successor_is_one_more_where_one_counts() {
        for (text, expected) in [
            ("1", "2"),
            ("-1", "0"),
            ("1.5", "2.5"),
            ("-0.5", "0.5"),
            ("9223372036854775807", "9223372036854775808"),
            ("9223372036854775808", "9223372036854777856"),
            ("1e300", "1.0000000000000002e300"),
        ] {
            assert_eq!(mtime(text).successor(), Some(mtime(expected)), "{text}");
        }
        assert_eq!(mtime("1.7976931348623157e308").successor(), None);
    }

    #[test]
    fn a_rounded_integer_is_not_canonical() {
        assert!(mtime("-9223372036854775808").is_canonical(b"-9223372036854775808"));
        assert!(!mtime("-9223372036854775809").is_canonical(b"-9223372036854775809"));
        assert!(!mtime("9223372036854775809").is_canonical(b"9223372036854775809"));
    }

    /// A literal of the grammar, biased towards the places where integers and floats meet.
    fn literal() -> impl Strategy<Value = String> {
        let near_power = (0u32..64, -3i128..=3, any::<bool>()).prop_map(|(power, offset, negative)| {
            let value = (1i128 << power) + offset;
            (if negative { -value } else { value }).to_string()
        });
        prop_oneof![
            any::<i64>().prop_map(|integer| integer.to_string()),
            near_power.clone(),
            (near_power, "[0-9]{1,6}").prop_map(|(integer, fraction)| format!("{integer}.{fraction}")),
            "-?[0-9]{1,19}(\\.[0-9]{1,10})?([eE][+-]?[0-9]{1,2})?",
        ]
    }

    /// An independent order: the literal as an exact decimal, sign, digits and exponent, compared digit by digit,
    /// after the rounding to f64 that the specification wants for everything but i64 integers.
    fn exact(text: &str) -> (i128, u64) {
        if let Ok(integer) = text.parse::<i64>() {
            return (i128::from(integer), 0);
        }
        // Every f64 is an integer part and a fraction with at most 1074 bits; literals here are small enough for
        // i128 and the top 64 bits of the fraction.
        let value: f64 = text.parse().unwrap();
        let floor = value.floor();
        let scaled = (value - floor) * 18_446_744_073_709_551_616.0;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (floor.clamp(-1e37, 1e37) as i128, scaled as u64)
    }

    proptest! {
        #[test]
        fn canonical_text_reads_back_the_same(text in literal()) {
            let number = mtime(&text);
            let printed = canonical(&text);
            prop_assert_eq!(mtime(&printed), number);
            prop_assert_eq!(canonical(&printed), printed.clone());
            prop_assert_eq!(number.is_canonical(text.as_bytes()), printed == text);
            prop_assert!(number.is_canonical(printed.as_bytes()));
        }

        #[test]
        fn its_bits_are_the_same_number(text in literal()) {
            prop_assert_eq!(Mtime::from_bits(mtime(&text).to_bits()), mtime(&text));
        }

        #[test]
        fn order_agrees_with_exact_arithmetic(
            a in "-?[0-9]{1,19}(\\.[0-9]{1,3})?", b in "-?[0-9]{1,19}(\\.[0-9]{1,3})?"
        ) {
            prop_assert_eq!(mtime(&a).cmp(&mtime(&b)), exact(&a).cmp(&exact(&b)), "{} {}", a, b);
        }

        #[test]
        fn order_is_exact_around_powers_of_two(a in literal(), b in literal()) {
            let (x, y) = (mtime(&a), mtime(&b));
            prop_assert_eq!(x.cmp(&y), y.cmp(&x).reverse());
            if let (Ok(i), Ok(j)) = (a.parse::<i64>(), b.parse::<i64>()) {
                prop_assert_eq!(x.cmp(&y), i.cmp(&j));
            }
        }

        #[test]
        fn order_is_transitive(a in literal(), b in literal(), c in literal()) {
            let mut sorted = [mtime(&a), mtime(&b), mtime(&c)];
            sorted.sort();
            prop_assert!(sorted[0] <= sorted[1] && sorted[1] <= sorted[2] && sorted[0] <= sorted[2]);
        }

        #[test]
        fn floats_agree_with_f64(a in any::<f64>(), b in any::<f64>()) {
            prop_assume!(a.is_finite() && b.is_finite());
            let (x, y) = (mtime(&format!("{a:e}")), mtime(&format!("{b:e}")));
            prop_assert_eq!(x.partial_cmp(&y), a.partial_cmp(&b));
        }

        /// What a Lua script stores: `%.17g` (17 significant digits, exponent of at least two digits).
        #[test]
        fn lua_text_parses_to_the_same_float(value in any::<f64>()) {
            prop_assume!(value.is_finite());
            let (mantissa, exponent) = format!("{value:.16e}").split_once('e')
                .map(|(mantissa, exponent)| (mantissa.to_owned(), exponent.parse::<i32>().unwrap())).unwrap();
            let lua = format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
            prop_assert_eq!(mtime(&lua), mtime(&format!("{value:e}")));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(number) = Mtime::parse(&bytes) {
                prop_assert_eq!(number.with_text(Mtime::parse), Some(number));
            }
        }

        #[test]
        fn the_successor_is_later(text in literal()) {
            let number = mtime(&text);
            prop_assert!(number.successor().is_some_and(|next| next > number));
        }
    }
}
