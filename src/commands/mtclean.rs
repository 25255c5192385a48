//! `MTCLEAN cursor [COUNT n]`: one step of removing index entries whose key is gone.

use crate::args::{self, Clean};
use crate::errors::Refusal;
use crate::index::{self, Home};
use crate::server::call_reply::ScanStep;
use crate::server::command::{Argument, Keys, Kind, Spec};
use crate::server::context::{self, Lookup};
use crate::server::{Arguments, Command, Context, KeyType, Str};
use crate::slots::Slot;
use crate::stats;

/// The command.
pub(crate) struct MtClean;

impl Command for MtClean {
    const SPEC: Spec = Spec {
        name: c"mtclean",
        flags: c"write",
        categories: c"write slow",
        arity: -2,
        summary: c"Removes entries of the mtime index whose key is gone, one step at a time.",
        complexity: c"O(1) for every call, O(N) for a complete pass where N is the number of tracked keys.",
        since: c"0.1.0",
        keys: Keys::None,
        key_flags: 0,
        arguments: &[
            Argument::new(c"cursor", Kind::Integer),
            Argument::new(c"count", Kind::Integer).after(c"COUNT").optional(),
        ],
    };

    fn run(ctx: &Context, arguments: Arguments<'_>) -> Result<(), Refusal> {
        let request = args::clean(arguments.bytes_from(0))?;
        let step = if context::is_cluster() { clean_slots(ctx, request)? } else { clean_one(ctx, request)? };
        stats::CLEANED.add(step.removed);
        ctx.reply_array(2);
        ctx.reply_bulk(step.next.as_bytes());
        ctx.reply_integer(i64::try_from(step.removed).unwrap_or(i64::MAX));
        Ok(())
    }
}

/// What a call has done.
struct Step {
    /// The cursor to go on with; `0` at the end.
    next: String,
    /// Entries removed.
    removed: usize,
}

/// A step through the one index of the database.
fn clean_one(ctx: &Context, request: Clean) -> Result<Step, Refusal> {
    let home = Home::first();
    check_permission(ctx, home)?;
    // Refused before anything else if the index is no hash.
    drop(index::Writer::open(ctx, home)?);
    let step = ctx.hscan(home.name(ctx), request.cursor, request.count);
    let removed = clean_fields(ctx, home, &step).removed;
    Ok(Step { next: step.next_cursor().to_owned(), removed })
}

/// A step through the indexes of the slots of this node. The cursor is the slot in its low bits, and above them the
/// position in its index, as SCAN has it.
///
/// Ends at the end of a slot in which entries were removed, so that one call never writes to two slots: a slot migration
/// may follow the stream.
fn clean_slots(ctx: &Context, request: Clean) -> Result<Step, Refusal> {
    /// How many slots one call looks at, most of which may be empty: a fraction of a millisecond.
    const SLOTS_A_CALL: usize = 2048;
    // In a transaction the server would look for the keys of all slots in the one of the transaction.
    if ctx.is_in_unit() {
        return Err(Refusal::CLEAN_IN_UNIT);
    }
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
            let cleaned = clean_fields(ctx, home, &step);
            let next = step.next_cursor().parse().ok().and_then(|position| cursor_of(home, position));
            if let Some(next) = next {
                return Ok(Step { next: next.to_string(), removed: cleaned.removed });
            }
            examined = examined.saturating_add(cleaned.examined);
            if cleaned.removed > 0 {
                return Ok(Step { next: start_of(home.next()), removed: cleaned.removed });
            }
        }
        position = 0;
        match home.next() {
            Some(next) if examined < usize::try_from(request.count).unwrap_or(usize::MAX) => home = next,
            next => return Ok(Step { next: start_of(next), removed: 0 }),
        }
    }
    Ok(Step { next: start_of(Some(home)), removed: 0 })
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

/// The server has checked no key, because none is an argument.
fn check_permission(ctx: &Context, home: Home) -> Result<(), Refusal> {
    if ctx.user_may_clean(home.new_name(ctx).as_str()) { Ok(()) } else { Err(Refusal::NO_PERMISSION) }
}

struct Cleaned {
    examined: usize,
    removed: usize,
}

fn clean_fields(ctx: &Context, home: Home, step: &ScanStep) -> Cleaned {
    let mut cleaned = Cleaned { examined: 0, removed: 0 };
    for field in step.fields() {
        cleaned.examined = cleaned.examined.saturating_add(1);
        if clean(ctx, home, field.as_str()) {
            cleaned.removed = cleaned.removed.saturating_add(1);
        }
    }
    cleaned
}

/// Removes the entry of a key that is no string any more, or belongs into another index. `false` when it stays, or is
/// already gone.
fn clean(ctx: &Context, home: Home, key: Str<'_>) -> bool {
    // Without a trace: cleaning up is no use of a key.
    let exists = Home::of(key) == home
        && ctx.open(key, Lookup::Peek).is_some_and(|key| key.key_type() == KeyType::String);
    let removed = !exists && index::Writer::open(ctx, home).is_ok_and(|mut index| index.remove(key));
    if removed {
        ctx.propagate(|stream| stream.hdel(home.name(ctx), key));
    }
    removed
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
