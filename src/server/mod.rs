//! The server as safe types. The only place with unsafe code: no raw pointer leaves this folder.
//!
//! Built on the bindgen-made `raw` layer of the redis-module crate alone. The wrappers above it allocate for every
//! argument and panic on binary keys; both are unacceptable in a hot path inside somebody's database.
//!
//! Everything here runs on the server's main thread, the one that executes commands. No type is `Send` or `Sync`.
#![allow(unsafe_code)]

/// The function that the server exports as `RedisModule_$name`.
///
/// `load` has refused to load if one of [`REQUIRED`] is missing, so that the panic cannot happen for those; a call that
/// is not on the list is asked for with [`offered`] first.
macro_rules! api {
    ($name:ident) => {{
        #[allow(unused_unsafe, reason = "the macro stands inside and outside of unsafe blocks")]
        // SAFETY: the server writes these pointers once, before any other code of ours runs; all access is by the
        // main thread.
        let function = unsafe { redis_module::raw::$name };
        match function {
            Some(function) => function,
            None => $crate::server::missing_call(stringify!($name)),
        }
    }};
}

/// Whether the server exports `RedisModule_$name`. The only feature test there is: never a version number.
macro_rules! offered {
    ($name:ident) => {{
        #[allow(unused_unsafe, reason = "as in `api!`")]
        // SAFETY: as in `api!`.
        let function = unsafe { redis_module::raw::$name };
        function.is_some()
    }};
}

pub(crate) mod acl;
pub(crate) mod call_reply;
pub(crate) mod clients;
pub(crate) mod command;
pub(crate) mod config;
pub(crate) mod context;
pub(crate) mod cpu;
mod detached;
pub(crate) mod events;
pub(crate) mod info;
pub(crate) mod job;
mod kept_reply;
pub(crate) mod key;
pub(crate) mod keymeta;
pub(crate) mod load;
pub(crate) mod main_thread;
mod options;
pub(crate) mod propagation;
pub(crate) mod scan;
pub(crate) mod string;
pub(crate) mod subscribers;

pub(crate) use command::{Arguments, Command};
pub(crate) use context::Context;
pub(crate) use key::{Key, KeyType};
pub(crate) use string::{OwnedStr, Str};

/// Our memory is the server's memory: it shows in `used_memory` and counts towards `maxmemory`.
#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: redis_module::alloc::RedisAlloc = redis_module::alloc::RedisAlloc;

#[cold]
#[inline(never)]
#[expect(clippy::panic, reason = "caught at the border; cannot happen for what `load` has checked")]
fn missing_call(name: &str) -> ! {
    panic!("the server lacks {name}")
}
