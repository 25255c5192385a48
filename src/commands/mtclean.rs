//! `MTCLEAN cursor [COUNT n]`: one step of removing index entries whose key is gone.

use crate::args;
use crate::errors::Refusal;
use crate::index;
use crate::server::command::{Argument, Keys, Kind, Spec};
use crate::server::context::Lookup;
use crate::server::{Arguments, Command, Context, KeyType, Str};
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
        // The server has checked no key, because none is an argument.
        if !ctx.user_may_clean(index::name(ctx)) {
            return Err(Refusal::NO_PERMISSION);
        }
        // Refused before anything else if the index is no hash.
        drop(index::Writer::open(ctx)?);
        let step = ctx.hscan(index::name(ctx), request.cursor, request.count);
        let mut removed: usize = 0;
        for field in step.fields() {
            if clean(ctx, field.as_str()) {
                removed = removed.saturating_add(1);
            }
        }
        stats::CLEANED.add(removed);
        ctx.reply_array(2);
        ctx.reply_bulk(step.next_cursor().as_bytes());
        ctx.reply_integer(i64::try_from(removed).unwrap_or(i64::MAX));
        Ok(())
    }
}

/// Removes the entry of a key that is no string any more. `false` when it is one, or the entry is already gone.
fn clean(ctx: &Context, key: Str<'_>) -> bool {
    // Without a trace: cleaning up is no use of a key.
    let exists = ctx.open(key, Lookup::Peek).is_some_and(|key| key.key_type() == KeyType::String);
    let removed = !exists && index::Writer::open(ctx).is_ok_and(|mut index| index.remove(key));
    if removed {
        ctx.propagate(|stream| stream.hdel(index::name(ctx), key));
    }
    removed
}
