//! Mtimes that were read lately, so that reading them again needs no look into the index: opening the hash, finding the
//! field and copying its value costs more than all the rest of a read.
//!
//! It mirrors the index and must never differ from it. Whoever changes an entry says so here: our own writes do, and the
//! keyspace events tell of everybody else's. Any event about a key forgets that key, any event about an index, a load, a
//! flush or a swap forgets everything. So it answers nothing while the module is not told of all writes
//! (`mtime.invalidate-on-write no`). An entry that it answers for a moment longer than the index has it (a TTL on the
//! index or on a field has run out, and nobody has told yet) is still true: the value has not changed.
//!
//! The server must see that an index is used, or it would evict it as idle. So the first read of each index in half a
//! second, and then one in [`READS_A_LOOK`], looks into the index all the same. If the two should ever differ, that is
//! logged, and everything forgotten.

use std::cell::RefCell;
use std::ffi::c_int;

use crate::config;
use crate::index::Home;
use crate::mtime_cache::{MtimeCache, Place};
use crate::server::main_thread::MainThread;
use crate::server::{Context, Str};
use crate::slots::{self, Slot};
use crate::stats;

pub(crate) use crate::mtime_cache::Recent;

/// Milliseconds after which an index is looked into again. The server counts idleness in seconds.
const LOOK_EVERY_MS: i64 = 500;
/// Reads of which one looks into the index.
const READS_A_LOOK: u32 = 64;

static STATE: MainThread<RefCell<State>> = MainThread::new(RefCell::new(State {
    cache: MtimeCache::new(),
    looked_into: Indexes::none(),
    reads_left: 0,
    forget_looks_at: 0,
    changes: 0,
}));

struct State {
    cache: MtimeCache,
    /// The indexes that were looked into lately.
    looked_into: Indexes,
    /// Reads before the next look.
    reads_left: u32,
    /// When the looks are too long ago, in milliseconds of Unix time.
    forget_looks_at: i64,
    /// Counts what was forgotten.
    changes: u64,
}

/// A set of indexes: of one database, or in a cluster of any slots.
struct Indexes {
    database: Option<u16>,
    slots: [u64; slots::COUNT / 64],
}

impl Indexes {
    const fn none() -> Self {
        Self { database: None, slots: [0; slots::COUNT / 64] }
    }

    fn insert(&mut self, home: Home, database: u16) {
        match home.slot().map(place) {
            None => self.database = Some(database),
            Some((word, bit)) => {
                if let Some(word) = self.slots.get_mut(word) {
                    *word |= bit;
                }
            }
        }
    }

    fn contains(&self, home: Home, database: u16) -> bool {
        match home.slot().map(place) {
            None => self.database == Some(database),
            Some((word, bit)) => self.slots.get(word).is_some_and(|word| word & bit != 0),
        }
    }
}

/// The word and the bit in it that stand for a slot.
const fn place(slot: Slot) -> (usize, u64) {
    (slot.number() / 64, 1 << (slot.number() % 64))
}

/// A moment: what was read from the index then may be kept if nothing was forgotten since.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(u64);

/// Now.
pub(crate) fn now(ctx: &Context) -> Moment {
    Moment(STATE.get(ctx).borrow().changes)
}

/// What is known of a key without a look into the index. The caller makes sure that the key is in that database.
pub(crate) fn recall(ctx: &Context, key: Str<'_>, database: c_int) -> Option<Recent> {
    let database = u16::try_from(database).ok()?;
    let mut state = STATE.get(ctx).borrow_mut();
    let state = &mut *state;
    if state.reads_left == 0
        || !config::invalidate_on_write()
        || !state.looked_into.contains(Home::of(key), database)
    {
        return None;
    }
    state.reads_left = state.reads_left.saturating_sub(1);
    let recent = state.cache.get(Place::of(key.as_bytes())?, database)?;
    stats::INDEX_LOOKUPS_SAVED.count();
    Some(recent)
}

/// An index is looked into, which the server notices.
pub(crate) fn looked_into(ctx: &Context, home: Home, database: c_int) {
    let Ok(database) = u16::try_from(database) else { return };
    let mut state = STATE.get(ctx).borrow_mut();
    state.looked_into.insert(home, database);
    state.reads_left = READS_A_LOOK;
}

/// The index has this about a key, as read at that moment.
pub(crate) fn remember(ctx: &Context, key: Str<'_>, database: c_int, recent: Recent, read_at: Moment) {
    let Ok(database) = u16::try_from(database) else { return };
    let mut state = STATE.get(ctx).borrow_mut();
    let state = &mut *state;
    if Moment(state.changes) != read_at || !config::invalidate_on_write() {
        return;
    }
    let Some(place) = Place::of(key.as_bytes()) else { return };
    if state.cache.put(place, database, recent).is_some_and(|before| before != recent) {
        state.cache.clear();
        ctx.log_warning("an mtime differed from the one in the index, which was used; please report it");
    }
}

/// The entry of a key changes, or its value.
pub(crate) fn forget(ctx: &Context, key: Str<'_>) {
    let mut state = STATE.get(ctx).borrow_mut();
    state.changes = state.changes.wrapping_add(1);
    if let Some(place) = Place::of(key.as_bytes()) {
        state.cache.remove(place);
    }
}

/// Somebody else has changed an index, in whichever way.
pub(crate) fn forget_all(ctx: &Context) {
    let mut state = STATE.get(ctx).borrow_mut();
    state.changes = state.changes.wrapping_add(1);
    state.cache.clear();
}

/// As [`forget_all`], when all data may be others. Gives the memory back.
pub(crate) fn release(ctx: &Context) {
    forget_all(ctx);
    STATE.get(ctx).borrow_mut().cache.release();
}

/// Ten times a second.
pub(crate) fn tick(ctx: &Context) {
    let mut state = STATE.get(ctx).borrow_mut();
    state.cache.grow_if_crowded();
    let now = ctx.now_ms();
    // Also when the clock has gone back.
    if now >= state.forget_looks_at || now.saturating_add(LOOK_EVERY_MS) < state.forget_looks_at {
        state.forget_looks_at = now.saturating_add(LOOK_EVERY_MS);
        state.looked_into = Indexes::none();
    }
}
