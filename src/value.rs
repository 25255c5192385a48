//! Reads string values as GET does: exactly one hit or miss a key, one use for LRU and LFU, the encoding left alone.

use std::ffi::c_int;

use crate::config::{self, Storage};
use crate::errors::Refusal;
use crate::index::{self, Home};
use crate::keymeta;
use crate::mtime::Mtime;
use crate::recent::{self, Moment, Recent};
use crate::server::context::{Lookup, may_be_embedded};
use crate::server::{Context, Key, KeyType, Str, cpu};
use crate::stats;

/// A key as a read finds it.
pub(crate) enum Found<'ctx> {
    /// There is no such key.
    Missing,
    /// It holds something else than a string.
    OtherType,
    /// It holds a string. To be ended with [`StringRead::send`] or [`StringRead::skip`].
    String(StringRead<'ctx>),
}

impl<'ctx> Found<'ctx> {
    /// As most commands see it: a key of another type is an error.
    pub(crate) fn string(self) -> Result<Option<StringRead<'ctx>>, Refusal> {
        match self {
            Self::Missing => Ok(None),
            Self::OtherType => Err(Refusal::WRONG_TYPE),
            Self::String(found) => Ok(Some(found)),
        }
    }
}

/// A read of a string, from the look-up to the reply.
///
/// Its one hit is counted as late as possible, by whichever look-up is needed anyway. Where the value may be short, the
/// look-up of the key counts nothing, because GET will look it up once more, and that counts.
pub(crate) struct StringRead<'ctx> {
    ctx: &'ctx Context,
    name: Str<'ctx>,
    key: Key<'ctx>,
    length: usize,
    mtime: Option<Mtime>,
    hit_is_counted: bool,
}

/// What is known of a key's mtime before the key is looked up.
#[derive(Clone, Copy)]
pub(crate) enum Known {
    /// It was read lately, in this database.
    Recent(Recent, c_int),
    /// It was looked for in the index at that moment.
    Read(Option<Mtime>, Moment),
    /// It is with the key.
    WithKey,
}

/// Looks a key and its mtime up. May make the key expire, so the index must not be open.
pub(crate) fn find<'ctx>(ctx: &'ctx Context, name: Str<'ctx>) -> Found<'ctx> {
    let known = match config::storage() {
        Storage::Keymeta => Some(Known::WithKey),
        Storage::Hash => {
            let database = ctx.selected_db();
            recent::recall(ctx, name, database).map(|recent| Known::Recent(recent, database))
        }
    };
    // The only call here, so that it is made a part of this.
    if let Some(known) = known {
        return find_known(ctx, name, known);
    }
    let mut found = look_up(ctx, name, Lookup::Unseen);
    if let Found::String(read) = &mut found {
        read.look_mtime_up();
    }
    found
}

/// Looks a key up whose mtime is known. May make the key expire, so the index must not be open.
pub(crate) fn find_known<'ctx>(ctx: &'ctx Context, name: Str<'ctx>, known: Known) -> Found<'ctx> {
    // A value that was raw is still, or its mtime would be forgotten. So GET will not be asked for it.
    let lookup = match known {
        Known::Recent(Recent { is_raw: true, value_at, .. }, _) => {
            cpu::prefetch_at(value_at.number());
            Lookup::Read
        }
        _ => Lookup::Unseen,
    };
    let mut found = look_up(ctx, name, lookup);
    if let Found::String(read) = &mut found {
        match known {
            // What a context says is selected is not always so: see `Key::database`.
            Known::Recent(_, database) if database != read.key.database() => read.look_mtime_up(),
            Known::Recent(recent, _) => read.mtime = Some(recent.mtime),
            Known::Read(mtime, moment) => read.has_mtime(mtime, moment),
            Known::WithKey => read.mtime = keymeta::decode(read.key.metadata()),
        }
    }
    found
}

fn look_up<'ctx>(ctx: &'ctx Context, name: Str<'ctx>, lookup: Lookup) -> Found<'ctx> {
    let hit_is_counted = lookup == Lookup::Read;
    let key = ctx.open(name, lookup);
    let key_type = key.as_ref().map_or(KeyType::Missing, Key::key_type);
    if let (KeyType::String, Some(key)) = (key_type, key) {
        let length = key.length();
        return Found::String(StringRead { ctx, name, key, length, mtime: None, hit_is_counted });
    }
    if !hit_is_counted {
        ctx.count_lookup(name);
    }
    if key_type == KeyType::Missing { Found::Missing } else { Found::OtherType }
}

impl StringRead<'_> {
    /// The mtime of the key.
    pub(crate) const fn mtime(&self) -> Option<Mtime> {
        self.mtime
    }

    fn look_mtime_up(&mut self) {
        let home = Home::of(self.name);
        let known_table = || index::is_sure_to_exist(home, self.key.database());
        let lookup = if !self.hit_is_counted && !self.is_short() && known_table() {
            // The index exists: its look-up counts the hit for the key, which saves another look-up.
            self.hit_is_counted = true;
            Lookup::Read
        } else {
            Lookup::Unseen
        };
        let Some(index) = index::Reader::open(self.ctx, home, lookup) else { return };
        let moment = recent::now(self.ctx);
        self.has_mtime(index.mtime(self.name), moment);
    }

    fn has_mtime(&mut self, mtime: Option<Mtime>, read_at: Moment) {
        self.mtime = mtime;
        if let Some(mtime) = mtime {
            recent::remember(self.ctx, &self.key, self.name, mtime, read_at);
        }
    }

    /// Ends the read without a reply.
    pub(crate) fn skip(self) {
        if !self.hit_is_counted {
            self.ctx.count_lookup(self.name);
        }
    }

    /// Ends the read, whose value the client holds already; the length of the value in bytes.
    pub(crate) fn skip_unmodified(self) -> usize {
        let length = self.length;
        self.skip();
        length
    }

    /// Ends the read by replying the value.
    pub(crate) fn send(self) {
        stats::BYTES_SENT.add(self.length);
        if self.is_short() {
            self.send_by_get();
        } else {
            self.ctx.reply_bulk(self.key.raw_string());
            self.skip();
        }
    }

    /// Whether the value may be an integer or embedded, which reading it directly would turn into a raw string for good.
    /// No call tells the encoding, but longer values are raw on every server.
    fn is_short(&self) -> bool {
        may_be_embedded(self.length)
    }

    fn send_by_get(self) {
        let Self { ctx, name, key, .. } = self;
        let frequency = key.access_frequency();
        drop(key);
        ctx.reply_get(name);
        // Under an LFU policy both look-ups have counted a use. Only one was asked for.
        if let Some(frequency) = frequency
            && let Some(mut key) = ctx.open(name, Lookup::Peek)
        {
            key.set_access_frequency(frequency);
        }
    }
}
