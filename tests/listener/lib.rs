//! Another module, for the tests: counts the keyspace events that it hears. `LISTENER.COUNT` answers how many.
#![allow(
    unsafe_code,
    clippy::multiple_unsafe_ops_per_block,
    reason = "a fixture of the tests, straight on the module API"
)]

use redis_module::raw;
use std::ffi::{c_char, c_int};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

static HEARD: AtomicI64 = AtomicI64::new(0);

extern "C" fn on_event(
    _: *mut raw::RedisModuleCtx,
    _: c_int,
    _: *const c_char,
    _: *mut raw::RedisModuleString,
) -> c_int {
    HEARD.fetch_add(1, Relaxed);
    0
}

extern "C" fn count(ctx: *mut raw::RedisModuleCtx, _: *mut *mut raw::RedisModuleString, _: c_int) -> c_int {
    // SAFETY: the context is the one of this command; the server that has loaded us has the call.
    unsafe { raw::RedisModule_ReplyWithLongLong.map_or(1, |reply| reply(ctx, HEARD.load(Relaxed))) }
}

/// What a server calls to load the module.
#[unsafe(no_mangle)]
unsafe extern "C" fn RedisModule_OnLoad(
    ctx: *mut raw::RedisModuleCtx,
    _: *mut *mut raw::RedisModuleString,
    _: c_int,
) -> c_int {
    // SAFETY: the context is the server's; all texts are constants that end with a NUL.
    unsafe {
        if raw::Export_RedisModule_Init(ctx, c"listener".as_ptr(), 1, raw::REDISMODULE_APIVER_1.cast_signed())
            != 0
        {
            return 1;
        }
        let create = raw::RedisModule_CreateCommand.map_or(1, |create| {
            create(ctx, c"listener.count".as_ptr(), Some(count), c"readonly".as_ptr(), 0, 0, 0)
        });
        let classes = raw::REDISMODULE_NOTIFY_STRING | raw::REDISMODULE_NOTIFY_GENERIC;
        let subscribe = raw::RedisModule_SubscribeToKeyspaceEvents
            .map_or(1, |subscribe| subscribe(ctx, classes, Some(on_event)));
        create | subscribe
    }
}
