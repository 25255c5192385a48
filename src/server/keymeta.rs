//! The metadata of keys: eight bytes that the server keeps with a key and that go where the key goes (Redis 8.6 and
//! later). The class of ours says what happens to them. What they mean is the business of `crate::keymeta`.
//!
//! A key is born without them, and whatever replaces its value drops them. The server keeps them when a value is edited in
//! place, and in snapshots.
//!
//! Nothing in the callbacks here can panic.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};

use redis_module::raw;

use super::{Context, Key, context, load};
use crate::foreign_writes;
use crate::keymeta::{UNTRACKED, VERSION, decode, decode_version};

/// The name of the class. A part of the snapshots.
const NAME: &CStr = c"MTim";

/// The number of the class; 0 while there is none.
static CLASS: AtomicI32 = AtomicI32::new(0);
/// Whether any key has had metadata of ours since the module was loaded.
static WAS_USED: AtomicBool = AtomicBool::new(false);

/// The first call for key metadata that the server lacks.
pub(super) fn missing_call() -> Option<&'static str> {
    macro_rules! first_missing {
        ($($name:ident),+) => {
            $(if !offered!($name) { return Some(stringify!($name)); })+
        };
    }
    first_missing!(
        RedisModule_CreateKeyMetaClass,
        RedisModule_ReleaseKeyMetaClass,
        RedisModule_GetKeyMeta,
        RedisModule_SetKeyMeta,
        RedisModule_EmitAOF,
        RedisModule_GetKeyNameFromIO,
        RedisModule_IsIOError,
        RedisModule_LoadUnsigned,
        RedisModule_SaveUnsigned
    );
    None
}

/// Creates the class. To be done last: unlike all else that OnLoad does, a server does not take it back when the load
/// fails. The number that the server answers when it refuses.
pub(super) fn create_class(ctx: &Context) -> Result<(), c_int> {
    WAS_USED.store(false, Relaxed);
    let mut class = raw::RedisModuleKeyMetaClassConfig {
        version: u64::from(raw::REDISMODULE_KEY_META_VERSION),
        // A server without the module loads our snapshots, without the mtimes.
        flags: 1 << raw::REDISMODULE_META_ALLOW_IGNORE,
        reset_value: UNTRACKED,
        // A copy is a new key.
        copy: None,
        // Without a function the server would keep it. The old content of the new name had another history.
        rename: Some(drop_it),
        move_: Some(drop_it),
        unlink: Some(count_drop),
        // There is nothing to free. Besides, it would be called in other threads.
        free: None,
        rdb_load: Some(load_word),
        rdb_save: Some(save_word),
        aof_rewrite: Some(emit_touch),
        // No pointers, and no memory beside the eight bytes.
        defrag: None,
        mem_usage: None,
        free_effort: None,
    };
    // SAFETY: the context is the one of OnLoad, the name ends with a NUL; the server copies the configuration, which is of
    // the version that it says.
    let class =
        unsafe { api!(RedisModule_CreateKeyMetaClass)(ctx.as_ptr(), NAME.as_ptr(), VERSION, &raw mut class) };
    if class <= 0 {
        return Err(class);
    }
    CLASS.store(class, Relaxed);
    Ok(())
}

/// Whether the module can go; else why not.
#[cfg_attr(test, allow(dead_code, reason = "only a server unloads the module"))]
pub(super) fn may_go() -> Result<(), String> {
    if WAS_USED.load(Relaxed) {
        // At the latest for its next snapshot, or when a thread frees a key.
        return Err("keys have, or had, mtimes with them, about which the server would call it".into());
    }
    Ok(())
}

/// Gives the class back, so that the module can go.
#[cfg_attr(test, allow(dead_code, reason = "only a server unloads the module"))]
pub(super) fn release_class() -> Result<(), String> {
    let class = CLASS.load(Relaxed);
    if class == 0 {
        return Ok(());
    }
    // SAFETY: a class of this module.
    if unsafe { api!(RedisModule_ReleaseKeyMetaClass)(class) } != 0 {
        return Err("the server does not release the class of key metadata".into());
    }
    CLASS.store(0, Relaxed);
    Ok(())
}

impl Key<'_> {
    /// What is kept with the key; [`UNTRACKED`] if nothing. O(1).
    pub(crate) fn metadata(&self) -> u64 {
        let mut word = UNTRACKED;
        // SAFETY: the key is open, the class one of this module, `word` a valid place to write to. Left alone when there
        // is no metadata, or no key.
        unsafe {
            api!(RedisModule_GetKeyMeta)(CLASS.load(Relaxed), self.as_ptr(), &raw mut word);
        }
        word
    }

    /// Keeps this with the key, which must exist and be open for writing. O(1).
    pub(crate) fn set_metadata(&mut self, word: u64) {
        if word != UNTRACKED {
            WAS_USED.store(true, Relaxed);
        }
        // SAFETY: the key is open for writing, the class one of this module.
        unsafe { api!(RedisModule_SetKeyMeta)(CLASS.load(Relaxed), self.as_ptr(), word) };
    }
}

/// RENAME and MOVE: 0 drops it.
unsafe extern "C" fn drop_it(_: *mut raw::RedisModuleKeyOptCtx, _: *mut u64) -> c_int {
    0
}

/// A key goes, or its value is replaced.
unsafe extern "C" fn count_drop(_: *mut raw::RedisModuleKeyOptCtx, _: *mut u64) {
    // There is no context to ask; whether the server follows is no matter of one.
    if !context::is_following(ptr::null_mut()) {
        foreign_writes::count_drop();
    }
}

unsafe extern "C" fn save_word(rdb: *mut raw::RedisModuleIO, _: *mut c_void, word: *mut u64) {
    // SAFETY: the server's place for the metadata of the key that it saves.
    let word = unsafe { *word };
    // SAFETY: the server's stream for this call.
    unsafe { api!(RedisModule_SaveUnsigned)(rdb, word) };
}

/// 1 attaches the word, 0 does not, -1 ends the load.
unsafe extern "C" fn load_word(rdb: *mut raw::RedisModuleIO, place: *mut u64, version: c_int) -> c_int {
    // SAFETY: the server's stream for this call. With the option HANDLE_IO_ERRORS a short one is no end of the server.
    let word = unsafe { api!(RedisModule_LoadUnsigned)(rdb) };
    // SAFETY: as above.
    if unsafe { api!(RedisModule_IsIOError)(rdb) } != 0 {
        return -1;
    }
    match decode_version(version, word) {
        Some(Some(_)) => {
            WAS_USED.store(true, Relaxed);
            // SAFETY: the server's place for the metadata of the key that it loads.
            unsafe { *place = word };
            1
        }
        // Nobody but a forger saves that. The key is untracked.
        Some(None) => 0,
        None => {
            load::log(None, c"warning", "module mtime: the mtimes are from a later version of the module");
            -1
        }
    }
}

/// After the SET of a key, in an AOF that is rewritten without a snapshot, and in an atomic slot migration.
unsafe extern "C" fn emit_touch(aof: *mut raw::RedisModuleIO, _: *mut c_void, word: u64) {
    let Some(mtime) = decode(word) else { return };
    // SAFETY: the server's stream for this call, which knows its key.
    let key = unsafe { api!(RedisModule_GetKeyNameFromIO)(aof) };
    if key.is_null() {
        return;
    }
    mtime.with_text(|text| {
        // SAFETY: the server's stream for this call; the format has an `s` for the live string and a `b` for the start and
        // length of a slice.
        unsafe {
            api!(RedisModule_EmitAOF)(
                aof,
                c"MTTOUCH".as_ptr(),
                c"sb".as_ptr(),
                key,
                text.as_ptr(),
                text.len(),
            );
        }
    });
}
