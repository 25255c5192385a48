//! A step through all entries of the indexes, as SCAN goes: for commands that are about no key in particular.

use crate::args::Step;
use crate::errors::Refusal;
use crate::index::{self, Home};
use crate::server::call_reply::ScanStep;
use crate::server::command::{Argument, Kind};
use crate::server::context::{self, Lookup};
use crate::server::{Context, KeyType, Str};
use crate::slots::Slot;

/// What such a command takes, as COMMAND DOCS shows it.
pub(super) const ARGUMENTS: &[Argument] = &[
    Argument::new(c"cursor", Kind::Integer),
    Argument::new(c"count", Kind::Integer).after(c"COUNT").optional(),
];

/// Makes a step: gives entries with their index to `visit`, which says whether it has written. Answers the cursor to go on
/// with, `0` at the end.
///
/// The user must be allowed to read and delete in the index: the server has checked no key, because none is an argument.
/// `in_unit` is the refusal in a transaction or a script of a cluster.
pub(super) fn step(
    ctx: &Context,
    request: Step,
    in_unit: Refusal,
    mut visit: impl FnMut(Home, Str<'_>, &[u8]) -> bool,
) -> Result<String, Refusal> {
    if context::is_cluster() {
        // There the server would look for the keys of all slots in the one of the transaction.
        if ctx.is_in_unit() {
            return Err(in_unit);
        }
        step_over_slots(ctx, request, visit)
    } else {
        step_over_one(ctx, request, &mut visit)
    }
}

/// A step through the one index of the database.
fn step_over_one(
    ctx: &Context,
    request: Step,
    visit: &mut impl FnMut(Home, Str<'_>, &[u8]) -> bool,
) -> Result<String, Refusal> {
    let home = Home::first();
    check_permission(ctx, home)?;
    // Refused before anything else if the index is no hash.
    drop(index::Writer::open(ctx, home)?);
    let step = ctx.hscan(home.name(ctx), request.cursor, request.count);
    visit_all(home, &step, visit);
    Ok(step.next_cursor().to_owned())
}

/// A step through the indexes of the slots of this node. The cursor is the slot in its low bits, and above them the
/// position in its index, as SCAN has it.
///
/// Ends at the end of a slot in which something was written, so that one call never writes to two slots: a slot migration
/// may follow the stream.
fn step_over_slots(
    ctx: &Context,
    request: Step,
    mut visit: impl FnMut(Home, Str<'_>, &[u8]) -> bool,
) -> Result<String, Refusal> {
    /// How many slots one call looks at, most of which may be empty: a fraction of a millisecond.
    const SLOTS_A_CALL: usize = 2048;
    let mut home = slot_of_cursor(request.cursor).map(Home::of_slot).ok_or(Refusal::CURSOR)?;
    let mut position = request.cursor >> SLOT_BITS;
    check_permission(ctx, home)?;
    let mut examined: usize = 0;
    for _ in 0..SLOTS_A_CALL {
        let name = home.new_name(ctx);
        let is_hash =
            ctx.open(name.as_str(), Lookup::Peek).is_some_and(|index| index.key_type() == KeyType::Hash);
        if is_hash {
            check_permission(ctx, home)?;
            // The server refuses where the slot is not served here: then there is no step to make.
            let step = ctx.hscan(name.as_str(), position, request.count);
            let visited = visit_all(home, &step, &mut visit);
            let next = step.next_cursor().parse().ok().and_then(|position| cursor_of(home, position));
            if let Some(next) = next {
                return Ok(next.to_string());
            }
            examined = examined.saturating_add(visited.entries);
            if visited.wrote {
                return Ok(start_of(home.next()));
            }
        }
        position = 0;
        match home.next() {
            Some(next) if examined < usize::try_from(request.count).unwrap_or(usize::MAX) => home = next,
            next => return Ok(start_of(next)),
        }
    }
    Ok(start_of(Some(home)))
}

struct Visited {
    entries: usize,
    wrote: bool,
}

fn visit_all(home: Home, step: &ScanStep, visit: &mut impl FnMut(Home, Str<'_>, &[u8]) -> bool) -> Visited {
    let mut visited = Visited { entries: 0, wrote: false };
    for (field, value) in step.entries() {
        visited.entries = visited.entries.saturating_add(1);
        visited.wrote |= visit(home, field.as_str(), value);
    }
    visited
}

const SLOT_BITS: u32 = 14;

fn slot_of_cursor(cursor: u64) -> Option<Slot> {
    Slot::from_number(usize::try_from(cursor & ((1 << SLOT_BITS) - 1)).ok()?)
}

/// The cursor of a position in the index of a slot; `None` at its end, or if there is no such cursor.
fn cursor_of(home: Home, position: u64) -> Option<u64> {
    let slot = u64::try_from(home.slot()?.number()).ok()?;
    let high = position.checked_mul(1 << SLOT_BITS).filter(|high| *high != 0)?;
    Some(high | slot)
}

/// The cursor of the beginning of an index; `0` for none.
fn start_of(home: Option<Home>) -> String {
    home.and_then(Home::slot).map_or(0, Slot::number).to_string()
}

fn check_permission(ctx: &Context, home: Home) -> Result<(), Refusal> {
    if ctx.user_may_clean(home.new_name(ctx).as_str()) { Ok(()) } else { Err(Refusal::NO_PERMISSION) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_holds_a_slot_and_a_position() {
        let home = |number| Home::of_slot(Slot::from_number(number).unwrap());
        for (slot, position, expected) in [
            (0, 1, Some(16384)),
            (16383, 3, Some(65535)),
            // The end of the index.
            (5, 0, None),
            (5, u64::MAX, None),
        ] {
            let cursor = cursor_of(home(slot), position);
            assert_eq!(cursor, expected);
            if let Some(cursor) = cursor {
                assert_eq!(slot_of_cursor(cursor).map(Slot::number), Some(slot));
                assert_eq!(cursor >> SLOT_BITS, position);
            }
        }
        assert_eq!(start_of(Some(home(7))), "7");
        assert_eq!(start_of(None), "0");
    }
}
