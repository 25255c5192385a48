//! Another module, for the tests: counts the keyspace events that it hears. `LISTENER.COUNT` answers how many. With an
//! argument it takes all classes of key metadata that a server has.
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

fn take_all_classes(ctx: *mut raw::RedisModuleCtx) -> c_int {
    let mut class = raw::RedisModuleKeyMetaClassConfig {
        version: u64::from(raw::REDISMODULE_KEY_META_VERSION),
        flags: 0,
        reset_value: 0,
        copy: None,
        rename: None,
        move_: None,
        unlink: None,
        free: None,
        rdb_load: None,
        rdb_save: None,
        aof_rewrite: None,
        defrag: None,
        mem_usage: None,
        free_effort: None,
    };
    for name in [c"Lis0", c"Lis1", c"Lis2", c"Lis3", c"Lis4", c"Lis5", c"Lis6"] {
        // SAFETY: the context is the one of OnLoad; the name ends with a NUL, and the configuration is of its version.
        let number = unsafe {
            raw::RedisModule_CreateKeyMetaClass
                .map_or(0, |create| create(ctx, name.as_ptr(), 0, &raw mut class))
        };
        if number <= 0 {
            return 1;
        }
    }
    0
}

/// What a server calls to load the module.
#[unsafe(no_mangle)]
unsafe extern "C" fn RedisModule_OnLoad(
    ctx: *mut raw::RedisModuleCtx,
    _: *mut *mut raw::RedisModuleString,
    argument_count: c_int,
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
        create | subscribe | if argument_count > 0 { take_all_classes(ctx) } else { 0 }
    }
}
