//! `MTMGET key since [key since ...]`: many conditional reads at once, each in the shape of `MTGET ... WITHMTIME`.

use redis_module::raw;

use super::mtget::{reply, reply_missing};
use super::{KEY, SINCE};
use crate::args::Shape;
use crate::config::{self, Storage};
use crate::errors::Refusal;
use crate::freshness::{self, Comparison};
use crate::index::{self, Home};
use crate::mtime::Mtime;
use crate::recent;
use crate::server::command::{Argument, Keys, Kind, Spec};
use crate::server::context::Lookup;
use crate::server::{Arguments, Command, Context, Str};
use crate::value::{self, Found, Known};

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
        // All mtimes first, then the keys: opening a key may make it expire, which writes to the index.
        let read_at = recent::now(ctx);
        let known = mtimes(ctx, keys.clone());
        ctx.reply_array(sinces.len());
        for ((key, since), known) in keys.zip(sinces).zip(known) {
            // An expiry, or what another module does about it, may have changed any key.
            let changed = recent::now(ctx) != read_at;
            let found = if changed { value::find(ctx, key) } else { value::find_known(ctx, key, known) };
            match found {
                Found::String(found) => {
                    let verdict = freshness::read(found.mtime(), since, Comparison::Later);
                    reply(ctx, Shape::WithMtime, verdict, found);
                }
                Found::Missing | Found::OtherType => reply_missing(ctx),
            }
        }
        Ok(())
    }
}

/// What is known of the mtimes of keys. The index is opened at most once.
fn mtimes<'a>(ctx: &Context, keys: impl Iterator<Item = Str<'a>>) -> Vec<Known> {
    if config::storage() == Storage::Keymeta {
        return keys.map(|_| Known::WithKey).collect();
    }
    let database = ctx.selected_db();
    let mut opened = None;
    keys.map(|key| match recent::recall(ctx, key, database) {
        Some(recent) => Known::Recent(recent, database),
        None => {
            // In a cluster all keys are in one slot: the server has seen to it.
            let index = opened.get_or_insert_with(|| index::Reader::open(ctx, Home::of(key), Lookup::Unseen));
            Known::Read(index.as_ref().and_then(|index| index.mtime(key)), recent::now(ctx))
        }
    })
    .collect()
}
