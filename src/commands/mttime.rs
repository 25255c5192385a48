//! `MTTIME key`: the mtime of a key.

use redis_module::raw;

use super::{KEY, key_argument};
use crate::errors::Refusal;
use crate::server::command::{Keys, Spec};
use crate::server::{Arguments, Command, Context};
use crate::value;

/// The command.
pub(crate) struct MtTime;

impl Command for MtTime {
    const SPEC: Spec = Spec {
        name: c"mttime",
        flags: c"readonly fast",
        categories: c"read string fast",
        arity: 2,
        summary: c"Returns the modification time of a key.",
        complexity: c"O(1)",
        since: c"0.1.0",
        keys: Keys::First,
        key_flags: raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
        arguments: &[KEY],
    };

    fn run(ctx: &Context, arguments: Arguments<'_>) -> Result<(), Refusal> {
        if arguments.len() != 1 {
            return Err(Refusal::WrongArity);
        }
        let key = key_argument(ctx, arguments)?;
        let mtime = value::find(ctx, key).string()?.and_then(|found| {
            let mtime = found.mtime();
            found.skip();
            mtime
        });
        match mtime {
            Some(mtime) => mtime.with_text(|text| ctx.reply_bulk(text)),
            None => ctx.reply_null(),
        }
        Ok(())
    }
}
