//! Events of the server: changes of keys, and of whole datasets.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use redis_module::raw;

use super::{Context, Str, propagation, subscribers};
use crate::config::{self, Storage};
use crate::{edits, foreign_writes, index, recent, storage, tracked_keys, unload};

/// The class of a keyspace event, as far as this module tells classes apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// Commands on strings.
    String,
    /// Commands on keys of any type: DEL, RENAME, EXPIRE and so on.
    Generic,
    /// Commands on hashes.
    Hash,
    /// Commands on lists, sets and sorted sets, which can overwrite a string (`SUNIONSTORE`).
    Collection,
    /// A key has expired.
    Expired,
    /// A key was evicted, or another module has changed it.
    Other,
}

/// Whether we are subscribed to the events that only foreign writes are about.
static WATCHES_WRITES: AtomicBool = AtomicBool::new(false);

/// Subscribes to what must be known about the index and the dataset. `false` when the server refuses.
pub(super) fn subscribe(ctx: &Context) -> bool {
    let (index_classes, _) = classes();
    let is_hash = config::storage() == Storage::Hash;
    let others: [Subscription; 9] = [
        (raw::REDISMODULE_EVENT_LOADING, Some(on_loading)),
        (raw::REDISMODULE_EVENT_REPL_ASYNC_LOAD, Some(on_async_load)),
        (raw::REDISMODULE_EVENT_CRON_LOOP, Some(on_tick)),
        (raw::REDISMODULE_EVENT_FORK_CHILD, Some(on_listeners)),
        (raw::REDISMODULE_EVENT_REPLICA_CHANGE, Some(on_listeners)),
        (raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED, Some(on_listeners)),
        (raw::REDISMODULE_EVENT_CONFIG, Some(on_settings)),
        (raw::REDISMODULE_EVENT_MODULE_CHANGE, Some(on_modules)),
        (raw::REDISMODULE_EVENT_SHUTDOWN, Some(on_shutdown)),
    ];
    // What is known about indexes.
    let of_hash = [
        (raw::REDISMODULE_EVENT_FLUSHDB, Some(on_replaced as _)),
        (raw::REDISMODULE_EVENT_SWAPDB, Some(on_replaced as _)),
    ];
    let of_hash = of_hash.into_iter().filter(|_| is_hash);
    subscribe_to(ctx, index_classes)
        && others.into_iter().chain(of_hash).chain(slot_events()).all(|(id, callback)| {
            let event = raw::RedisModuleEvent { id, dataver: 1 };
            // SAFETY: the context is the one of OnLoad. An event that the server does not know is an error, not more.
            unsafe { api!(RedisModule_SubscribeToServerEvent)(ctx.as_ptr(), event, callback) == 0 }
        })
}

type Subscription = (u64, raw::RedisModuleEventCallback);

/// The events of atomic slot migration, where the server has it. Their numbers mean different things on Redis and Valkey.
fn slot_events() -> Vec<Subscription> {
    if super::load::is_valkey() {
        // Valkey 8 has neither the option nor the event.
        let options = if offered!(RedisModule_GetModuleOptionsAll) {
            // SAFETY: takes nothing.
            unsafe { api!(RedisModule_GetModuleOptionsAll)() }
        } else {
            0
        };
        let has_it = options & super::options::VALKEY_HANDLE_ATOMIC_SLOT_MIGRATION.cast_signed() != 0;
        has_it.then_some((VALKEY_ATOMIC_SLOT_MIGRATION, Some(on_valkey_migration as _))).into_iter().collect()
    } else if offered!(RedisModule_ClusterCanAccessKeysInSlot) {
        vec![
            (raw::REDISMODULE_EVENT_CLUSTER_SLOT_MIGRATION, Some(on_redis_migration)),
            (raw::REDISMODULE_EVENT_CLUSTER_SLOT_MIGRATION_TRIM, Some(on_trim)),
        ]
    } else {
        Vec::new()
    }
}

/// `VALKEYMODULE_EVENT_ATOMIC_SLOT_MIGRATION`.
const VALKEY_ATOMIC_SLOT_MIGRATION: u64 = 19;

/// Subscribes to the rest of the events that foreign writes fire, or takes that back where the server can: then a
/// foreign write on a string does not even call us. `false` when the server refuses.
pub(super) fn watch_writes(ctx: &Context, watch: bool) -> bool {
    if watch == WATCHES_WRITES.load(Relaxed) {
        return true;
    }
    let (_, write_classes) = classes();
    let changed = if watch {
        subscribe_to(ctx, write_classes)
    } else if offered!(RedisModule_UnsubscribeFromKeyspaceEvents) {
        // SAFETY: the context is one of this module; the classes and the function are those of the subscription.
        unsafe {
            api!(RedisModule_UnsubscribeFromKeyspaceEvents)(ctx.as_ptr(), write_classes, Some(on_key)) == 0
        }
    } else {
        // The subscription stays, and its events are ignored.
        return true;
    };
    if changed {
        WATCHES_WRITES.store(watch, Relaxed);
    }
    changed
}

/// At load: a module that comes back after an unload may find its old statics.
pub(super) fn reset() {
    WATCHES_WRITES.store(false, Relaxed);
}

fn subscribe_to(ctx: &Context, classes: c_int) -> bool {
    // SAFETY: the context is one of this module; the function has the signature of a keyspace callback.
    unsafe { api!(RedisModule_SubscribeToKeyspaceEvents)(ctx.as_ptr(), classes, Some(on_key)) == 0 }
}

/// What may create, replace or delete the index.
const INDEX_CLASSES: c_int = raw::REDISMODULE_NOTIFY_GENERIC
    | raw::REDISMODULE_NOTIFY_HASH
    | raw::REDISMODULE_NOTIFY_EXPIRED
    | raw::REDISMODULE_NOTIFY_EVICTED;
/// What else may change or overwrite a string.
const WRITE_CLASSES: c_int = raw::REDISMODULE_NOTIFY_STRING | COLLECTIONS | raw::REDISMODULE_NOTIFY_MODULE;
const COLLECTIONS: c_int =
    raw::REDISMODULE_NOTIFY_LIST | raw::REDISMODULE_NOTIFY_SET | raw::REDISMODULE_NOTIFY_ZSET;

/// What may create an old index, which then is watched.
const KEYMETA_INDEX_CLASSES: c_int = raw::REDISMODULE_NOTIFY_GENERIC | raw::REDISMODULE_NOTIFY_HASH;
/// What may edit a string in place.
const KEYMETA_WRITE_CLASSES: c_int = raw::REDISMODULE_NOTIFY_STRING | raw::REDISMODULE_NOTIFY_MODULE;

/// The classes of events that the storage needs: always, and to know of foreign writes.
fn classes() -> (c_int, c_int) {
    match config::storage() {
        Storage::Hash => (INDEX_CLASSES, WRITE_CLASSES),
        Storage::Keymeta => (KEYMETA_INDEX_CLASSES, KEYMETA_WRITE_CLASSES),
    }
}

extern "C" fn on_key(
    ctx: *mut raw::RedisModuleCtx,
    class: c_int,
    event: *const c_char,
    key: *mut raw::RedisModuleString,
) -> c_int {
    let (Some(ctx), Some(key)) = (NonNull::new(ctx), NonNull::new(key)) else { return 0 };
    if event.is_null() {
        return 0;
    }
    let class = match class {
        raw::REDISMODULE_NOTIFY_STRING => Class::String,
        raw::REDISMODULE_NOTIFY_GENERIC => Class::Generic,
        raw::REDISMODULE_NOTIFY_HASH => Class::Hash,
        class if class & COLLECTIONS != 0 => Class::Collection,
        raw::REDISMODULE_NOTIFY_EXPIRED => Class::Expired,
        _ => Class::Other,
    };
    // SAFETY: the event's name ends with a NUL and lives during this call.
    let event = unsafe { CStr::from_ptr(event) }.to_bytes();
    let storage = config::storage();
    if storage == Storage::Keymeta && edits::is_harmless(class, event) {
        return 0;
    }
    // SAFETY: the server's context for this call.
    let ctx = unsafe { Context::from_raw(ctx) };
    // SAFETY: the key's name lives during this call.
    let key = unsafe { Str::from_raw(key) };
    guarded(&ctx, || match storage {
        Storage::Hash => foreign_writes::on_event(&ctx, class, event, key),
        Storage::Keymeta => edits::on_event(&ctx, class, event, key),
    });
    0
}

extern "C" fn on_loading(
    ctx: *mut raw::RedisModuleCtx,
    _: raw::RedisModuleEvent,
    subevent: u64,
    _: *mut c_void,
) {
    if subevent == raw::REDISMODULE_SUBEVENT_LOADING_RDB_START {
        on_dataset(ctx, tracked_keys::snapshot_is_loaded);
    }
    if subevent == raw::REDISMODULE_SUBEVENT_LOADING_ENDED {
        on_dataset(ctx, storage::dataset_has_come);
    }
    on_dataset(ctx, propagation::look_for_listeners);
}

extern "C" fn on_async_load(
    ctx: *mut raw::RedisModuleCtx,
    _: raw::RedisModuleEvent,
    subevent: u64,
    _: *mut c_void,
) {
    if subevent == raw::REDISMODULE_SUBEVENT_REPL_ASYNC_LOAD_COMPLETED {
        on_dataset(ctx, storage::dataset_has_come);
    }
}

extern "C" fn on_replaced(ctx: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, _: u64, _: *mut c_void) {
    on_dataset(ctx, index::forget_tables);
}

/// An atomic slot migration from here begins or ends. Of the numbers of Redis; the server calls also in a forked child, with
/// another one.
extern "C" fn on_redis_migration(
    ctx: *mut raw::RedisModuleCtx,
    _: raw::RedisModuleEvent,
    subevent: u64,
    _: *mut c_void,
) {
    match subevent {
        raw::REDISMODULE_SUBEVENT_CLUSTER_SLOT_MIGRATION_MIGRATE_STARTED => propagation::export_begins(),
        raw::REDISMODULE_SUBEVENT_CLUSTER_SLOT_MIGRATION_MIGRATE_FAILED
        | raw::REDISMODULE_SUBEVENT_CLUSTER_SLOT_MIGRATION_MIGRATE_COMPLETED => {
            on_dataset(ctx, propagation::export_ends);
        }
        _ => {}
    }
}

/// As [`on_redis_migration`], in the numbers of Valkey: export started, aborted and completed.
extern "C" fn on_valkey_migration(
    ctx: *mut raw::RedisModuleCtx,
    _: raw::RedisModuleEvent,
    subevent: u64,
    _: *mut c_void,
) {
    match subevent {
        1 => propagation::export_begins(),
        3 | 5 => {
            on_dataset(ctx, propagation::export_ends);
        }
        _ => {}
    }
}

/// After an atomic slot migration the server drops all keys of the slots at once.
extern "C" fn on_trim(ctx: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, _: u64, _: *mut c_void) {
    on_dataset(ctx, index::slots_are_gone);
}

extern "C" fn on_listeners(ctx: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, _: u64, _: *mut c_void) {
    on_dataset(ctx, propagation::look_for_listeners);
}

extern "C" fn on_settings(ctx: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, _: u64, _: *mut c_void) {
    // Whether there is an AOF is a setting too.
    on_dataset(ctx, propagation::look_for_listeners);
    on_dataset(ctx, subscribers::look);
}

extern "C" fn on_modules(ctx: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, _: u64, _: *mut c_void) {
    on_dataset(ctx, subscribers::look);
}

extern "C" fn on_tick(ctx: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, _: u64, _: *mut c_void) {
    unload::load_is_complete();
    if config::storage() == Storage::Keymeta {
        // The rest is about indexes.
        return;
    }
    on_dataset(ctx, index::tick);
    on_dataset(ctx, foreign_writes::tick);
    on_dataset(ctx, tracked_keys::tick);
    on_dataset(ctx, recent::tick);
}

extern "C" fn on_shutdown(_: *mut raw::RedisModuleCtx, _: raw::RedisModuleEvent, _: u64, _: *mut c_void) {
    unload::server_ends();
}

fn on_dataset(ctx: *mut raw::RedisModuleCtx, handle: fn(&Context)) {
    let Some(ctx) = NonNull::new(ctx) else { return };
    // SAFETY: the server's context for this call.
    let ctx = unsafe { Context::from_raw(ctx) };
    guarded(&ctx, || handle(&ctx));
}

/// A panic must not cross the border.
fn guarded(ctx: &Context, handle: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(handle)).is_err() {
        ctx.log_warning("panic in an event handler, ignored; please report it");
    }
}
