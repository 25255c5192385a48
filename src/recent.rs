//! Mtimes that were read lately, so that reading them again needs no look into the index: opening the hash, finding the
//! field and copying its value costs more than all the rest of a read.
//!
//! It mirrors the index and must never differ from it. Whoever changes an entry says so here: our own writes do, and the
//! keyspace events tell of everybody else's. Any event about a key forgets that key, any event about an index, a load, a
//! flush or a swap forgets everything. So it answers nothing while the module is not told of all writes
//! (`mtime.invalidate-on-write no`). An entry that it answers for a moment longer than the index has it (a TTL on the
//! index or on a field has run out, and nobody has told yet) is still true: the value has not changed.
//!
//! The server must see that an index is used, or it would evict it as idle. So the first read of an index in half a second
//! (in a cluster, with its thousands of indexes, in two seconds), and then one in [`READS_A_LOOK`], looks into the index
//! all the same. If the two should ever differ, that is logged, and everything forgotten.
//!
//! What takes most of the time of a read is to wait for memory. So the CPU is told early where it will have to look: in
//! the cache, and from what was kept there, at the value. That is a hint: an address that is no longer right does no harm.

use std::cell::RefCell;
use std::ffi::c_int;

use crate::config;
use crate::index::Home;
use crate::mtime::Mtime;
use crate::mtime_cache::{Address, MtimeCache, Place};
use crate::server::context::may_be_embedded;
use crate::server::main_thread::MainThread;
use crate::server::{Context, Key, Str, context, cpu};
use crate::{slots, stats};

pub(crate) use crate::mtime_cache::Recent;

/// Milliseconds after which an index is looked into again. The server counts idleness in seconds.
const LOOK_EVERY_MS: i64 = 500;
/// The same in a cluster, with its thousands of indexes. Most reads would be such looks if they came as often.
const LOOK_EVERY_MS_IN_CLUSTER: i64 = 2000;
/// Reads of which one looks into the index.
const READS_A_LOOK: u32 = 64;

static STATE: MainThread<RefCell<State>> = MainThread::new(RefCell::new(State {
    cache: MtimeCache::new(),
    looks: [0; slots::COUNT],
    period: 1,
    reads_left: 0,
    forget_looks_at: 0,
    changes: 0,
}));

struct State {
    cache: MtimeCache,
    /// When each index was last looked into, by its number.
    looks: [u16; slots::COUNT],
    /// What counts as lately, for `looks`. It comes round in hours: then what was long ago is lately once.
    period: u16,
    /// Reads before the next look.
    reads_left: u32,
    /// When the looks are too long ago, in milliseconds of Unix time.
    forget_looks_at: i64,
    /// Counts what was forgotten.
    changes: u64,
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
    let mut state = STATE.get(ctx).borrow_mut();
    let state = &mut *state;
    if state.reads_left == 0 || !config::invalidate_on_write() {
        return None;
    }
    let recent = state.cache.get(Place::of(key.as_bytes())?, u16::try_from(database).ok()?)?;
    if state.looks.get(usize::from(recent.index)) != Some(&state.period) {
        return None;
    }
    state.reads_left = state.reads_left.saturating_sub(1);
    stats::INDEX_LOOKUPS_SAVED.count();
    Some(recent)
}

/// A key will soon be asked for.
pub(crate) fn expect(ctx: &Context, key: Str<'_>) {
    let state = STATE.get(ctx).borrow();
    if state.cache.is_empty() {
        return;
    }
    if let Some((tags, [first, second])) =
        Place::of(key.as_bytes()).and_then(|place| state.cache.lines(place))
    {
        cpu::prefetch(tags);
        cpu::prefetch(first);
        cpu::prefetch(second);
    }
}

/// An index is looked into, which the server notices.
pub(crate) fn looked_into(ctx: &Context, home: Home, database: c_int) {
    let mut state = STATE.get(ctx).borrow_mut();
    let state = &mut *state;
    state.reads_left = READS_A_LOOK;
    let number = home.number(database).map(usize::from);
    if let Some(look) = number.and_then(|number| state.looks.get_mut(number)) {
        *look = state.period;
    }
}

/// The index of its home has this mtime for an open key, which holds a string, as read at that moment.
pub(crate) fn remember(ctx: &Context, key: &Key<'_>, name: Str<'_>, mtime: Mtime, read_at: Moment) {
    let mut state = STATE.get(ctx).borrow_mut();
    if Moment(state.changes) != read_at || !config::invalidate_on_write() {
        return;
    }
    let database = key.database();
    let (Some(index), Ok(number)) = (Home::of(name).number(database), u16::try_from(database)) else {
        return;
    };
    let Some(place) = Place::of(name.as_bytes()) else { return };
    let is_raw = !may_be_embedded(key.length());
    // Only of raw values, whose encoding that leaves alone.
    let value_at = if is_raw { Address::of(key.raw_string()) } else { Address::NONE };
    let recent = Recent { mtime, is_raw, index, value_at };
    if state.cache.put(place, number, recent).is_some_and(|before| !before.agrees(recent)) {
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
    let period = if context::is_cluster() { LOOK_EVERY_MS_IN_CLUSTER } else { LOOK_EVERY_MS };
    // Also when the clock has gone back.
    if now >= state.forget_looks_at || now.saturating_add(period) < state.forget_looks_at {
        state.forget_looks_at = now.saturating_add(period);
        state.period = state.period.wrapping_add(1);
    }
}
