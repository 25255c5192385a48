//! `MTIMPORT cursor [COUNT n]`: one step of moving mtimes from an index, of the scripts or of hash storage, to the keys
//! themselves. Only with keymeta storage.

use super::index_pass;
use crate::errors::Refusal;
use crate::foreign_writes::OwnWrite;
use crate::index::{self, Entry, Home};
use crate::keymeta::{self, UNTRACKED};
use crate::mtime::Mtime;
use crate::server::command::{Keys, Spec};
use crate::server::context::{self, Lookup};
use crate::server::{Arguments, Command, Context, KeyType, Str};
use crate::{args, old_index, stats};

/// The command.
pub(crate) struct MtImport;

impl Command for MtImport {
    const SPEC: Spec = Spec {
        name: c"mtimport",
        flags: c"write deny-oom",
        categories: c"write slow",
        arity: -2,
        summary: c"Moves mtimes from an index to the keys themselves, one step at a time.",
        complexity: c"O(1) for every call, O(N) for a complete pass where N is the number of entries.",
        since: c"0.1.0",
        keys: Keys::None,
        key_flags: 0,
        arguments: index_pass::ARGUMENTS,
    };

    fn run(ctx: &Context, arguments: Arguments<'_>) -> Result<(), Refusal> {
        let request = args::step(arguments.bytes_from(0))?;
        let (mut imported, mut left): (usize, usize) = (0, 0);
        let next = index_pass::step(ctx, request, Refusal::IMPORT_IN_UNIT, |home, key, entry| {
            match import(ctx, home, key, entry) {
                Outcome::Imported => imported = imported.saturating_add(1),
                Outcome::Left => {
                    left = left.saturating_add(1);
                    return false;
                }
                Outcome::Dropped => {}
            }
            true
        })?;
        stats::IMPORTED.add(imported);
        // In a cluster there are too many names to look for.
        if next == "0" && !context::is_cluster() {
            old_index::look(ctx);
        }
        ctx.reply_array(3);
        ctx.reply_bulk(next.as_bytes());
        ctx.reply_integer(i64::try_from(imported).unwrap_or(i64::MAX));
        ctx.reply_integer(i64::try_from(left).unwrap_or(i64::MAX));
        Ok(())
    }
}

/// What became of an entry.
enum Outcome {
    /// The key has its mtime now.
    Imported,
    /// It was of no use.
    Dropped,
    /// It is no mtime that a key can have.
    Left,
}

fn import(ctx: &Context, home: Home, key: Str<'_>, entry: &[u8]) -> Outcome {
    let imported = Home::of(key) == home
        // Opening the key may make it expire.
        && ctx.open(key, Lookup::Edit).is_some_and(|opened| {
            // A key that has an mtime of its own got it later.
            opened.key_type() == KeyType::String && opened.metadata() == UNTRACKED
        });
    if !imported {
        if index::remove(ctx, home, key) {
            ctx.propagate(|stream| stream.hdel(home.name(ctx), key));
        }
        return Outcome::Dropped;
    }
    let Some(mtime) = Mtime::parse(entry) else { return Outcome::Left };
    let Some(word) = keymeta::encode(mtime) else { return Outcome::Left };
    let Some(mut opened) = ctx.open(key, Lookup::Edit) else { return Outcome::Left };
    let own_write = OwnWrite::begin();
    opened.set_metadata(word);
    // What a read of the key replies has changed, though its value has not.
    ctx.close_changed((own_write, opened));
    index::remove(ctx, home, key);
    let text = Entry::new(mtime);
    ctx.propagate(|stream| {
        stream.mttouch(key, text.as_str());
        stream.hdel(home.name(ctx), key);
    });
    Outcome::Imported
}
