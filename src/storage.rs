//! Where mtimes live, as the commands see it: in an index, the hash of [`crate::index`], or with the key itself, as a word
//! of [`crate::keymeta`]. `mtime.storage` says which, for as long as the module is loaded.

use crate::args::Expiry;
use crate::config::{self, Storage};
use crate::errors::Refusal;
use crate::foreign_writes::OwnWrite;
use crate::freshness::State;
use crate::index::{self, Entry, Home};
use crate::keymeta;
use crate::mtime::Mtime;
use crate::old_index;
use crate::server::{Context, Key, KeyType, Str};

/// Where the mtime of a key is.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// In this index.
    Index(Home),
    /// With the key.
    Key,
}

/// What a write has set.
pub(crate) struct Write<'a> {
    pub(crate) key: Str<'a>,
    pub(crate) value: Str<'a>,
    /// As text.
    pub(crate) mtime: Str<'a>,
    pub(crate) expiry: Expiry,
    /// What the expiry comes to, in milliseconds of Unix time.
    pub(crate) deadline: Option<i64>,
    /// Whether an entry in an index is to go before the value.
    pub(crate) untracks_first: bool,
}

/// Refuses an mtime that cannot be stored. To be asked before anything is written.
pub(crate) fn admit(mtime: Mtime) -> Result<(), Refusal> {
    match config::storage() {
        Storage::Hash => Ok(()),
        Storage::Keymeta => keymeta::encode(mtime).map(|_| ()).ok_or(Refusal::MTIME_RANGE),
    }
}

/// The dataset is another one: the module or a snapshot was loaded.
pub(crate) fn dataset_has_come(ctx: &Context) {
    match config::storage() {
        Storage::Hash => index::ensure_tables(ctx),
        Storage::Keymeta => old_index::look(ctx),
    }
}

impl Place {
    /// The one of a key.
    pub(crate) fn of(key: Str<'_>) -> Self {
        match config::storage() {
            Storage::Hash => Self::Index(Home::of(key)),
            Storage::Keymeta => Self::Key,
        }
    }

    /// Opens it for writing, after the key. Refused when it is not to be had.
    pub(crate) fn open(self, ctx: &Context) -> Result<Writer<'_>, Refusal> {
        match self {
            Self::Index(home) => index::Writer::open(ctx, home).map(Writer::Index),
            Self::Key => Ok(Writer::Key(OwnWrite::begin())),
        }
    }

    /// The text of an mtime that was read from `argument`, as the storage propagates it.
    pub(crate) fn entry<'a>(self, mtime: Mtime, argument: Str<'a>) -> Entry<'a> {
        match self {
            Self::Index(_) => Entry::of_argument(mtime, argument),
            // Whoever follows reads the number as we have read it.
            Self::Key => Entry::Argument(argument),
        }
    }

    /// Propagates a write, without its condition.
    pub(crate) fn propagate_set(self, ctx: &Context, write: &Write<'_>) {
        let Write { key, value, mtime, expiry, deadline, untracks_first } = *write;
        ctx.propagate(|stream| match self {
            Self::Index(home) => {
                if untracks_first {
                    stream.hdel(home.name(ctx), key);
                }
                match (deadline, expiry) {
                    (Some(deadline), _) => stream.set_until(key, value, deadline),
                    (None, Expiry::Keep) => stream.set_keepttl(key, value),
                    (None, _) => stream.set(key, value),
                }
                stream.hset(home.name(ctx), key, mtime);
            }
            Self::Key => match (deadline, expiry) {
                (Some(deadline), _) => stream.mtset_until(key, value, mtime, deadline),
                (None, Expiry::Keep) => stream.mtset_keepttl(key, value, mtime),
                (None, _) => stream.mtset(key, value, mtime),
            },
        });
    }

    /// Propagates that an mtime was set.
    pub(crate) fn propagate_touch(self, ctx: &Context, key: Str<'_>, mtime: Str<'_>) {
        ctx.propagate(|stream| match self {
            Self::Index(home) => stream.hset(home.name(ctx), key, mtime),
            Self::Key => stream.mttouch(key, mtime),
        });
    }

    /// Propagates that a key was deleted, and with it an entry if it had one.
    pub(crate) fn propagate_delete(self, ctx: &Context, key: Str<'_>, had_entry: bool) {
        ctx.propagate(|stream| {
            stream.del(key);
            if let (Self::Index(home), true) = (self, had_entry) {
                stream.hdel(home.name(ctx), key);
            }
        });
    }
}

/// Where a mtime is, open for writing.
pub(crate) enum Writer<'ctx> {
    /// In an index.
    Index(index::Writer<'ctx>),
    /// With the key. What the key loses meanwhile is our own doing.
    Key(OwnWrite),
}

impl Writer<'_> {
    /// A key as a conditional write finds it.
    pub(crate) fn state(&self, opened: &Key<'_>, key: Str<'_>) -> State {
        if opened.key_type() == KeyType::Missing {
            return State::Missing;
        }
        let mtime = match self {
            Self::Index(index) => index.mtime(key),
            Self::Key(_) => keymeta::decode(opened.metadata()),
        };
        mtime.map_or(State::Untracked, State::Tracked)
    }

    /// Whether there is an entry in an index for a key.
    pub(crate) fn has_entry(&self, key: Str<'_>) -> bool {
        match self {
            Self::Index(index) => index.has(key),
            Self::Key(_) => false,
        }
    }

    /// Sets the mtime of an existing key, without propagation. It has been admitted.
    pub(crate) fn set(&mut self, opened: &mut Key<'_>, key: Str<'_>, mtime: Mtime, text: Str<'_>) {
        match self {
            Self::Index(index) => index.set(key, text),
            Self::Key(_) => opened.set_metadata(keymeta::encode(mtime).unwrap_or(keymeta::UNTRACKED)),
        }
    }

    /// Drops the mtime of a key that was deleted, without propagation. Whether there was an entry to drop.
    pub(crate) fn remove(&mut self, key: Str<'_>) -> bool {
        match self {
            Self::Index(index) => index.remove(key),
            Self::Key(_) => false,
        }
    }
}
