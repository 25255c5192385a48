//! Bytes to typed requests, and every error that the arguments alone can cause. Pure: knows no server.
//!
//! Options are case-insensitive and come in any order; a repeated or contradictory option is a syntax error.

use crate::errors::Refusal;
use crate::freshness::{Comparison, Condition};
use crate::mtime::Mtime;

/// The shape of a read's reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The value or null, as the seed's script.
    Value,
    /// `[mtime, value]`, which tells missing, untracked and not modified apart.
    WithMtime,
}

/// `MTGET key since [EXACT] [WITHMTIME]`, without the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Get {
    pub(crate) since: Mtime,
    pub(crate) comparison: Comparison,
    pub(crate) shape: Shape,
}

/// The mtime that a write gives a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewMtime {
    /// This one.
    Given(Mtime),
    /// `*`: one that the server assigns.
    Assigned,
}

/// What a write does to the TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// Drops it, as SET does.
    Drop,
    /// Leaves it.
    Keep,
    /// Sets it: the amount as given, positive or not.
    Set { amount: i64, unit: TimeUnit, from: Origin },
}

/// The unit of a TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeUnit {
    Seconds,
    Milliseconds,
}

/// What a TTL counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Now,
    Epoch,
}

impl Expiry {
    /// The moment of expiry in milliseconds of Unix time, by the arithmetic of SET (`getExpireMillisecondsOrReply`):
    /// an amount that is not positive, or overflows, is refused; a moment in the past is not. The clock is read only for
    /// what counts from now: that takes longer than everything else here.
    pub(crate) fn deadline(self, now_ms: impl FnOnce() -> i64) -> Result<Option<i64>, Refusal> {
        let Self::Set { amount, unit, from } = self else { return Ok(None) };
        let in_ms = match unit {
            TimeUnit::Seconds => amount.checked_mul(1000),
            TimeUnit::Milliseconds => Some(amount),
        };
        let deadline = match from {
            Origin::Now => in_ms.and_then(|in_ms| in_ms.checked_add(now_ms())),
            Origin::Epoch => in_ms,
        };
        match deadline {
            Some(deadline) if amount > 0 => Ok(Some(deadline)),
            _ => Err(Refusal::EXPIRE_TIME),
        }
    }
}

/// `MTSET key value mtime [IFNEWER | IFEQ m | NX | XX] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`, without key and
/// value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) mtime: NewMtime,
    pub(crate) condition: Condition,
    pub(crate) expiry: Expiry,
}

/// `MTTOUCH key mtime [IFNEWER | IFEQ m]`, without the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Touch {
    pub(crate) mtime: Mtime,
    pub(crate) condition: Condition,
}

/// The condition of `MTDEL key [IFNEWER m | IFEQ m]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delete {
    /// None.
    Always,
    /// The stored mtime is below this one, or there is none: "everything older is invalid".
    IfNewer(Mtime),
    /// The stored mtime is this one.
    IfEq(Mtime),
}

/// `MTCLEAN cursor [COUNT n]`, `MTIMPORT cursor [COUNT n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Where to go on; 0 to begin.
    pub(crate) cursor: u64,
    /// About how many entries to look at.
    pub(crate) count: u32,
}

/// Parses what follows the key of MTGET.
pub(crate) fn get<'a>(mut arguments: impl Iterator<Item = &'a [u8]>) -> Result<Get, Refusal> {
    let since = arguments.next().ok_or(Refusal::WrongArity)?;
    let since = Mtime::parse(since).ok_or(Refusal::SINCE)?;
    let (mut comparison, mut shape) = (None, None);
    for option in arguments {
        if option.eq_ignore_ascii_case(b"WITHMTIME") {
            once(&mut shape, Shape::WithMtime)?;
        } else if option.eq_ignore_ascii_case(b"EXACT") {
            once(&mut comparison, Comparison::Exact)?;
        } else {
            return Err(Refusal::SYNTAX);
        }
    }
    Ok(Get {
        since,
        comparison: comparison.unwrap_or(Comparison::Later),
        shape: shape.unwrap_or(Shape::Value),
    })
}

/// Parses what follows key and value of MTSET.
pub(crate) fn set<'a>(mut arguments: impl Iterator<Item = &'a [u8]>) -> Result<Set, Refusal> {
    let mtime = match arguments.next().ok_or(Refusal::WrongArity)? {
        b"*" => NewMtime::Assigned,
        text => NewMtime::Given(Mtime::parse(text).ok_or(Refusal::MTIME)?),
    };
    let (mut condition, mut ttl) = (None, None);
    // As SET: first the syntax of all options, then the amount of the TTL.
    while let Some(option) = arguments.next() {
        if let Some(parsed) = mtime_condition(option, &mut arguments)? {
            once(&mut condition, parsed)?;
        } else if option.eq_ignore_ascii_case(b"NX") {
            once(&mut condition, Condition::IfMissing)?;
        } else if option.eq_ignore_ascii_case(b"XX") {
            once(&mut condition, Condition::IfExists)?;
        } else {
            once(&mut ttl, ttl_option(option, &mut arguments)?)?;
        }
    }
    let expiry = match ttl {
        None => Expiry::Drop,
        Some(Ttl::Keep) => Expiry::Keep,
        Some(Ttl::Set { amount, unit, from }) => {
            Expiry::Set { amount: strict_integer(amount).ok_or(Refusal::INTEGER)?, unit, from }
        }
    };
    Ok(Set { mtime, condition: condition.unwrap_or(Condition::Always), expiry })
}

/// Parses what follows the key of MTTOUCH.
pub(crate) fn touch<'a>(mut arguments: impl Iterator<Item = &'a [u8]>) -> Result<Touch, Refusal> {
    let mtime = arguments.next().ok_or(Refusal::WrongArity)?;
    let mtime = Mtime::parse(mtime).ok_or(Refusal::MTIME)?;
    let mut condition = None;
    while let Some(option) = arguments.next() {
        let parsed = mtime_condition(option, &mut arguments)?.ok_or(Refusal::SYNTAX)?;
        once(&mut condition, parsed)?;
    }
    Ok(Touch { mtime, condition: condition.unwrap_or(Condition::Always) })
}

/// Parses what follows the key of MTDEL.
pub(crate) fn delete<'a>(mut arguments: impl Iterator<Item = &'a [u8]>) -> Result<Delete, Refusal> {
    let mut condition = None;
    while let Some(option) = arguments.next() {
        let make = if option.eq_ignore_ascii_case(b"IFNEWER") {
            Delete::IfNewer
        } else if option.eq_ignore_ascii_case(b"IFEQ") {
            Delete::IfEq
        } else {
            return Err(Refusal::SYNTAX);
        };
        once(&mut condition, make(option_mtime(&mut arguments)?))?;
    }
    Ok(condition.unwrap_or(Delete::Always))
}

/// Parses the arguments of MTCLEAN and MTIMPORT.
pub(crate) fn step<'a>(mut arguments: impl Iterator<Item = &'a [u8]>) -> Result<Step, Refusal> {
    let cursor = arguments.next().ok_or(Refusal::WrongArity)?;
    // Rust's parser takes a `+` too.
    let cursor = if cursor.iter().all(u8::is_ascii_digit) { cursor } else { b"" };
    let cursor =
        std::str::from_utf8(cursor).ok().and_then(|text| text.parse().ok()).ok_or(Refusal::CURSOR)?;
    let mut count = None;
    while let Some(option) = arguments.next() {
        if !option.eq_ignore_ascii_case(b"COUNT") {
            return Err(Refusal::SYNTAX);
        }
        let amount = strict_integer(arguments.next().ok_or(Refusal::SYNTAX)?).ok_or(Refusal::INTEGER)?;
        // As SCAN: less than 1 is a syntax error. More than u32 would not be a step any more.
        let amount =
            if amount < 1 { Err(Refusal::SYNTAX) } else { u32::try_from(amount).or(Err(Refusal::INTEGER)) };
        once(&mut count, amount?)?;
    }
    Ok(Step { cursor, count: count.unwrap_or(10) })
}

/// A TTL option whose amount is not looked at yet.
enum Ttl<'a> {
    Keep,
    Set { amount: &'a [u8], unit: TimeUnit, from: Origin },
}

fn ttl_option<'a>(option: &[u8], arguments: &mut impl Iterator<Item = &'a [u8]>) -> Result<Ttl<'a>, Refusal> {
    let (unit, from) = if option.eq_ignore_ascii_case(b"EX") {
        (TimeUnit::Seconds, Origin::Now)
    } else if option.eq_ignore_ascii_case(b"PX") {
        (TimeUnit::Milliseconds, Origin::Now)
    } else if option.eq_ignore_ascii_case(b"EXAT") {
        (TimeUnit::Seconds, Origin::Epoch)
    } else if option.eq_ignore_ascii_case(b"PXAT") {
        (TimeUnit::Milliseconds, Origin::Epoch)
    } else if option.eq_ignore_ascii_case(b"KEEPTTL") {
        return Ok(Ttl::Keep);
    } else {
        return Err(Refusal::SYNTAX);
    };
    Ok(Ttl::Set { amount: arguments.next().ok_or(Refusal::SYNTAX)?, unit, from })
}

/// `IFNEWER` or `IFEQ m`; `None` for any other word.
fn mtime_condition<'a>(
    option: &[u8],
    arguments: &mut impl Iterator<Item = &'a [u8]>,
) -> Result<Option<Condition>, Refusal> {
    if option.eq_ignore_ascii_case(b"IFNEWER") {
        Ok(Some(Condition::IfNewer))
    } else if option.eq_ignore_ascii_case(b"IFEQ") {
        option_mtime(arguments).map(|mtime| Some(Condition::IfEq(mtime)))
    } else {
        Ok(None)
    }
}

fn option_mtime<'a>(arguments: &mut impl Iterator<Item = &'a [u8]>) -> Result<Mtime, Refusal> {
    Mtime::parse(arguments.next().ok_or(Refusal::SYNTAX)?).ok_or(Refusal::MTIME)
}

/// Fills a slot of an option; a second time is a syntax error.
fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Refusal> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::SYNTAX),
    }
}

/// An integer as the server's own commands take it (`string2ll`): no blanks, no `+`, no leading zeros, no `-0`.
fn strict_integer(text: &[u8]) -> Option<i64> {
    let canonical = match text {
        b"0" => true,
        [b'-', digits @ ..] => matches!(digits.first(), Some(b'1'..=b'9')),
        digits => matches!(digits.first(), Some(b'1'..=b'9')),
    };
    if !canonical {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &str) -> impl Iterator<Item = &[u8]> {
        line.split_whitespace().map(str::as_bytes)
    }

    fn at(integer: i64) -> Mtime {
        Mtime::from_i64(integer)
    }

    #[test]
    fn get_takes_its_options_in_any_order_and_case() {
        for line in ["5 EXACT WITHMTIME", "5 withmtime exact", "5 WithMtime ExAcT"] {
            assert_eq!(
                get(words(line)),
                Ok(Get { since: at(5), comparison: Comparison::Exact, shape: Shape::WithMtime }),
                "{line}"
            );
        }
        assert_eq!(
            get(words("5")),
            Ok(Get { since: at(5), comparison: Comparison::Later, shape: Shape::Value })
        );
    }

    #[test]
    fn get_refuses_what_it_does_not_know() {
        for (line, refusal) in [
            ("", Refusal::WrongArity),
            ("x", Refusal::SINCE),
            ("*", Refusal::SINCE),
            ("5 EXACT EXACT", Refusal::SYNTAX),
            ("5 WITHMTIME EXACT WITHMTIME", Refusal::SYNTAX),
            ("5 EX", Refusal::SYNTAX),
            ("5 NX", Refusal::SYNTAX),
        ] {
            assert_eq!(get(words(line)), Err(refusal), "{line}");
        }
    }

    #[test]
    fn set_takes_one_condition_and_one_ttl_in_any_order() {
        let ttl = Expiry::Set { amount: 10, unit: TimeUnit::Seconds, from: Origin::Now };
        for line in ["5 IFEQ 4 EX 10", "5 ex 10 ifeq 4"] {
            let expected =
                Set { mtime: NewMtime::Given(at(5)), condition: Condition::IfEq(at(4)), expiry: ttl };
            assert_eq!(set(words(line)), Ok(expected), "{line}");
        }
        assert_eq!(
            set(words("* KEEPTTL XX")),
            Ok(Set { mtime: NewMtime::Assigned, condition: Condition::IfExists, expiry: Expiry::Keep })
        );
    }

    #[test]
    fn set_refuses_contradictions_and_bad_numbers() {
        for (line, refusal) in [
            ("", Refusal::WrongArity),
            ("x", Refusal::MTIME),
            ("**", Refusal::MTIME),
            ("5 NX XX", Refusal::SYNTAX),
            ("5 NX NX", Refusal::SYNTAX),
            ("5 IFNEWER NX", Refusal::SYNTAX),
            ("5 IFEQ", Refusal::SYNTAX),
            ("5 IFEQ x", Refusal::MTIME),
            ("5 IFEQ *", Refusal::MTIME),
            ("5 EX", Refusal::SYNTAX),
            ("5 EX 10 PX 10", Refusal::SYNTAX),
            ("5 EX 10 KEEPTTL", Refusal::SYNTAX),
            ("5 KEEPTTL KEEPTTL", Refusal::SYNTAX),
            ("5 EX ten", Refusal::INTEGER),
            ("5 EX 010", Refusal::INTEGER),
            ("5 EX +10", Refusal::INTEGER),
            ("5 EX 9223372036854775808", Refusal::INTEGER),
            ("5 EX ten NX NX", Refusal::SYNTAX),
            ("5 GET", Refusal::SYNTAX),
            ("5 EXACT", Refusal::SYNTAX),
        ] {
            assert_eq!(set(words(line)), Err(refusal), "{line}");
        }
    }

    #[test]
    fn a_deadline_is_reckoned_as_set_does() {
        let ttl = |amount, unit, from| Expiry::Set { amount, unit, from }.deadline(|| 1_000_000);
        use Origin::{Epoch, Now};
        use TimeUnit::{Milliseconds, Seconds};
        assert_eq!(Expiry::Keep.deadline(|| 1), Ok(None));
        assert_eq!(ttl(10, Seconds, Now), Ok(Some(1_010_000)));
        assert_eq!(ttl(10, Milliseconds, Now), Ok(Some(1_000_010)));
        assert_eq!(ttl(10, Seconds, Epoch), Ok(Some(10_000)));
        assert_eq!(ttl(10, Milliseconds, Epoch), Ok(Some(10)));
        for (amount, unit, from) in [
            (0, Seconds, Now),
            (-1, Milliseconds, Epoch),
            (i64::MIN, Seconds, Now),
            (i64::MAX, Seconds, Epoch),
            (i64::MAX, Milliseconds, Now),
            (i64::MAX / 1000, Seconds, Now),
        ] {
            assert_eq!(ttl(amount, unit, from), Err(Refusal::EXPIRE_TIME), "{amount} {unit:?} {from:?}");
        }
    }

    #[test]
    fn touch_and_delete_take_one_condition() {
        assert_eq!(touch(words("5 IFEQ 4")), Ok(Touch { mtime: at(5), condition: Condition::IfEq(at(4)) }));
        assert_eq!(touch(words("5 NX")), Err(Refusal::SYNTAX));
        assert_eq!(touch(words("*")), Err(Refusal::MTIME));
        assert_eq!(touch(words("5 IFNEWER IFEQ 4")), Err(Refusal::SYNTAX));
        assert_eq!(delete(words("")), Ok(Delete::Always));
        assert_eq!(delete(words("ifnewer 4")), Ok(Delete::IfNewer(at(4))));
        assert_eq!(delete(words("IFEQ 4")), Ok(Delete::IfEq(at(4))));
        assert_eq!(delete(words("IFNEWER")), Err(Refusal::SYNTAX));
        assert_eq!(delete(words("IFNEWER x")), Err(Refusal::MTIME));
        assert_eq!(delete(words("IFEQ 4 IFEQ 4")), Err(Refusal::SYNTAX));
        assert_eq!(delete(words("4")), Err(Refusal::SYNTAX));
    }

    #[test]
    fn clean_takes_a_cursor_and_a_count() {
        assert_eq!(step(words("0")), Ok(Step { cursor: 0, count: 10 }));
        assert_eq!(step(words("17 count 100")), Ok(Step { cursor: 17, count: 100 }));
        for (line, refusal) in [
            ("", Refusal::WrongArity),
            ("-1", Refusal::CURSOR),
            ("+0", Refusal::CURSOR),
            ("18446744073709551616", Refusal::CURSOR),
            ("x", Refusal::CURSOR),
            ("0 COUNT", Refusal::SYNTAX),
            ("0 COUNT 0", Refusal::SYNTAX),
            ("0 COUNT x", Refusal::INTEGER),
            ("0 COUNT 9999999999", Refusal::INTEGER),
            ("0 COUNT 1 COUNT 1", Refusal::SYNTAX),
            ("0 MATCH x", Refusal::SYNTAX),
        ] {
            assert_eq!(step(words(line)), Err(refusal), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(arguments in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..70),
                "(?i)(EX|PX|EXAT|PXAT|KEEPTTL|NX|XX|IFNEWER|IFEQ|EXACT|WITHMTIME|COUNT|\\*|-?[0-9]{1,20})"
                    .prop_map(String::into_bytes),
            ],
            0..8,
        )) {
            let arguments = || arguments.iter().map(Vec::as_slice);
            let _ = get(arguments());
            if let Ok(set) = set(arguments()) {
                let _ = set.expiry.deadline(|| 1_700_000_000_000);
            }
            let _ = touch(arguments());
            let _ = delete(arguments());
            let _ = step(arguments());
        }
    }
}
