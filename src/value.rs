//! Reads string values as GET does: exactly one hit or miss a key, one use for LRU and LFU, the encoding left alone.

use crate::errors::Refusal;
use crate::index;
use crate::mtime::Mtime;
use crate::server::context::Lookup;
use crate::server::{Context, Key, KeyType, Str};
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
/// Its one hit is counted as late as possible, by whichever look-up is needed anyway. The look-up of the key counts
/// nothing, because a short value will be looked up once more by GET, which does count.
pub(crate) struct StringRead<'ctx> {
    ctx: &'ctx Context,
    name: Str<'ctx>,
    key: Key<'ctx>,
    length: usize,
    hit_is_counted: bool,
}

/// Looks a key up. May make it expire, so the index must not be open.
pub(crate) fn find<'ctx>(ctx: &'ctx Context, name: Str<'ctx>) -> Found<'ctx> {
    let found = ctx.open(name, Lookup::Unseen).map(|key| (key.key_type(), key));
    match found {
        Some((KeyType::String, key)) => {
            let length = key.length();
            Found::String(StringRead { ctx, name, key, length, hit_is_counted: false })
        }
        None | Some((KeyType::Missing, _)) => {
            ctx.count_lookup(name);
            Found::Missing
        }
        Some((KeyType::Hash | KeyType::Other, _)) => {
            ctx.count_lookup(name);
            Found::OtherType
        }
    }
}

impl StringRead<'_> {
    /// The mtime of the key.
    pub(crate) fn mtime(&mut self) -> Option<Mtime> {
        if !self.is_short() && index::is_known_table(self.key.database()) {
            // The index exists: its look-up counts the hit for the key, which saves another look-up.
            self.hit_is_counted = true;
            index::Reader::open(self.ctx, Lookup::Read)?.mtime(self.name)
        } else {
            index::Reader::open(self.ctx, Lookup::Unseen)?.mtime(self.name)
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
        self.ctx.may_be_embedded(self.length)
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
