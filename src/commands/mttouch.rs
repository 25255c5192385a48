//! `MTTOUCH key mtime [IFNEWER | IFEQ m]`: sets the mtime of a value that is already there.

use redis_module::raw;

use super::{IFEQ, KEY, MTIME, key_argument};
use crate::errors::Refusal;
use crate::server::command::{Argument, Keys, Kind, Spec};
use crate::server::context::Lookup;
use crate::server::{Arguments, Command, Context, KeyType};
use crate::storage::{self, Place};
use crate::{args, stats};

/// The command.
pub(crate) struct MtTouch;

impl Command for MtTouch {
    const SPEC: Spec = Spec {
        name: c"mttouch",
        flags: c"write deny-oom fast",
        categories: c"write string fast",
        arity: -3,
        summary: c"Sets the modification time of a key without changing its value or time to live.",
        complexity: c"O(1)",
        since: c"0.1.0",
        keys: Keys::First,
        key_flags: raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_UPDATE,
        arguments: &[
            KEY,
            MTIME,
            Argument::new(c"condition", Kind::OneOf(&[Argument::word(c"ifnewer", c"IFNEWER"), IFEQ]))
                .optional(),
        ],
    };

    fn run(ctx: &Context, arguments: Arguments<'_>) -> Result<(), Refusal> {
        let Some(mtime_argument) = arguments.get(1) else { return Err(Refusal::WrongArity) };
        let key = key_argument(ctx, arguments)?;
        let request = args::touch(arguments.bytes_from(1))?;
        storage::admit(request.mtime)?;

        let mut opened = ctx.open(key, Lookup::Write).ok_or(Refusal::WRONG_TYPE)?;
        if matches!(opened.key_type(), KeyType::Hash | KeyType::Other) {
            return Err(Refusal::WRONG_TYPE);
        }
        let place = Place::of(key);
        let mut storage = place.open(ctx)?;
        let allowed = opened.key_type() == KeyType::String
            && request.condition.allows(storage.state(&opened, key), Some(request.mtime));
        if !allowed {
            ctx.reply_integer(0);
            return Ok(());
        }

        let entry = place.entry(request.mtime, mtime_argument);
        storage.set(&mut opened, key, request.mtime, entry.as_str());
        // What a read of the key replies has changed, though its value has not.
        ctx.close_changed((storage, opened));
        place.propagate_touch(ctx, key, entry.as_str());
        stats::TOUCHES.count();
        ctx.reply_integer(1);
        Ok(())
    }
}
