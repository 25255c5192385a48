//! `MTGET key since [EXACT] [WITHMTIME]`: a conditional read, as If-Modified-Since (RFC 9110 section 13.1.3).

use redis_module::raw;

use super::{KEY, SINCE, key_argument};
use crate::args::{self, Shape};
use crate::errors::Refusal;
use crate::freshness::{self, Freshness};
use crate::recent;
use crate::server::command::{Argument, Keys, Spec};
use crate::server::{Arguments, Command, Context};
use crate::stats;
use crate::value::{self, StringRead};

/// The command.
pub(crate) struct MtGet;

impl Command for MtGet {
    const SPEC: Spec = Spec {
        name: c"mtget",
        flags: c"readonly fast",
        categories: c"read string fast",
        arity: -3,
        summary: c"Returns the string value of a key if it was modified since the given time.",
        complexity: c"O(1)",
        since: c"0.1.0",
        keys: Keys::First,
        key_flags: raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
        arguments: &[
            KEY,
            SINCE,
            Argument::word(c"exact", c"EXACT").optional(),
            Argument::word(c"withmtime", c"WITHMTIME").optional(),
        ],
    };

    fn run(ctx: &Context, arguments: Arguments<'_>) -> Result<(), Refusal> {
        if arguments.len() < 2 {
            return Err(Refusal::WrongArity);
        }
        let key = key_argument(ctx, arguments)?;
        recent::expect(ctx, key);
        let request = args::get(arguments.bytes_from(1))?;
        match value::find(ctx, key).string()? {
            None => reply_missing(ctx),
            Some(found) => {
                let verdict = freshness::read(found.mtime(), request.since, request.comparison);
                reply(ctx, request.shape, verdict, found);
            }
        }
        Ok(())
    }
}

/// Replies that there is no such key.
pub(super) fn reply_missing(ctx: &Context) {
    stats::MISSING.count();
    ctx.reply_null();
}

/// Replies a string by the verdict on it.
pub(super) fn reply(ctx: &Context, shape: Shape, verdict: Freshness, found: StringRead<'_>) {
    let (mtime, counter) = match verdict {
        Freshness::Modified(mtime) => (Some(mtime), &stats::MODIFIED),
        Freshness::NotModified(mtime) => (Some(mtime), &stats::NOT_MODIFIED),
        Freshness::Untracked => (None, &stats::UNTRACKED),
    };
    counter.count();
    if shape == Shape::WithMtime {
        ctx.reply_array(2);
        match mtime {
            Some(mtime) => mtime.with_text(|text| ctx.reply_bulk(text)),
            None => ctx.reply_null(),
        }
    }
    if let Freshness::NotModified(_) = verdict {
        stats::BYTES_SAVED.add(found.skip_unmodified());
        ctx.reply_null();
    } else {
        found.send();
    }
}
