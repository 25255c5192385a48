//! The decisions: is a value modified, may a write go ahead, what mtime does `*` stand for. Pure: knows no server.

use crate::mtime::Mtime;

/// When a value counts as modified for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// Its mtime is later than the reader's: If-Modified-Since, RFC 9110 section 13.1.3.
    Later,
    /// Its mtime differs from the reader's: `if_modified_since exact` of nginx. Survives clocks that go back.
    Exact,
}

/// What a reader is told about an existing value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Modified since; its mtime.
    Modified(Mtime),
    /// What the reader holds is current; its mtime.
    NotModified(Mtime),
    /// It has no mtime. In doubt the value is sent.
    Untracked,
}

/// Judges an existing value with the mtime `stored` for a reader that holds the state of `since`.
pub(crate) fn read(stored: Option<Mtime>, since: Mtime, comparison: Comparison) -> Freshness {
    let Some(mtime) = stored else { return Freshness::Untracked };
    let modified = match comparison {
        Comparison::Later => mtime > since,
        Comparison::Exact => mtime != since,
    };
    if modified { Freshness::Modified(mtime) } else { Freshness::NotModified(mtime) }
}

/// A key as a conditional write finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// There is no such key.
    Missing,
    /// It exists and has no mtime.
    Untracked,
    /// It exists and has this mtime.
    Tracked(Mtime),
}

/// The condition of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// None.
    Always,
    /// The mtime of the command is later than the stored one, or there is none: last writer wins, equal loses.
    IfNewer,
    /// The key exists and has this mtime. Never creates.
    IfEq(Mtime),
    /// The key is missing, as NX of SET.
    IfMissing,
    /// The key exists, as XX of SET.
    IfExists,
}

impl Condition {
    /// Whether a write with the mtime `new` may go ahead; `None` is the mtime after the latest possible, which nobody has.
    pub(crate) fn allows(self, state: State, new: Option<Mtime>) -> bool {
        match (self, state) {
            (Self::Always, _) => true,
            (Self::IfNewer, State::Tracked(stored)) => new.is_some_and(|new| new > stored),
            (Self::IfNewer, State::Missing | State::Untracked) => true,
            (Self::IfEq(expected), State::Tracked(stored)) => stored == expected,
            (Self::IfEq(_), State::Missing | State::Untracked) => false,
            (Self::IfMissing, state) => state == State::Missing,
            (Self::IfExists, state) => state != State::Missing,
        }
    }
}

/// What `*` stands for: the clock's time, but always later than the stored mtime, so that it never goes back even if
/// the clock does. `None` when no number is later.
pub(crate) fn assigned(clock: i64, state: State) -> Option<Mtime> {
    let clock = Mtime::from_i64(clock);
    match state {
        State::Missing | State::Untracked => Some(clock),
        State::Tracked(stored) => stored.successor().map(|next| next.max(clock)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(integer: i64) -> Mtime {
        Mtime::from_i64(integer)
    }

    #[test]
    fn equal_is_not_modified() {
        assert_eq!(read(Some(at(5)), at(4), Comparison::Later), Freshness::Modified(at(5)));
        assert_eq!(read(Some(at(5)), at(5), Comparison::Later), Freshness::NotModified(at(5)));
        assert_eq!(read(Some(at(5)), at(6), Comparison::Later), Freshness::NotModified(at(5)));
        assert_eq!(read(None, at(6), Comparison::Later), Freshness::Untracked);
    }

    #[test]
    fn exact_sees_a_clock_that_went_back() {
        assert_eq!(read(Some(at(5)), at(6), Comparison::Exact), Freshness::Modified(at(5)));
        assert_eq!(read(Some(at(5)), at(5), Comparison::Exact), Freshness::NotModified(at(5)));
        assert_eq!(read(None, at(5), Comparison::Exact), Freshness::Untracked);
    }

    #[test]
    fn conditions_follow_their_table() {
        use Condition::{Always, IfEq, IfExists, IfMissing, IfNewer};
        use State::{Missing, Tracked, Untracked};
        // condition, missing, untracked, stored below the new mtime, equal, above
        for (condition, expected) in [
            (Always, [true, true, true, true, true]),
            (IfNewer, [true, true, true, false, false]),
            (IfEq(at(4)), [false, false, true, false, false]),
            (IfMissing, [true, false, false, false, false]),
            (IfExists, [false, true, true, true, true]),
        ] {
            let states = [Missing, Untracked, Tracked(at(4)), Tracked(at(5)), Tracked(at(6))];
            assert_eq!(states.map(|state| condition.allows(state, Some(at(5)))), expected, "{condition:?}");
        }
    }

    #[test]
    fn the_assigned_mtime_never_goes_back() {
        assert_eq!(assigned(100, State::Missing), Some(at(100)));
        assert_eq!(assigned(100, State::Untracked), Some(at(100)));
        assert_eq!(assigned(100, State::Tracked(at(50))), Some(at(100)));
        assert_eq!(assigned(100, State::Tracked(at(100))), Some(at(101)));
        assert_eq!(assigned(100, State::Tracked(at(500))), Some(at(501)));
        let fraction = Mtime::parse(b"500.5").unwrap();
        assert_eq!(assigned(100, State::Tracked(fraction)), Mtime::parse(b"501.5"));
        let largest = Mtime::parse(b"1.7976931348623157e308").unwrap();
        assert_eq!(assigned(100, State::Tracked(largest)), None);
    }
}
