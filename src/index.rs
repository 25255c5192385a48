//! Where mtimes live: the plain hash of the seed, field = key, value = mtime. Lua scripts may work on it at the same
//! time.
//!
//! In a cluster there is one for each slot, in that slot. From Redis 7.4 on a key of another slot than that of the
//! executing command is looked for, and filed, in the wrong place. So nobody here opens the index of another slot than
//! that of the key at hand; whoever goes through all slots does it outside of commands that have keys.
//!
//! A small hash is a listpack, which the server scans linearly: reads get four times slower before the 512 entries
//! where it becomes a hash table. So the index is made a hash table from its first entry on, whoever creates it.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::Relaxed};

use crate::errors::Refusal;
use crate::mtime::Mtime;
use crate::server::context::Lookup;
use crate::server::job;
use crate::server::{Context, Key, KeyType, OwnedStr, Str, config, context};
use crate::slots::{self, Slot};
use crate::{foreign_writes, recent, tracked_keys};

/// Which index it is: the only one of a database, or in a cluster that of a slot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Home(Option<Slot>);

impl Home {
    /// The one that a key's mtime is in.
    pub(crate) fn of(key: Str<'_>) -> Self {
        Self(context::is_cluster().then(|| Slot::of(key.as_bytes())))
    }

    /// The one of a slot, in a cluster.
    pub(crate) const fn of_slot(slot: Slot) -> Self {
        Self(Some(slot))
    }

    /// All that a database can have, from the first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        std::iter::successors(Some(Self::first()), |home| home.next())
    }

    /// The first of those.
    pub(crate) fn first() -> Self {
        Self(context::is_cluster().then_some(Slot::FIRST))
    }

    /// The one after this; `None` at the end.
    pub(crate) fn next(self) -> Option<Self> {
        self.0.and_then(Slot::next).map(Self::of_slot)
    }

    /// The slot, in a cluster.
    pub(crate) const fn slot(self) -> Option<Slot> {
        self.0
    }

    /// A number of the index in a database, below [`slots::COUNT`]: that of the slot or of the database. `None` for what is
    /// rare: in other databases of a cluster than the first (Valkey 9), and in the last of very many.
    pub(crate) fn number(self, database: c_int) -> Option<u16> {
        let (number, 0) = self.place(database)? else { return None };
        u16::try_from(number).ok().filter(|_| number < slots::COUNT)
    }

    /// Where it is among all: the number of its database, or in a cluster that of its slot and then that of its database.
    fn place(self, database: c_int) -> Option<(usize, u32)> {
        Some(match self.0 {
            None => (usize::try_from(database).ok()?, 0),
            Some(slot) => (slot.number(), u32::try_from(database).ok()?),
        })
    }

    /// The name of the index.
    pub(crate) fn name(self, ctx: &Context) -> Str<'_> {
        match self.0 {
            None => config::index_key(ctx),
            Some(slot) => config::index_key_of(ctx, slot),
        }
    }

    /// As [`Self::name`], for whoever goes through all of them: nothing is kept.
    pub(crate) fn new_name(self, ctx: &Context) -> OwnedStr {
        match self.0 {
            None => OwnedStr::new(config::index_name(ctx)),
            Some(slot) => config::new_index_key_of(ctx, slot),
        }
    }
}

/// Refuses the index's own name as a key: clients may be allowed to use it, but not through us.
pub(crate) fn refuse_own_name(ctx: &Context, key: Str<'_>) -> Result<(), Refusal> {
    if is_own_name(ctx, key) { Err(Refusal::RESERVED_KEY) } else { Ok(()) }
}

/// Whether `key` is an index itself.
pub(crate) fn is_own_name(ctx: &Context, key: Str<'_>) -> bool {
    if context::is_cluster() {
        is_name_of_a_slot(ctx, key)
    } else {
        key.as_bytes() == config::index_name(ctx)
    }
}

fn is_name_of_a_slot(ctx: &Context, key: Str<'_>) -> bool {
    let bytes = key.as_bytes();
    bytes.starts_with(config::index_prefix(ctx)) && bytes == Home::of(key).name(ctx).as_bytes()
}

/// The index, open for reading. No other key may be opened meanwhile: see [`Key`].
pub(crate) struct Reader<'ctx> {
    ctx: &'ctx Context,
    home: Home,
    index: Key<'ctx>,
}

impl<'ctx> Reader<'ctx> {
    /// `None` when there is no index, or something else than a hash has its name.
    pub(crate) fn open(ctx: &'ctx Context, home: Home, lookup: Lookup) -> Option<Self> {
        // Any look-up but `Peek`, lest the index look idle and be evicted.
        let index = ctx.open(home.name(ctx), lookup)?;
        (index.key_type() == KeyType::Hash).then_some(Self { ctx, home, index })
    }

    /// The mtime of a key; `None` when it has none or the entry does not parse. O(1).
    ///
    /// The entry may have outlived its key: the caller looks at the key too.
    pub(crate) fn mtime(&self, key: Str<'_>) -> Option<Mtime> {
        recent::looked_into(self.ctx, self.home, self.index.database());
        Mtime::parse(self.index.hash_get(key)?.as_str().as_bytes())
    }

    /// Whether a key has an entry, readable or not.
    pub(crate) fn has(&self, key: Str<'_>) -> bool {
        self.index.hash_has(key)
    }

    /// How many entries it has.
    pub(crate) fn length(&self) -> usize {
        self.index.length()
    }

    /// The number of its database.
    pub(crate) fn database(&self) -> c_int {
        self.index.database()
    }
}

/// The index, open for writing; to be closed with [`Context::close_changed`] once it has changed. Opened after the key
/// that the write is about: opening that one may make it expire, and its expiry drops its entry.
pub(crate) struct Writer<'ctx> {
    ctx: &'ctx Context,
    home: Home,
    index: Key<'ctx>,
    exists: bool,
}

impl<'ctx> Writer<'ctx> {
    /// Refused when something else than a hash has the index's name, and when the index may be on another node: what the
    /// mtime of the key is cannot be told then, and an index created here would stop the move of the slot.
    pub(crate) fn open(ctx: &'ctx Context, home: Home) -> Result<Self, Refusal> {
        let index = ctx.open(home.name(ctx), Lookup::Write).ok_or(Refusal::INDEX_TYPE)?;
        match index.key_type() {
            KeyType::Hash => Ok(Self { ctx, home, index, exists: true }),
            KeyType::Missing if home.slot().is_none() || ctx.may_create(home.name(ctx)) => {
                Ok(Self { ctx, home, index, exists: false })
            }
            KeyType::Missing => Err(Refusal::TRY_AGAIN),
            KeyType::String | KeyType::Other => Err(Refusal::INDEX_TYPE),
        }
    }

    /// The mtime of a key.
    pub(crate) fn mtime(&self, key: Str<'_>) -> Option<Mtime> {
        if !self.exists {
            return None;
        }
        Mtime::parse(self.index.hash_get(key)?.as_str().as_bytes())
    }

    /// Whether a key has an entry, readable or not.
    pub(crate) fn has(&self, key: Str<'_>) -> bool {
        self.exists && self.index.hash_has(key)
    }

    /// Sets the mtime of a key, without propagation.
    pub(crate) fn set(&mut self, key: Str<'_>, mtime: Str<'_>) {
        if self.ctx.is_following_now() {
            foreign_writes::stream_has_our_commands();
        }
        recent::forget(self.ctx, key);
        // A name that was there is known already, or will be read.
        if !self.index.hash_set(key, mtime) {
            tracked_keys::insert(self.ctx, key);
        }
        let created = !std::mem::replace(&mut self.exists, true);
        if created || !is_known_table(self.home, self.index.database()) {
            make_table(self.ctx, self.home, &mut self.index);
        }
    }

    /// Drops the entry of a key, without propagation. `false` when there is none, and nothing has changed.
    pub(crate) fn remove(&mut self, key: Str<'_>) -> bool {
        if !self.has(key) {
            return false;
        }
        recent::forget(self.ctx, key);
        self.index.hash_delete(key);
        if self.index.key_type() == KeyType::Missing {
            // That was the last entry: the next index begins as a listpack again.
            self.exists = false;
            set_known_table(self.home, self.index.database(), false);
        }
        true
    }
}

/// Drops the entry of a key from an index that need not exist, without propagation. `false` when there is none.
pub(crate) fn remove(ctx: &Context, home: Home, key: Str<'_>) -> bool {
    let Ok(mut index) = Writer::open(ctx, home) else { return false };
    let removed = index.remove(key);
    if removed {
        ctx.close_changed(index);
    }
    removed
}

/// The text to store for an mtime: the client's own where it is canonical, else a new string.
pub(crate) enum Entry<'a> {
    /// The argument itself.
    Argument(Str<'a>),
    /// A new string.
    New(OwnedStr),
}

impl<'a> Entry<'a> {
    /// The canonical text of an mtime that no argument holds.
    pub(crate) fn new(mtime: Mtime) -> Self {
        Self::New(mtime.with_text(OwnedStr::new))
    }

    /// The canonical text of an mtime that was read from `argument`.
    pub(crate) fn of_argument(mtime: Mtime, argument: Str<'a>) -> Self {
        if mtime.is_canonical(argument.as_bytes()) { Self::Argument(argument) } else { Self::new(mtime) }
    }

    /// The text as a string of the server.
    pub(crate) fn as_str(&self) -> Str<'_> {
        match self {
            Self::Argument(argument) => *argument,
            Self::New(text) => text.as_str(),
        }
    }
}

/// Which indexes are known to exist and to be hash tables: by database, or in a cluster by slot, with a bit for each of its
/// databases. Mostly wrong only towards "unknown", which costs a needless conversion: whatever could replace an index by
/// another hash makes it unknown. If one vanishes without an event (Redis 7.0 when a node loses a slot with keys in it), it
/// is found out as soon as its slot has keys again.
static KNOWN_TABLES: [AtomicU16; slots::COUNT] = [const { AtomicU16::new(0) }; slots::COUNT];

/// Where that is noted of an index, and its bit. `None` for what is rare: beyond 16 databases of a cluster, and in the last
/// of very many.
fn known_table(home: Home, database: c_int) -> Option<(&'static AtomicU16, u16)> {
    let (number, bit) = home.place(database)?;
    Some((KNOWN_TABLES.get(number)?, 1_u16.checked_shl(bit)?))
}

/// Whether an index is known to exist, as a hash table.
pub(crate) fn is_known_table(home: Home, database: c_int) -> bool {
    known_table(home, database).is_some_and(|(known, bit)| known.load(Relaxed) & bit != 0)
}

/// Whether a reader may count on an index. Before there are jobs, on Redis 7.0, indexes vanish with their slots and nobody
/// is told.
pub(crate) fn is_sure_to_exist(home: Home, database: c_int) -> bool {
    is_known_table(home, database) && (home.slot().is_none() || job::are_offered())
}

fn set_known_table(home: Home, database: c_int, is_known: bool) {
    if let Some((known, bit)) = known_table(home, database) {
        let others = known.load(Relaxed) & !bit;
        known.store(if is_known { others | bit } else { others }, Relaxed);
    }
}

/// Any index may have been replaced.
pub(crate) fn forget_tables(ctx: &Context) {
    tracked_keys::forget(ctx);
    recent::release(ctx);
    forget_known_tables();
}

fn forget_known_tables() {
    for known in &KNOWN_TABLES {
        known.store(0, Relaxed);
    }
}

/// Somebody else has written to an index of the selected database, and may have created or, `replaced`, exchanged it.
pub(crate) fn ensure_table(ctx: &Context, home: Home, replaced: bool) {
    ensure_table_named(ctx, home, home.name(ctx), replaced);
}

fn ensure_table_named(ctx: &Context, home: Home, name: Str<'_>, replaced: bool) {
    // Unlike `Writer::open`, creates nothing.
    let Some(mut index) = ctx.open(name, Lookup::Write) else { return };
    if replaced {
        set_known_table(home, index.database(), false);
    }
    if index.key_type() == KeyType::Hash && !is_known_table(home, index.database()) {
        make_table(ctx, home, &mut index);
    }
}

/// A key has come to a slot, whose index may have vanished without an event while the slot was elsewhere.
pub(crate) fn forget_table_if_gone(ctx: &Context, home: Home) {
    if ctx.open(home.name(ctx), Lookup::Peek).is_none_or(|index| index.key_type() == KeyType::Missing) {
        set_known_table(home, ctx.selected_db(), false);
    }
}

/// After a load: what was a hash table comes back as a listpack if it is small.
pub(crate) fn ensure_tables(ctx: &Context) {
    tracked_keys::forget(ctx);
    recent::release(ctx);
    ensure_known_tables(ctx);
}

/// Set when indexes have vanished with their slots, until it is known which.
static SLOTS_ARE_GONE: AtomicBool = AtomicBool::new(false);

/// Indexes have vanished, with their slots.
pub(crate) fn slots_are_gone(ctx: &Context) {
    recent::forget_all(ctx);
    forget_known_tables();
    SLOTS_ARE_GONE.store(true, Relaxed);
}

/// Finds out which are left. Ten times a second, between commands.
pub(crate) fn tick(ctx: &Context) {
    if SLOTS_ARE_GONE.swap(false, Relaxed) {
        ensure_known_tables(ctx);
    }
}

fn ensure_known_tables(ctx: &Context) {
    forget_known_tables();
    ctx.for_each_db(|_| {
        for home in Home::all() {
            ensure_table_named(ctx, home, home.new_name(ctx).as_str(), true);
        }
    });
}

/// Makes the hash a hash table, by a field that is too long for a listpack and does not stay. The hash must not be
/// empty, lest it vanish together with that field.
///
/// Changes the encoding and nothing else: needs no propagation, and is right on replicas too.
#[cold]
fn make_table(ctx: &Context, home: Home, index: &mut Key<'_>) {
    // A limit beyond this is an administrator who wants listpacks.
    const LONGEST: usize = 1 << 20;
    let limit = ctx.numeric_setting(c"hash-max-listpack-value").unwrap_or(64);
    if limit >= LONGEST {
        return;
    }
    let field = OwnedStr::new(&vec![b'.'; limit.saturating_add(1)]);
    // If the field exists, the hash is a hash table already.
    if !index.hash_has(field.as_str()) {
        index.hash_set(field.as_str(), field.as_str());
        index.hash_delete(field.as_str());
    }
    set_known_table(home, index.database(), true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_known_in_its_own_database_only() {
        let slot = |number| Home::of_slot(Slot::from_number(number).unwrap());
        set_known_table(slot(7), 2, true);
        set_known_table(slot(7), 15, true);
        set_known_table(slot(8), 0, true);
        for database in 0..16 {
            assert_eq!(is_known_table(slot(7), database), [2, 15].contains(&database), "{database}");
            assert_eq!(is_known_table(slot(8), database), database == 0, "{database}");
        }
        set_known_table(slot(7), 2, false);
        assert!(!is_known_table(slot(7), 2) && is_known_table(slot(7), 15));
        // Never known, rather than wrong.
        for database in [-1, 16, 48] {
            set_known_table(slot(9), database, true);
            assert!((-1..100).all(|database| !is_known_table(slot(9), database)), "{database}");
        }
    }
}
