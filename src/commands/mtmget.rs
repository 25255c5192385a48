//! `MTMGET key since [key since ...]`: many conditional reads at once, each in the shape of `MTGET ... WITHMTIME`.

use redis_module::raw;

use super::mtget::{reply, reply_missing};
use super::{KEY, SINCE};
use crate::args::Shape;
use crate::errors::Refusal;
use crate::freshness::{self, Comparison, Freshness};
use crate::index;
use crate::mtime::Mtime;
use crate::server::command::{Argument, Keys, Kind, Spec};
use crate::server::context::Lookup;
use crate::server::{Arguments, Command, Context};
use crate::value::{self, Found};

/// The command.
pub(crate) struct MtMGet;

impl Command for MtMGet {
    const SPEC: Spec = Spec {
        name: c"mtmget",
        flags: c"readonly fast",
        categories: c"read string fast",
        arity: -3,
        summary:
            c"Returns the string values of those keys that were modified since the times given with them.",
        complexity: c"O(N) where N is the number of keys.",
        since: c"0.1.0",
        keys: Keys::EverySecond,
        key_flags: raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
        arguments: &[Argument::new(c"key-since", Kind::Block(&[KEY, SINCE])).multiple()],
    };

    fn run(ctx: &Context, arguments: Arguments<'_>) -> Result<(), Refusal> {
        if arguments.len() < 2 || !arguments.len().is_multiple_of(2) {
            return Err(Refusal::WrongArity);
        }
        let keys = arguments.from(0).step_by(2);
        for key in keys.clone() {
            index::refuse_own_name(ctx, key)?;
        }
        let sinces: Vec<Mtime> = arguments
            .bytes_from(1)
            .step_by(2)
            .map(|since| Mtime::parse(since).ok_or(Refusal::SINCE))
            .collect::<Result<_, _>>()?;
        // All of the index first, then the keys: opening a key may make it expire, which writes to the index.
        let index = index::Reader::open(ctx, Lookup::Unseen);
        let verdicts: Vec<Freshness> = keys
            .clone()
            .zip(sinces)
            .map(|(key, since)| {
                let stored = index.as_ref().and_then(|index| index.mtime(key));
                freshness::read(stored, since, Comparison::Later)
            })
            .collect();
        drop(index);
        ctx.reply_array(verdicts.len());
        for (key, verdict) in keys.zip(verdicts) {
            match value::find(ctx, key) {
                Found::String(found) => reply(ctx, Shape::WithMtime, verdict, found),
                Found::Missing | Found::OtherType => reply_missing(ctx),
            }
        }
        Ok(())
    }
}
