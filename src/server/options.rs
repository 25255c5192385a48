//! What the module tells the server about itself. Above all that closing a key which was open for writing is no
//! modification; where it is one, that is taken back while it is closed. `RedisModule_SignalModifiedKey` would do as well,
//! but on Redis 8.6 it looks the key up, which counts as a hit or a miss, fires `keymiss` and takes 450 instructions.

use std::ffi::c_int;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

use redis_module::raw;

use super::{Context, load};

static OPTIONS: AtomicI32 = AtomicI32::new(0);

/// Called once, at load.
pub(super) fn set(ctx: &Context) {
    // An asynchronous load is no problem, because what we know of the dataset is forgotten when it is complete. Nor is an
    // atomic slot migration: what it brings before the slot is ours comes as core commands, which we leave alone.
    // A broken payload for RESTORE must not end the server, which it does where key metadata meet it without the last one.
    let mut options =
        raw::REDISMODULE_OPTIONS_HANDLE_REPL_ASYNC_LOAD | raw::REDISMODULE_OPTIONS_HANDLE_IO_ERRORS;
    if load::is_valkey() {
        options |= VALKEY_HANDLE_ATOMIC_SLOT_MIGRATION;
    }
    OPTIONS.store(options.cast_signed(), Relaxed);
    tell(ctx, options.cast_signed() | NO_IMPLICIT_SIGNAL);
}

impl Context {
    /// Closes keys that were open for writing, of which all have changed: WATCH and client-side caching are told.
    pub(crate) fn close_changed<T>(&self, keys: T) {
        let options = OPTIONS.load(Relaxed);
        tell(self, options);
        drop(keys);
        tell(self, options | NO_IMPLICIT_SIGNAL);
    }
}

/// The server keeps the number, and looks at it when it is needed.
fn tell(ctx: &Context, options: c_int) {
    // SAFETY: the context is one of this module.
    unsafe { api!(RedisModule_SetModuleOptions)(ctx.as_ptr(), options) };
}

const NO_IMPLICIT_SIGNAL: c_int = raw::REDISMODULE_OPTION_NO_IMPLICIT_SIGNAL_MODIFIED.cast_signed();
/// `VALKEYMODULE_OPTIONS_HANDLE_ATOMIC_SLOT_MIGRATION`: Valkey 9 refuses CLUSTER MIGRATESLOTS without it. Redis has
/// another meaning for no such bit yet, and is not told.
pub(super) const VALKEY_HANDLE_ATOMIC_SLOT_MIGRATION: u32 = 1 << 5;
