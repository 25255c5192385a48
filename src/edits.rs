//! Foreign writes with keymeta storage. The server drops a key's metadata with its value, but keeps them when the value is
//! edited in place: `APPEND`, `SETRANGE`, `SETBIT`, `BITFIELD`, `INCR` and the like, `PFADD`. Those drop the mtime here, in
//! the event itself, so that the next read in the same transaction or script already sends the value.
//!
//! Replicas, and a server that loads its AOF, get the edit and do the same by themselves: nothing is propagated.

use crate::config;
use crate::foreign_writes;
use crate::index::{self, Home};
use crate::keymeta::UNTRACKED;
use crate::old_index;
use crate::server::context::{self, Lookup};
use crate::server::events::Class;
use crate::server::{Context, Str, subscribers};
use crate::stats;

/// Whether an event needs no attention: most do not, and this is all they cost.
pub(crate) fn is_harmless(class: Class, event: &[u8]) -> bool {
    class == Class::String && event == b"set" && !old_index::may_exist() && subscribers::is_alone()
}

/// A keyspace event, on any role and also while loading.
pub(crate) fn on_event(ctx: &Context, class: Class, event: &[u8], key: Str<'_>) {
    if foreign_writes::is_own_write() {
        return;
    }
    if index::is_own_name(ctx, key) {
        old_index::has_come();
        if event == b"restore" && context::is_cluster() && config::invalidate_on_write() {
            foreign_writes::on_arrival(ctx, Home::of(key), key);
        }
        return;
    }
    if !config::invalidate_on_write() {
        return;
    }
    if edits_the_value(class, event) {
        drop_mtime(ctx, key);
    }
    if old_index::may_exist() && makes_a_value(class, event) {
        foreign_writes::drop_entry_unless_fed(ctx, key);
    }
}

/// Whether an event may be about a value that was changed in place. In doubt it is: a value is sent once more.
fn edits_the_value(class: Class, event: &[u8]) -> bool {
    match class {
        // Another module may say so of an edit.
        Class::String if event == b"set" => !subscribers::is_alone(),
        Class::String | Class::Other => true,
        // With these the server has seen to the metadata.
        Class::Generic => {
            makes_a_value(class, event)
                && !matches!(event, b"rename_to" | b"move_to" | b"copy_to" | b"restore")
        }
        Class::Hash | Class::Collection | Class::Expired => false,
    }
}

/// Whether after an event there may be a value that was not there before: not when it tells that a key is gone.
pub(crate) fn makes_a_value(class: Class, event: &[u8]) -> bool {
    match class {
        Class::String | Class::Other => true,
        Class::Generic => !matches!(event, b"expire" | b"persist" | b"del" | b"rename_from" | b"move_from"),
        Class::Hash | Class::Collection | Class::Expired => false,
    }
}

fn drop_mtime(ctx: &Context, key: Str<'_>) {
    let Some(mut opened) = ctx.open(key, Lookup::Edit) else { return };
    if opened.metadata() != UNTRACKED {
        opened.set_metadata(UNTRACKED);
        if !ctx.is_following() {
            stats::FOREIGN_WRITES_DROPPED.count();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_itself_sees_to_all_but_edits() {
        for (class, event, edits, makes) in [
            (Class::String, "append", true, true),
            (Class::String, "an event of a later server", true, true),
            (Class::Generic, "an event of a later server", true, true),
            (Class::Generic, "restore", false, true),
            (Class::Generic, "rename_to", false, true),
            (Class::Generic, "del", false, false),
            (Class::Generic, "expire", false, false),
            (Class::Other, "an event of another module", true, true),
            (Class::Hash, "hset", false, false),
        ] {
            assert_eq!(edits_the_value(class, event.as_bytes()), edits, "{class:?} {event}");
            assert_eq!(makes_a_value(class, event.as_bytes()), makes, "{class:?} {event}");
        }
    }
}
