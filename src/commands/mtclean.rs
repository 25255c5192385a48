//! `MTCLEAN cursor [COUNT n]`: one step of removing index entries whose key is gone.

use super::index_pass;
use crate::args;
use crate::errors::Refusal;
use crate::index::{self, Home};
use crate::server::command::{Keys, Spec};
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
        arguments: index_pass::ARGUMENTS,
    };

    fn run(ctx: &Context, arguments: Arguments<'_>) -> Result<(), Refusal> {
        let request = args::step(arguments.bytes_from(0))?;
        let mut removed: usize = 0;
        let next = index_pass::step(ctx, request, Refusal::CLEAN_IN_UNIT, |home, key, _| {
            let cleaned = clean(ctx, home, key);
            removed = removed.saturating_add(usize::from(cleaned));
            cleaned
        })?;
        stats::CLEANED.add(removed);
        ctx.reply_array(2);
        ctx.reply_bulk(next.as_bytes());
        ctx.reply_integer(i64::try_from(removed).unwrap_or(i64::MAX));
        Ok(())
    }
}

/// Removes the entry of a key that is no string any more, or belongs into another index. `false` when it stays, or is
/// already gone.
fn clean(ctx: &Context, home: Home, key: Str<'_>) -> bool {
    // Without a trace: cleaning up is no use of a key.
    let exists = Home::of(key) == home
        && ctx.open(key, Lookup::Peek).is_some_and(|key| key.key_type() == KeyType::String);
    let removed = !exists && index::remove(ctx, home, key);
    if removed {
        ctx.propagate(|stream| stream.hdel(home.name(ctx), key));
    }
    removed
}
