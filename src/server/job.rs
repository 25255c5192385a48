//! Work for the end of the unit that is being executed: of the command, transaction or script.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use redis_module::raw;

use super::{Context, OwnedStr, Str};

/// What is to be done about a key, in the database that the event came from.
pub(crate) type Work = fn(&Context, Str<'_>);

struct Job {
    work: Work,
    key: OwnedStr,
}

/// Whether the server has such jobs: from Redis 7.2 on.
pub(crate) fn are_offered() -> bool {
    offered!(RedisModule_AddPostNotificationJob)
}

/// Does `work` at the end of the unit, atomically with it. `false` where the server has no such jobs (before Redis 7.2)
/// or takes none now. Only in keyspace events.
pub(crate) fn at_end_of_unit(ctx: &Context, key: Str<'_>, work: Work) -> bool {
    if !are_offered() {
        return false;
    }
    let job = Box::into_raw(Box::new(Job { work, key: OwnedStr::new(key.as_bytes()) }));
    // SAFETY: the context is the one of this event. The server calls `run` once with the job, and then `free`.
    let added = unsafe {
        api!(RedisModule_AddPostNotificationJob)(ctx.as_ptr(), Some(run), job.cast(), Some(free)) == 0
    };
    if !added {
        free(job.cast());
    }
    added
}

extern "C" fn run(ctx: *mut raw::RedisModuleCtx, job: *mut c_void) {
    let Some(ctx) = NonNull::new(ctx) else { return };
    // SAFETY: the server's context for this call.
    let ctx = unsafe { Context::from_raw(ctx) };
    // SAFETY: the job that `at_end_of_unit` has made, which nobody else uses.
    let job = unsafe { &*job.cast::<Job>() };
    if catch_unwind(AssertUnwindSafe(|| (job.work)(&ctx, job.key.as_str()))).is_err() {
        ctx.log_warning("panic in a job, ignored; please report it");
    }
}

extern "C" fn free(job: *mut c_void) {
    // SAFETY: made by `Box::into_raw` in `at_end_of_unit`, freed once.
    drop(unsafe { Box::from_raw(job.cast::<Job>()) });
}
