//! Foreign writes: changes to a tracked key by anything but our own commands. Each drops the key's entry, in the event
//! itself, so that the next read in the same transaction or script already sends the value.
//!
//! A job after the unit would come too late: a read later in the unit would still see the entry, and a script that does
//! SET and then HSET, the seed's writer, would lose the entry it has just written.
//!
//! In a cluster an event must not touch another slot than that of the executing command: from Redis 7.4 on keys of others
//! are misfiled then. The events of a command are about its own keys, also in a script that may go to many slots, where
//! the server takes the slot of each call; eviction and the removal of expired keys come between commands. What is left is
//! a key that a command without keys (KEYS, SCAN, RANDOMKEY) finds expired in a transaction of another slot, and expired
//! keys are seen to at the end of the unit, when no command is executing.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::index::{self, Home};
use crate::server::context::{self, Lookup};
use crate::server::events::Class;
use crate::server::job;
use crate::server::main_thread::MainThread;
use crate::server::scan::Cursor;
use crate::server::{Context, KeyType, OwnedStr, Str};
use crate::{config, edits, recent, stats, tracked_keys};

/// Set while one of our own commands fires its events.
static OWN_WRITE: AtomicBool = AtomicBool::new(false);

/// One of our own commands writes, or fires its events: until this is dropped, also by a panic. Left on, it would blind us
/// to every foreign write.
pub(crate) struct OwnWrite(());

impl OwnWrite {
    /// From now on.
    pub(crate) fn begin() -> Self {
        OWN_WRITE.store(true, Relaxed);
        Self(())
    }
}

impl Drop for OwnWrite {
    fn drop(&mut self) {
        OWN_WRITE.store(false, Relaxed);
    }
}

/// Fires events of our own command, which are no foreign writes.
pub(crate) fn not_foreign(fire: impl FnOnce()) {
    let _ends_here = OwnWrite::begin();
    fire();
}

/// Whether one of our own commands is at work.
pub(crate) fn is_own_write() -> bool {
    OWN_WRITE.load(Relaxed)
}

/// The server has dropped an mtime that it kept with a key, because of a foreign write or one of ours.
pub(crate) fn count_drop() {
    if !is_own_write() {
        stats::FOREIGN_WRITES_DROPPED.count();
    }
}

/// A keyspace event, on any role and also while loading. Must be cheap for keys that are not tracked.
pub(crate) fn on_event(ctx: &Context, class: Class, event: &[u8], key: Str<'_>) {
    if is_own_write() {
        return;
    }
    if class == Class::Generic && event == b"restore" && context::is_cluster() {
        index::forget_table_if_gone(ctx, Home::of(key));
    }
    if tracked_keys::is_stranger(ctx, key) {
        return;
    }
    if index::is_own_name(ctx, key) {
        on_index_event(ctx, class, event, key);
    } else if changes_the_value(class, event)
        && config::invalidate_on_write()
        // Most keys are not tracked.
        && tracked_keys::may_contain(ctx, key)
    {
        recent::forget(ctx, key);
        if may_copy_the_index(ctx, event, key) {
            return;
        }
        let home = Home::of(key);
        if is_fed(ctx, home) {
            if STREAM_HAS_OUR_COMMANDS.load(Relaxed) && edits::makes_a_value(class, event) {
                drop_here(ctx, home, key);
            }
            return;
        }
        // A key mostly expires because a command reads it. Had we propagated anything by its end, the server would
        // take that command for a write and propagate it too, be it KEYS. An entry without a key harms nobody.
        let later = class == Class::Expired && job::at_end_of_unit(ctx, key, drop_entry_if_gone)
            || event == b"del" && home.slot().is_some() && at_next_tick_if_last(ctx, home, key);
        if !later {
            drop_entry(ctx, home, key);
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

/// Whether a COPY may have put a copy of the index in the place of a tracked key. What a COPY copies has been copied
/// before its event, and what we propagate in the event comes before the COPY: the copy of a replica would lack the entry
/// that is dropped. So it stays, until something else happens to the key. It tells nobody anything: only strings are
/// answered, and the key cannot become one without an event.
fn may_copy_the_index(ctx: &Context, event: &[u8], key: Str<'_>) -> bool {
    event == b"copy_to" && ctx.open(key, Lookup::Peek).is_some_and(|key| key.key_type() == KeyType::Hash)
}

/// Set when the stream that the server follows has had MTSET or MTTOUCH: it comes from keymeta storage, which drops its
/// mtimes without an HDEL.
static STREAM_HAS_OUR_COMMANDS: AtomicBool = AtomicBool::new(false);

/// Our own command has come with the stream that the server follows. From now on foreign writes in it drop entries here: an
/// entry that it has made must not outlive its value.
pub(crate) fn stream_has_our_commands() {
    STREAM_HAS_OUR_COMMANDS.store(true, Relaxed);
}

/// Drops the entry of a key without propagation. Whether there was one.
fn drop_here(ctx: &Context, home: Home, key: Str<'_>) -> bool {
    // Looks before it opens the index for writing, which would create it.
    let tracked = index::Reader::open(ctx, home, Lookup::Unseen).is_some_and(|index| index.has(key));
    tracked && index::remove(ctx, home, key)
}

fn drop_entry(ctx: &Context, home: Home, key: Str<'_>) {
    if drop_here(ctx, home, key) {
        ctx.propagate_from_event(|stream| stream.hdel(home.name(ctx), key));
        stats::FOREIGN_WRITES_DROPPED.count();
    }
}

/// Whether the HDEL comes with the stream: on a replica, while loading, and in a slot that is being filled.
fn is_fed(ctx: &Context, home: Home) -> bool {
    home.slot().map_or_else(|| ctx.is_following(), |slot| ctx.is_slot_fed(slot))
}

/// Drops the entry of a key that was written, if there is one, unless that comes with the stream.
pub(crate) fn drop_entry_unless_fed(ctx: &Context, key: Str<'_>) {
    let home = Home::of(key);
    if !is_fed(ctx, home) {
        drop_entry(ctx, home, key);
    }
}

/// Drops the entry of a key that is gone. If it was created again meanwhile, the entry is up to date.
pub(crate) fn drop_entry_if_gone(ctx: &Context, key: Str<'_>) {
    if !ctx.exists(key) && config::invalidate_on_write() {
        drop_entry(ctx, Home::of(key), key);
    }
}

/// What is to be done at the next tick of the server's clock.
static AT_NEXT_TICK: MainThread<RefCell<Vec<Later>>> = MainThread::new(RefCell::new(Vec::new()));

struct Later {
    database: i32,
    key: OwnedStr,
}

/// In a cluster the server deletes the keys of a slot that a node has lost, or that is flushed, one by one with an
/// iterator, which does not survive that the index of the slot vanishes with its last entry. So that entry is dropped
/// later; without its key it harms nobody. `false` when it is not the last.
fn at_next_tick_if_last(ctx: &Context, home: Home, key: Str<'_>) -> bool {
    let Some(index) = index::Reader::open(ctx, home, Lookup::Unseen) else { return false };
    if index.length() != 1 || !index.has(key) {
        return false;
    }
    let later = Later { database: index.database(), key: OwnedStr::new(key.as_bytes()) };
    AT_NEXT_TICK.get(ctx).borrow_mut().push(later);
    true
}

/// Does what was put off. Ten times a second, between commands.
pub(crate) fn tick(ctx: &Context) {
    if AT_NEXT_TICK.get(ctx).borrow().is_empty() || ctx.writes_are_paused() {
        return;
    }
    let all = AT_NEXT_TICK.get(ctx).take();
    // Who follows now gets everything with the stream.
    if ctx.is_following() {
        return;
    }
    for Later { database, key } in all {
        if !ctx.select_db(database) {
            continue;
        }
        let (key, home) = (key.as_str(), Home::of(key.as_str()));
        let tracked = index::Reader::open(ctx, home, Lookup::Peek).is_some_and(|index| index.has(key));
        if tracked {
            drop_entry_if_gone(ctx, key);
        } else {
            // Dropped already, by `drop_what_came_too_early`, without telling the replicas.
            ctx.propagate_from_event(|stream| stream.hdel(home.name(ctx), key));
        }
    }
}

/// Forgets what was put off, when the module is unloaded.
pub(crate) fn forget(ctx: &Context) {
    AT_NEXT_TICK.get(ctx).take();
}

/// Somebody else has written to an index, or created, replaced or deleted it.
fn on_index_event(ctx: &Context, class: Class, event: &[u8], index: Str<'_>) {
    recent::forget_all(ctx);
    if !only_removes(event) {
        tracked_keys::forget(ctx);
    }
    let home = Home::of(index);
    index::ensure_table(ctx, home, class != Class::Hash);
    if event == b"restore" && home.slot().is_some() && config::invalidate_on_write() {
        on_arrival(ctx, home, index);
    }
}

/// An index has come from another node, in a migration key by key, with the mtimes of that node. A key that is here
/// already may have been written here since. The keys still to come drop their entries when they come.
///
/// The entries must go after the index has come, also for the replicas: at the end of the unit. Redis 7.0 has no such
/// jobs. There everybody who has the module drops them here and now, replicas too, and the rest is told at the next tick.
pub(crate) fn on_arrival(ctx: &Context, home: Home, index: Str<'_>) {
    let is_fed = is_fed(ctx, home);
    if !job::are_offered() {
        drop_what_came_too_early(ctx, home, |key| {
            if !is_fed {
                let database = ctx.selected_db();
                AT_NEXT_TICK.get(ctx).borrow_mut().push(Later { database, key });
            }
        });
    } else if !is_fed {
        job::at_end_of_unit(ctx, index, |ctx, index| {
            let home = Home::of(index);
            drop_what_came_too_early(ctx, home, |key| {
                ctx.propagate_from_event(|stream| stream.hdel(home.name(ctx), key.as_str()));
            });
        });
    }
}

/// Drops the entries of all keys that are here.
fn drop_what_came_too_early(ctx: &Context, home: Home, mut tell: impl FnMut(OwnedStr)) {
    let cursor = Cursor::new();
    loop {
        let mut keys = Vec::new();
        let more = ctx
            .open(home.name(ctx), Lookup::Peek)
            .filter(|index| index.key_type() == KeyType::Hash)
            .is_some_and(|index| cursor.step(&index, |field| keys.push(OwnedStr::new(field.as_bytes()))));
        // Only now that the index is closed: opening a key may write to it.
        for key in keys {
            let name = key.as_str();
            if Home::of(name) == home && ctx.exists(name) && index::remove(ctx, home, name) {
                stats::FOREIGN_WRITES_DROPPED.count();
                tell(key);
            }
        }
        if !more {
            return;
        }
    }
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
