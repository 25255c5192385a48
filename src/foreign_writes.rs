//! Foreign writes: changes to a tracked key by anything but our own commands. Each drops the key's entry, in the event
//! itself, so that the next read in the same transaction or script already sends the value.
//!
//! A job after the unit would come too late: a read later in the unit would still see the entry, and a script that does
//! SET and then HSET, the seed's writer, would lose the entry it has just written.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::server::context::Lookup;
use crate::server::events::Class;
use crate::server::job;
use crate::server::{Context, KeyType, Str};
use crate::{config, index, recent, stats, tracked_keys};

/// Set while one of our own commands fires its events.
static OWN_WRITE: AtomicBool = AtomicBool::new(false);

/// Fires events of our own command, which are no foreign writes.
pub(crate) fn not_foreign(fire: impl FnOnce()) {
    /// Ends the own write also if `fire` panics: left on, it would blind us to every foreign write.
    struct OwnWrite;
    impl Drop for OwnWrite {
        fn drop(&mut self) {
            OWN_WRITE.store(false, Relaxed);
        }
    }
    OWN_WRITE.store(true, Relaxed);
    let _ends_here = OwnWrite;
    fire();
}

/// A keyspace event, on any role and also while loading. Must be cheap for keys that are not tracked.
pub(crate) fn on_event(ctx: &Context, class: Class, event: &[u8], key: Str<'_>) {
    if OWN_WRITE.load(Relaxed) {
        return;
    }
    if index::is_own_name(ctx, key) {
        on_index_event(ctx, class, event);
    } else if changes_the_value(class, event)
        && config::invalidate_on_write()
        // Most keys are not tracked.
        && tracked_keys::may_contain(ctx, key)
    {
        recent::forget(ctx, key);
        // On a replica and while loading the HDEL comes with the stream.
        if ctx.is_following() {
            return;
        }
        // A key mostly expires because a command reads it. Had we propagated anything by its end, the server would
        // take that command for a write and propagate it too, be it KEYS. An entry without a key harms nobody.
        let later = class == Class::Expired && job::at_end_of_unit(ctx, key, drop_entry_if_gone);
        if !later {
            drop_entry(ctx, key);
        }
    }
}

/// Whether an event tells of a change to a value that may be tracked. In doubt it does: a value is sent once more.
fn changes_the_value(class: Class, event: &[u8]) -> bool {
    match class {
        Class::String | Class::Expired | Class::Other => true,
        Class::Generic => !matches!(event, b"expire" | b"persist"),
        // Writing into a collection needs one; only what stores a result replaces a string: SUNIONSTORE, SORT ... STORE,
        // GEOSEARCHSTORE and so on, all with events of that ending.
        Class::Collection => event.ends_with(b"store"),
        Class::Hash => false,
    }
}

fn drop_entry(ctx: &Context, key: Str<'_>) {
    // Looks before it opens the index for writing, which would create it.
    let tracked = index::Reader::open(ctx, Lookup::Unseen).is_some_and(|index| index.has(key));
    if tracked && index::Writer::open(ctx).is_ok_and(|mut index| index.remove(key)) {
        ctx.propagate_from_event(|stream| stream.hdel(index::name(ctx), key));
        stats::FOREIGN_WRITES_DROPPED.count();
    }
}

/// Drops the entry of a key that is gone. If it was created again meanwhile, the entry is up to date.
pub(crate) fn drop_entry_if_gone(ctx: &Context, key: Str<'_>) {
    let exists = ctx.open(key, Lookup::Peek).is_some_and(|key| key.key_type() != KeyType::Missing);
    if !exists && config::invalidate_on_write() {
        drop_entry(ctx, key);
    }
}

/// Somebody else has written to the index, or created, replaced or deleted it.
fn on_index_event(ctx: &Context, class: Class, event: &[u8]) {
    recent::forget_all(ctx);
    if !only_removes(event) {
        tracked_keys::forget(ctx);
    }
    index::ensure_table(ctx, class != Class::Hash);
}

/// Whether an event on the index tells that it has lost entries, or none. In doubt it has new ones.
fn only_removes(event: &[u8]) -> bool {
    matches!(
        event,
        b"hdel" | b"del" | b"expire" | b"persist" | b"expired" | b"evicted" | b"rename_from" | b"move_from"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_of_the_value_are_foreign_writes() {
        for (class, event, expected) in [
            (Class::String, "set", true),
            (Class::String, "incrby", true),
            (Class::Generic, "del", true),
            (Class::Generic, "rename_to", true),
            (Class::Generic, "an event of a later server", true),
            (Class::Generic, "expire", false),
            (Class::Generic, "persist", false),
            (Class::Expired, "expired", true),
            (Class::Other, "evicted", true),
            (Class::Collection, "sunionstore", true),
            (Class::Collection, "sortstore", true),
            (Class::Collection, "sadd", false),
            (Class::Hash, "hset", false),
        ] {
            assert_eq!(changes_the_value(class, event.as_bytes()), expected, "{class:?} {event}");
        }
    }
}
