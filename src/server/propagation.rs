//! Propagation: the core commands that stand for ours in the AOF and for the replicas, so that reading the stream needs
//! no module. With keymeta storage there are no core commands for what ours do, and they stand for themselves.
//!
//! Building those commands costs more than the write itself, so it is left out while nobody listens: no AOF, no replica,
//! no backlog. The server does not tell of those, but a replica that comes gets a snapshot first, made by a forked child,
//! or has a backlog to go on from. What is written before the fork is in the snapshot; the fork is an event, in which we
//! look again, before the next command. A backlog that exists without a fork comes from a load or from the time as a
//! replica, which are events too. An atomic slot migration has an event of its own. An AOF begins with a fork as well, but
//! for the one that a replica begins when it has got its master's data (Valkey 9): so a replica is taken for one that has an
//! AOF, and looks again when it becomes a master.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use redis_module::raw;

use super::{Context, Str};

/// Whether there may be an AOF, a replica or a backlog. Only ever wrong towards "yes", which costs time.
static LISTENED_TO: AtomicBool = AtomicBool::new(true);

/// How many atomic slot migrations from here are going on.
static EXPORTS: AtomicU32 = AtomicU32::new(0);

/// An atomic slot migration from here begins.
pub(super) fn export_begins() {
    EXPORTS.store(EXPORTS.load(Relaxed).saturating_add(1), Relaxed);
    LISTENED_TO.store(true, Relaxed);
}

/// It has ended, or was given up.
pub(super) fn export_ends(ctx: &Context) {
    EXPORTS.store(EXPORTS.load(Relaxed).saturating_sub(1), Relaxed);
    look_for_listeners(ctx);
}

/// Whether a slot is being moved from here in an atomic migration. To the other node go the commands of a transaction one
/// by one: a replica there that is behind may show what is between them.
pub(crate) fn is_exporting() -> bool {
    EXPORTS.load(Relaxed) != 0
}

/// Whether the server may follow a master or a file now. Only ever wrong towards "yes".
static MAY_FOLLOW: AtomicBool = AtomicBool::new(true);

/// Finds out whether anybody may be listening, and to whom the server listens.
pub(super) fn look_for_listeners(ctx: &Context) {
    MAY_FOLLOW.store(ctx.is_following(), Relaxed);
    const LISTENS: u32 = raw::REDISMODULE_CTX_FLAGS_AOF | raw::REDISMODULE_CTX_FLAGS_SLAVE;
    let anybody = ctx.flags() & LISTENS != 0 || is_exporting() || may_have_replicas(ctx);
    LISTENED_TO.store(anybody, Relaxed);
}

/// In doubt, yes.
fn may_have_replicas(ctx: &Context) -> bool {
    let signs = ctx.info_numbers(c"replication", [c"connected_slaves", c"repl_backlog_active"]);
    signs.into_iter().any(|sign| sign != Some(0))
}

/// Where core commands go to.
pub(crate) struct Stream<'ctx>(&'ctx Context);

impl Context {
    /// Propagates what `write` writes, as one transaction, and counts a change of the dataset. Only in commands.
    pub(crate) fn propagate(&self, write: impl FnOnce(&Stream<'_>)) {
        if LISTENED_TO.load(Relaxed) {
            write(&Stream(self));
        } else {
            // Raises the counter of changes, on which the automatic saving depends, and goes nowhere.
            // SAFETY: the context is the one of this command.
            unsafe { api!(RedisModule_ReplicateVerbatim)(self.as_ptr()) };
        }
    }

    /// As [`Self::is_following`], for where that would be asked for too often: costs nothing while the answer is no.
    pub(crate) fn is_following_now(&self) -> bool {
        MAY_FOLLOW.load(Relaxed) && self.is_following()
    }

    /// As [`Self::propagate`], for events: their context has no command that could stand for the change.
    pub(crate) fn propagate_from_event(&self, write: impl FnOnce(&Stream<'_>)) {
        write(&Stream(self));
    }
}

/// `replicate!(stream, c"HSET", c"sss", index.as_ptr(), key.as_ptr(), mtime.as_ptr())`
macro_rules! replicate {
    ($stream:expr, $command:literal, $format:literal, $($argument:expr),+) => {
        // SAFETY: the format names the arguments: `s` a live string of the server, `c` a constant that ends with a NUL,
        // `l` a long long.
        unsafe {
            api!(RedisModule_Replicate)($stream.0.as_ptr(), $command.as_ptr(), $format.as_ptr(), $($argument),+)
        }
    };
}

impl Stream<'_> {
    /// `SET key value`.
    pub(crate) fn set(&self, key: Str<'_>, value: Str<'_>) {
        replicate!(self, c"SET", c"ss", key.as_ptr(), value.as_ptr());
    }

    /// `SET key value PXAT deadline`; the deadline in milliseconds of Unix time.
    pub(crate) fn set_until(&self, key: Str<'_>, value: Str<'_>, deadline: i64) {
        replicate!(self, c"SET", c"sscl", key.as_ptr(), value.as_ptr(), c"PXAT".as_ptr(), deadline);
    }

    /// `SET key value KEEPTTL`.
    pub(crate) fn set_keepttl(&self, key: Str<'_>, value: Str<'_>) {
        replicate!(self, c"SET", c"ssc", key.as_ptr(), value.as_ptr(), c"KEEPTTL".as_ptr());
    }

    /// `HSET hash field value`.
    pub(crate) fn hset(&self, hash: Str<'_>, field: Str<'_>, value: Str<'_>) {
        replicate!(self, c"HSET", c"sss", hash.as_ptr(), field.as_ptr(), value.as_ptr());
    }

    /// `HDEL hash field`.
    pub(crate) fn hdel(&self, hash: Str<'_>, field: Str<'_>) {
        replicate!(self, c"HDEL", c"ss", hash.as_ptr(), field.as_ptr());
    }

    /// `MTSET key value mtime`.
    pub(crate) fn mtset(&self, key: Str<'_>, value: Str<'_>, mtime: Str<'_>) {
        replicate!(self, c"MTSET", c"sss", key.as_ptr(), value.as_ptr(), mtime.as_ptr());
    }

    /// `MTSET key value mtime PXAT deadline`; the deadline in milliseconds of Unix time.
    pub(crate) fn mtset_until(&self, key: Str<'_>, value: Str<'_>, mtime: Str<'_>, deadline: i64) {
        let pxat = c"PXAT".as_ptr();
        replicate!(self, c"MTSET", c"ssscl", key.as_ptr(), value.as_ptr(), mtime.as_ptr(), pxat, deadline);
    }

    /// `MTSET key value mtime KEEPTTL`.
    pub(crate) fn mtset_keepttl(&self, key: Str<'_>, value: Str<'_>, mtime: Str<'_>) {
        let keepttl = c"KEEPTTL".as_ptr();
        replicate!(self, c"MTSET", c"sssc", key.as_ptr(), value.as_ptr(), mtime.as_ptr(), keepttl);
    }

    /// `MTTOUCH key mtime`.
    pub(crate) fn mttouch(&self, key: Str<'_>, mtime: Str<'_>) {
        replicate!(self, c"MTTOUCH", c"ss", key.as_ptr(), mtime.as_ptr());
    }

    /// `DEL key`.
    pub(crate) fn del(&self, key: Str<'_>) {
        replicate!(self, c"DEL", c"s", key.as_ptr());
    }
}
