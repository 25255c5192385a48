//! Registers the settings as standard module configs: redis.conf, CONFIG GET/SET/REWRITE and MODULE LOADEX work.

use std::cell::OnceCell;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr::{self, NonNull};

use redis_module::raw;

use super::main_thread::MainThread;
use super::{Context, OwnedStr, Str, context, events};
use crate::config::{self, ClockUnit, Storage};
use crate::recent;
use crate::slots::{self, Slot, Tags};

/// The value of `mtime.index-key`. Immutable between load and unload.
static INDEX_KEY: MainThread<Option<IndexKey>> = MainThread::new(None);

struct IndexKey {
    string: OwnedStr,
    bytes: Box<[u8]>,
    /// Only in cluster mode.
    slots: Option<SlotNames>,
}

/// The names of the indexes of a cluster: `<index-key>{tag}` for each slot.
struct SlotNames {
    tags: Tags,
    /// What all names begin with.
    prefix: Box<[u8]>,
    /// Those that were needed so far: most nodes have but some of the slots.
    names: Box<[OnceCell<OwnedStr>]>,
}

impl SlotNames {
    fn of(index_key: &[u8]) -> Self {
        Self {
            tags: Tags::find(),
            prefix: [index_key, b"{"].concat().into(),
            names: (0..slots::COUNT).map(|_| OnceCell::new()).collect(),
        }
    }

    fn build(&self, slot: Slot) -> OwnedStr {
        OwnedStr::new(&[&self.prefix, self.tags.of(slot), b"}"].concat())
    }
}

/// The name of the index as a string of the server.
pub(crate) fn index_key(ctx: &Context) -> Str<'_> {
    match INDEX_KEY.get(ctx) {
        Some(key) => key.string.as_str(),
        None => super::missing_call("a value of mtime.index-key"),
    }
}

/// The name of the index as bytes.
pub(crate) fn index_name(ctx: &Context) -> &[u8] {
    INDEX_KEY.get(ctx).as_ref().map_or(&[], |key| &key.bytes)
}

/// The name of the index of a slot, kept as a string of the server. Only in cluster mode.
pub(crate) fn index_key_of(ctx: &Context, slot: Slot) -> Str<'_> {
    let slots = slot_names(ctx);
    match slots.names.get(slot.number()) {
        Some(name) => name.get_or_init(|| slots.build(slot)).as_str(),
        None => super::missing_call("a slot of that number"),
    }
}

/// As [`index_key_of`], for whoever goes through all slots: nothing is kept.
pub(crate) fn new_index_key_of(ctx: &Context, slot: Slot) -> OwnedStr {
    slot_names(ctx).build(slot)
}

/// What the names of all indexes begin with, up to the tag. Only in cluster mode.
pub(crate) fn index_prefix(ctx: &Context) -> &[u8] {
    &slot_names(ctx).prefix
}

fn slot_names(ctx: &Context) -> &SlotNames {
    match INDEX_KEY.get(ctx).as_ref().and_then(|key| key.slots.as_ref()) {
        Some(slots) => slots,
        None => super::missing_call("cluster mode"),
    }
}

/// Releases what the settings hold, when the module is unloaded or not loaded after all.
pub(super) fn release() {
    // SAFETY: called by the server on its main thread, while no handler runs that could have borrowed the name.
    unsafe { INDEX_KEY.set(None) };
}

/// Registers all settings and takes their values from the configuration. `false` when the server refuses.
pub(super) fn register(ctx: &Context) -> bool {
    register_index_key(ctx)
        && register_storage(ctx)
        && register_invalidate(ctx)
        && register_clock_unit(ctx)
        && {
            // SAFETY: the context is the one of OnLoad.
            unsafe { api!(RedisModule_LoadConfigs)(ctx.as_ptr()) == OK }
        }
}

fn register_index_key(ctx: &Context) -> bool {
    // SAFETY: the context is the one of OnLoad, the texts are constants, and the functions fit the kind of setting.
    unsafe {
        api!(RedisModule_RegisterStringConfig)(
            ctx.as_ptr(),
            c"index-key".as_ptr(),
            config::DEFAULT_INDEX_KEY.as_ptr(),
            IMMUTABLE,
            Some(get_index_key),
            Some(set_index_key),
            None,
            ptr::null_mut(),
        ) == OK
    }
}

fn register_storage(ctx: &Context) -> bool {
    let storages = [(c"hash", Storage::Hash as c_int), (c"keymeta", Storage::Keymeta as c_int)];
    let default = Storage::Hash as c_int;
    register_enum(ctx, c"storage", IMMUTABLE, default, &storages, get_storage, set_storage)
}

fn register_clock_unit(ctx: &Context) -> bool {
    let units = [
        (c"s", ClockUnit::Seconds as c_int),
        (c"ms", ClockUnit::Milliseconds as c_int),
        (c"us", ClockUnit::Microseconds as c_int),
    ];
    let default = ClockUnit::Milliseconds as c_int;
    register_enum(ctx, c"clock-unit", DEFAULT, default, &units, get_clock_unit, set_clock_unit)
}

fn register_enum(
    ctx: &Context,
    name: &CStr,
    flags: c_uint,
    default: c_int,
    values: &[(&CStr, c_int)],
    get: extern "C" fn(*const c_char, *mut c_void) -> c_int,
    set: extern "C" fn(*const c_char, c_int, *mut c_void, *mut *mut raw::RedisModuleString) -> c_int,
) -> bool {
    let mut names: Vec<_> = values.iter().map(|(name, _)| name.as_ptr()).collect();
    let numbers: Vec<_> = values.iter().map(|(_, number)| *number).collect();
    let Ok(count) = c_int::try_from(values.len()) else { return false };
    // SAFETY: the context is the one of OnLoad; the server copies the texts and the two arrays of `count` elements; the
    // functions fit the kind of setting.
    unsafe {
        api!(RedisModule_RegisterEnumConfig)(
            ctx.as_ptr(),
            name.as_ptr(),
            default,
            flags,
            names.as_mut_ptr(),
            numbers.as_ptr(),
            count,
            Some(get),
            Some(set),
            None,
            ptr::null_mut(),
        ) == OK
    }
}

fn register_invalidate(ctx: &Context) -> bool {
    // SAFETY: the context is the one of OnLoad, the text is a constant, and the functions fit the kind of setting.
    unsafe {
        api!(RedisModule_RegisterBoolConfig)(
            ctx.as_ptr(),
            c"invalidate-on-write".as_ptr(),
            1,
            DEFAULT,
            Some(get_invalidate),
            Some(set_invalidate),
            Some(apply_invalidate),
            ptr::null_mut(),
        ) == OK
    }
}

extern "C" fn get_index_key(_: *const c_char, _: *mut c_void) -> *mut raw::RedisModuleString {
    // The server reads it and does not release it.
    // SAFETY: called by the server on its main thread.
    let key = unsafe { INDEX_KEY.get_unproven() };
    key.as_ref().map_or(ptr::null_mut(), |key| key.string.as_str().as_ptr())
}

extern "C" fn set_index_key(
    _: *const c_char,
    value: *mut raw::RedisModuleString,
    _: *mut c_void,
    error: *mut *mut raw::RedisModuleString,
) -> c_int {
    let Some(value) = NonNull::new(value) else { return ERR };
    // SAFETY: the server passes a live string, which stays alive during this call.
    let value = unsafe { Str::from_raw(value) };
    let bytes = value.as_bytes();
    if bytes.is_empty() {
        return refuse(error, b"mtime.index-key must not be empty");
    }
    let is_cluster = context::is_cluster();
    if is_cluster && bytes.contains(&b'{') {
        return refuse(
            error,
            b"mtime.index-key must not contain '{' in cluster mode, where a hash tag is added to it",
        );
    }
    // A copy: the setting outlives the string that the server passes.
    let slots = is_cluster.then(|| SlotNames::of(bytes));
    let key = IndexKey { string: OwnedStr::new(bytes), bytes: bytes.into(), slots };
    // SAFETY: called by the server on its main thread, and because the setting is immutable only while the module loads,
    // when no handler runs that could have borrowed the name.
    unsafe { INDEX_KEY.set(Some(key)) };
    OK
}

extern "C" fn get_storage(_: *const c_char, _: *mut c_void) -> c_int {
    config::storage() as c_int
}

extern "C" fn set_storage(
    _: *const c_char,
    value: c_int,
    _: *mut c_void,
    _: *mut *mut raw::RedisModuleString,
) -> c_int {
    // Whether the server can do it is for the load to find out, which has better words.
    config::set_storage(Storage::from_number(value));
    OK
}

extern "C" fn get_clock_unit(_: *const c_char, _: *mut c_void) -> c_int {
    config::clock_unit() as c_int
}

extern "C" fn set_clock_unit(
    _: *const c_char,
    value: c_int,
    _: *mut c_void,
    _: *mut *mut raw::RedisModuleString,
) -> c_int {
    config::set_clock_unit(ClockUnit::from_number(value));
    OK
}

extern "C" fn get_invalidate(_: *const c_char, _: *mut c_void) -> c_int {
    c_int::from(config::invalidate_on_write())
}

extern "C" fn set_invalidate(
    _: *const c_char,
    value: c_int,
    _: *mut c_void,
    _: *mut *mut raw::RedisModuleString,
) -> c_int {
    config::set_invalidate_on_write(value != 0);
    OK
}

extern "C" fn apply_invalidate(
    ctx: *mut raw::RedisModuleCtx,
    _: *mut c_void,
    error: *mut *mut raw::RedisModuleString,
) -> c_int {
    let Some(ctx) = NonNull::new(ctx) else { return ERR };
    // SAFETY: the server's context for this call.
    let ctx = unsafe { Context::from_raw(ctx) };
    // What was kept from before it was switched off may have changed meanwhile.
    recent::release(&ctx);
    if events::watch_writes(&ctx, config::invalidate_on_write()) {
        OK
    } else {
        refuse(error, b"the server refuses the subscription to keyspace events")
    }
}

/// Answers why a value is refused.
fn refuse(error: *mut *mut raw::RedisModuleString, reason: &[u8]) -> c_int {
    if !error.is_null() {
        // SAFETY: a valid place for a string, which the server then releases.
        unsafe { *error = OwnedStr::new(reason).into_raw() };
    }
    ERR
}

const OK: c_int = 0;
const ERR: c_int = 1;
const DEFAULT: c_uint = raw::REDISMODULE_CONFIG_DEFAULT;
const IMMUTABLE: c_uint = raw::REDISMODULE_CONFIG_IMMUTABLE;
