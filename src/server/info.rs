//! The section `mtime` of INFO.

use std::ffi::c_int;

use redis_module::raw;

use super::Context;
use crate::{stats, tracked_keys};

/// Registers the section. `false` when the server refuses.
pub(super) fn register(ctx: &Context) -> bool {
    // SAFETY: the context is the one of OnLoad.
    unsafe { api!(RedisModule_RegisterInfoFunc)(ctx.as_ptr(), Some(report)) == 0 }
}

/// Also called while the server writes a crash report, where allocating is not safe: this does not.
extern "C" fn report(info: *mut raw::RedisModuleInfoCtx, _for_crash_report: c_int) {
    // The empty name makes the section `mtime`, the module's name, instead of `mtime_something`.
    // SAFETY: the server's context for this call; a constant text.
    let wanted = unsafe { api!(RedisModule_InfoAddSection)(info, c"".as_ptr()) };
    if wanted != 0 {
        return;
    }
    for (name, counter) in stats::ALL {
        // SAFETY: the server's context for this call, after a section was begun; the name ends with a NUL.
        unsafe { api!(RedisModule_InfoAddFieldULongLong)(info, name.as_ptr(), counter.get()) };
    }
    let known = u64::from(tracked_keys::are_known());
    // SAFETY: as above.
    unsafe { api!(RedisModule_InfoAddFieldULongLong)(info, c"tracked_keys_known".as_ptr(), known) };
}
