//! Where mtimes live: the plain hash of the seed, field = key, value = mtime. Lua scripts may work on it at the same
//! time.
//!
//! A small hash is a listpack, which the server scans linearly: reads get four times slower before the 512 entries
//! where it becomes a hash table. So the index is made a hash table from its first entry on, whoever creates it.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::errors::Refusal;
use crate::mtime::Mtime;
use crate::server::context::Lookup;
use crate::server::{Context, Key, KeyType, OwnedStr, Str, config};
use crate::{recent, tracked_keys};

/// The name of the index.
pub(crate) fn name(ctx: &Context) -> Str<'_> {
    config::index_key(ctx)
}

/// Refuses the index's own name as a key: clients may be allowed to use it, but not through us.
pub(crate) fn refuse_own_name(ctx: &Context, key: Str<'_>) -> Result<(), Refusal> {
    if is_own_name(ctx, key) { Err(Refusal::RESERVED_KEY) } else { Ok(()) }
}

/// Whether `key` is the index itself.
pub(crate) fn is_own_name(ctx: &Context, key: Str<'_>) -> bool {
    key.as_bytes() == config::index_name(ctx)
}

/// The index, open for reading. No other key may be opened meanwhile: see [`Key`].
pub(crate) struct Reader<'ctx>(&'ctx Context, Key<'ctx>);

impl<'ctx> Reader<'ctx> {
    /// `None` when there is no index, or something else than a hash has its name.
    pub(crate) fn open(ctx: &'ctx Context, lookup: Lookup) -> Option<Self> {
        // Any look-up but `Peek`, lest the index look idle and be evicted.
        let index = ctx.open(name(ctx), lookup)?;
        (index.key_type() == KeyType::Hash).then_some(Self(ctx, index))
    }

    /// The mtime of a key; `None` when it has none or the entry does not parse. O(1).
    ///
    /// The entry may have outlived its key: the caller looks at the key too.
    pub(crate) fn mtime(&self, key: Str<'_>) -> Option<Mtime> {
        recent::looked_into_index(self.0, self.1.database());
        Mtime::parse(self.1.hash_get(key)?.as_str().as_bytes())
    }

    /// Whether a key has an entry, readable or not.
    pub(crate) fn has(&self, key: Str<'_>) -> bool {
        self.1.hash_has(key)
    }
}

/// The index, open for writing. Opened after the key that the write is about: opening that one may make it expire, and
/// its expiry drops its entry.
pub(crate) struct Writer<'ctx> {
    ctx: &'ctx Context,
    index: Key<'ctx>,
    exists: bool,
}

impl<'ctx> Writer<'ctx> {
    /// Refused when something else than a hash has the index's name.
    pub(crate) fn open(ctx: &'ctx Context) -> Result<Self, Refusal> {
        let index = ctx.open(name(ctx), Lookup::Write).ok_or(Refusal::INDEX_TYPE)?;
        match index.key_type() {
            KeyType::Hash => Ok(Self { ctx, index, exists: true }),
            KeyType::Missing => Ok(Self { ctx, index, exists: false }),
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
        tracked_keys::insert(self.ctx, key);
        recent::forget(self.ctx, key);
        self.index.hash_set(key, mtime);
        let created = !std::mem::replace(&mut self.exists, true);
        if created || !is_known_table(self.index.database()) {
            make_table(self.ctx, &mut self.index);
        }
        self.ctx.signal_modified(name(self.ctx));
    }

    /// Drops the entry of a key, without propagation. `false` when there is none.
    pub(crate) fn remove(&mut self, key: Str<'_>) -> bool {
        if !self.has(key) {
            return false;
        }
        recent::forget(self.ctx, key);
        self.index.hash_delete(key);
        self.ctx.signal_modified(name(self.ctx));
        if self.index.key_type() == KeyType::Missing {
            // That was the last entry: the next index begins as a listpack again.
            self.exists = false;
            set_known_table(self.index.database(), false);
        }
        true
    }
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

/// In which databases the index is known to be a hash table. Only ever wrong towards "unknown", which costs a needless
/// conversion: whatever could replace the index by another hash makes it unknown.
static KNOWN_TABLES: [AtomicBool; KNOWN_DATABASES] = [const { AtomicBool::new(false) }; KNOWN_DATABASES];
const KNOWN_DATABASES: usize = 4096;

fn known_table(database: c_int) -> Option<&'static AtomicBool> {
    KNOWN_TABLES.get(usize::try_from(database).ok()?)
}

/// Whether the index of a database is known to exist, as a hash table.
pub(crate) fn is_known_table(database: c_int) -> bool {
    known_table(database).is_some_and(|known| known.load(Relaxed))
}

fn set_known_table(database: c_int, is_known: bool) {
    if let Some(known) = known_table(database) {
        known.store(is_known, Relaxed);
    }
}

/// The index of any database may have been replaced.
pub(crate) fn forget_tables(ctx: &Context) {
    tracked_keys::forget(ctx);
    recent::release(ctx);
    for known in &KNOWN_TABLES {
        known.store(false, Relaxed);
    }
}

/// Somebody else has written to the index of the selected database, and may have created or, `replaced`, exchanged it.
pub(crate) fn ensure_table(ctx: &Context, replaced: bool) {
    // Unlike `Writer::open`, creates nothing.
    let Some(mut index) = ctx.open(name(ctx), Lookup::Write) else { return };
    if replaced {
        set_known_table(index.database(), false);
    }
    if index.key_type() == KeyType::Hash && !is_known_table(index.database()) {
        make_table(ctx, &mut index);
    }
}

/// After a load: what was a hash table comes back as a listpack if it is small.
pub(crate) fn ensure_tables(ctx: &Context) {
    forget_tables(ctx);
    ctx.for_each_db(|_| ensure_table(ctx, true));
}

/// Makes the hash a hash table, by a field that is too long for a listpack and does not stay. The hash must not be
/// empty, lest it vanish together with that field.
///
/// Changes the encoding and nothing else: needs no propagation, and is right on replicas too.
#[cold]
fn make_table(ctx: &Context, index: &mut Key<'_>) {
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
    set_known_table(index.database(), true);
}
