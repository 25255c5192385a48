//! Which keys have an entry in an index: "maybe" or "certainly not". Saves foreign writes, most of which are about keys
//! that are not tracked, the look-up in the index.
//!
//! What we write ourselves is added as we go. When somebody else may have added entries (a Lua script, a load, a
//! RENAME), the answer is "maybe" to everything, until the indexes have been read through again, a little in each tick
//! of the server's clock. After the load of a snapshot, entries whose key did not come with it are dropped on the way.
//!
//! In a cluster one set serves all slots of the node. It may hold names of slots that are gone: those are just maybes.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::filter::Filter;
use crate::index::Home;
use crate::server::context::Lookup;
use crate::server::main_thread::MainThread;
use crate::server::scan::Cursor;
use crate::server::{Context, KeyType, OwnedStr, Str, config};
use crate::{foreign_writes, recent};

/// Fields read in a tick: about half a millisecond.
const FIELDS_A_TICK: usize = 2048;
/// Ticks without a foreign write to an index before it is worth while to read the indexes: about a second.
const QUIET_TICKS: u32 = 10;

static STATE: MainThread<RefCell<State>> =
    MainThread::new(RefCell::new(State { known: None, reading: None, quiet_ticks: 0, was_loaded: false }));

/// For INFO, which may be asked for in a crash, when nothing may be borrowed.
static KNOWN: AtomicBool = AtomicBool::new(false);

/// Whether the names in all indexes are known, so that foreign writes about other keys are told from them at once.
pub(crate) fn are_known() -> bool {
    KNOWN.load(Relaxed)
}

struct State {
    /// All names in all indexes.
    known: Option<Filter>,
    /// What `known` will be.
    reading: Option<Reading>,
    quiet_ticks: u32,
    /// Whether a snapshot was loaded since the indexes were last read through.
    was_loaded: bool,
}

/// The indexes on the way to being known.
struct Reading {
    names: Filter,
    database: i32,
    home: Home,
    cursor: Cursor,
}

/// Whether a key is certainly neither tracked nor an index. The cheapest question to ask.
pub(crate) fn is_stranger(ctx: &Context, key: Str<'_>) -> bool {
    let state = STATE.get(ctx).borrow();
    state.known.as_ref().is_some_and(|known| !known.may_begin_so(key.as_bytes()))
}

/// Whether a key may have an entry, in whichever database.
pub(crate) fn may_contain(ctx: &Context, key: Str<'_>) -> bool {
    let state = STATE.get(ctx).borrow();
    state.known.as_ref().is_none_or(|known| known.may_contain(key.as_bytes()))
}

/// A key gets an entry, by our own doing.
pub(crate) fn insert(ctx: &Context, key: Str<'_>) {
    let mut state = STATE.get(ctx).borrow_mut();
    let state = &mut *state;
    let filters = [state.known.as_mut(), state.reading.as_mut().map(|reading| &mut reading.names)];
    for filter in filters.into_iter().flatten() {
        filter.insert(key.as_bytes());
    }
}

/// Somebody else may have added entries to an index, or exchanged it.
pub(crate) fn forget(ctx: &Context) {
    KNOWN.store(false, Relaxed);
    let mut state = STATE.get(ctx).borrow_mut();
    *state = State { known: None, reading: None, quiet_ticks: 0, was_loaded: state.was_loaded };
}

/// A snapshot is loaded. What has expired is left out of it without an event, but not its entries.
pub(crate) fn snapshot_is_loaded(ctx: &Context) {
    STATE.get(ctx).borrow_mut().was_loaded = true;
}

/// Goes on to read the indexes, if they are not known or there is a better way to know them. Ten times a second.
pub(crate) fn tick(ctx: &Context) {
    let (reading, drops_leftovers) = {
        let mut state = STATE.get(ctx).borrow_mut();
        state.quiet_ticks = state.quiet_ticks.saturating_add(1);
        let needed = state.known.as_ref().is_none_or(Filter::is_crowded);
        // Who follows drops nothing, and now nobody may.
        let idle = ctx.is_following() || ctx.writes_are_paused();
        if !needed || state.quiet_ticks < QUIET_TICKS || idle {
            return;
        }
        (state.reading.take(), state.was_loaded)
    };
    let mut reading = reading.unwrap_or_else(|| start(ctx));
    let done = read_on(ctx, &mut reading, drops_leftovers);
    let mut state = STATE.get(ctx).borrow_mut();
    if state.quiet_ticks == 0 {
        // Forgotten meanwhile.
        return;
    }
    if done {
        state.was_loaded = false;
        // In a cluster entries may have gone without an event, with their slots: what is remembered of those is not
        // forgotten by events about keys that are certainly not tracked.
        recent::forget_all(ctx);
        state.known = Some(reading.names);
        KNOWN.store(true, Relaxed);
    } else {
        state.reading = Some(reading);
    }
}

fn start(ctx: &Context) -> Reading {
    let mut names: usize = 0;
    ctx.for_each_db(|_| {
        for home in Home::all() {
            let length =
                ctx.open(home.new_name(ctx).as_str(), Lookup::Peek).map_or(0, |index| index.length());
            names = names.saturating_add(length);
        }
    });
    // Room to grow, so that a young index is not read again and again.
    let mut names = Filter::expecting(names.saturating_mul(2));
    names.insert_beginning(config::index_name(ctx));
    Reading { names, database: 0, home: Home::first(), cursor: Cursor::new() }
}

/// One step. `true` at the end of the last index.
fn read_on(ctx: &Context, reading: &mut Reading, drops_leftovers: bool) -> bool {
    let mut fields: usize = 0;
    while fields < FIELDS_A_TICK {
        if !ctx.select_db(reading.database) {
            return true;
        }
        let home = reading.home;
        let names = &mut reading.names;
        let mut keys = Vec::new();
        let more = ctx
            .open(home.new_name(ctx).as_str(), Lookup::Peek)
            .filter(|index| index.key_type() == KeyType::Hash)
            .is_some_and(|index| {
                reading.cursor.step(&index, |field| {
                    names.insert(field.as_bytes());
                    fields = fields.saturating_add(1);
                    if drops_leftovers {
                        keys.push(OwnedStr::new(field.as_bytes()));
                    }
                })
            });
        // Only now that the index is closed: opening a key may write to it.
        for key in &keys {
            foreign_writes::drop_entry_if_gone(ctx, key.as_str());
        }
        if !more {
            let next = home.next().filter(|_| !ctx.is_surely_empty());
            if next.is_none() {
                reading.database = reading.database.saturating_add(1);
            }
            reading.home = next.unwrap_or_else(Home::first);
            reading.cursor = Cursor::new();
            // An empty database or slot is a step too: there may be very many.
            fields = fields.saturating_add(1);
        }
    }
    false
}
