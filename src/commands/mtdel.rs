//! `MTDEL key [IFNEWER m | IFEQ m]`: deletes a value and its mtime, unless it is newer than the invalidation.

use redis_module::raw;

use super::{IFEQ, KEY, key_argument};
use crate::args::{self, Delete};
use crate::errors::Refusal;
use crate::foreign_writes::not_foreign;
use crate::freshness::State;
use crate::server::command::{Argument, Keys, Kind, Spec};
use crate::server::context::Lookup;
use crate::server::{Arguments, Command, Context, KeyType};
use crate::stats;
use crate::storage::Place;

/// The command.
pub(crate) struct MtDel;

impl Command for MtDel {
    const SPEC: Spec = Spec {
        name: c"mtdel",
        flags: c"write fast",
        categories: c"write string fast",
        arity: -2,
        summary: c"Deletes a string key together with its modification time.",
        complexity: c"O(1)",
        since: c"0.1.0",
        keys: Keys::First,
        key_flags: raw::REDISMODULE_CMD_KEY_RM | raw::REDISMODULE_CMD_KEY_DELETE,
        arguments: &[
            KEY,
            Argument::new(
                c"condition",
                Kind::OneOf(&[
                    Argument::new(c"ifnewer-mtime", Kind::Double).after(c"IFNEWER").shown_as(c"mtime"),
                    IFEQ,
                ]),
            )
            .optional(),
        ],
    };

    fn run(ctx: &Context, arguments: Arguments<'_>) -> Result<(), Refusal> {
        let key = key_argument(ctx, arguments)?;
        let condition = args::delete(arguments.bytes_from(1))?;

        let mut opened = ctx.open(key, Lookup::Write).ok_or(Refusal::WRONG_TYPE)?;
        if matches!(opened.key_type(), KeyType::Hash | KeyType::Other) {
            return Err(Refusal::WRONG_TYPE);
        }
        let place = Place::of(key);
        let mut storage = place.open(ctx)?;
        if !allows(condition, storage.state(&opened, key)) {
            ctx.reply_integer(0);
            return Ok(());
        }

        opened.delete();
        let had_entry = storage.remove(key);
        if had_entry {
            ctx.close_changed((storage, opened));
        } else {
            drop(storage);
            ctx.close_changed(opened);
        }
        place.propagate_delete(ctx, key, had_entry);
        not_foreign(|| ctx.notify_generic(c"del", key));
        stats::DELETES.count();
        ctx.reply_integer(1);
        Ok(())
    }
}

/// Whether a key in this state is to be deleted. One without an mtime counts as older than any: in doubt it goes.
fn allows(condition: Delete, state: State) -> bool {
    match (condition, state) {
        (_, State::Missing) => false,
        (Delete::Always, _) | (Delete::IfNewer(_), State::Untracked) => true,
        (Delete::IfNewer(mtime), State::Tracked(stored)) => mtime > stored,
        (Delete::IfEq(mtime), State::Tracked(stored)) => mtime == stored,
        (Delete::IfEq(_), State::Untracked) => false,
    }
}
