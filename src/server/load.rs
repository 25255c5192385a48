//! Loading: the checks, in an order that leaves nothing behind when one fails, then the registrations.

use std::ffi::{CStr, CString, c_char, c_int};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

use redis_module::raw;

use super::{
    Context, command, config, context, events, info, kept_reply, keymeta, options, propagation, subscribers,
};
use crate::config::{Storage, invalidate_on_write, storage};
use crate::stats;

/// Lets `lib.rs` register commands while the module loads.
pub(crate) struct Loader<'ctx>(&'ctx Context);

impl Loader<'_> {
    /// Registers a command. `false` when the server refuses.
    pub(crate) fn command<C: command::Command>(&self) -> bool {
        command::register::<C>(self.0)
    }
}

macro_rules! required {
    ($($name:ident),+ $(,)?) => {
        /// The first call that we need and the server lacks.
        fn missing_call() -> Option<&'static str> {
            $(if !offered!($name) { return Some(stringify!($name)); })+
            None
        }
    };
}

// Every call that is not asked for with `offered!` where it is used.
required!(
    RedisModule_ACLCheckKeyPermissions,
    RedisModule_AvoidReplicaTraffic,
    RedisModule_Call,
    RedisModule_CallReplyArrayElement,
    RedisModule_CallReplyStringPtr,
    RedisModule_CallReplyType,
    RedisModule_CloseKey,
    RedisModule_CreateCommand,
    RedisModule_CreateString,
    RedisModule_DbSize,
    RedisModule_DeleteKey,
    RedisModule_FreeCallReply,
    RedisModule_FreeModuleUser,
    RedisModule_FreeServerInfo,
    RedisModule_FreeString,
    RedisModule_FreeThreadSafeContext,
    RedisModule_GetAbsExpire,
    RedisModule_GetCommand,
    RedisModule_GetContextFlags,
    RedisModule_GetCurrentUserName,
    RedisModule_GetDbIdFromModuleKey,
    RedisModule_GetDetachedThreadSafeContext,
    RedisModule_GetLFU,
    RedisModule_GetModuleUserFromUserName,
    RedisModule_GetSelectedDb,
    RedisModule_GetServerInfo,
    RedisModule_HashGet,
    RedisModule_HashSet,
    RedisModule_InfoAddFieldULongLong,
    RedisModule_InfoAddSection,
    RedisModule_KeyExists,
    RedisModule_KeyType,
    RedisModule_LoadConfigs,
    RedisModule_Log,
    RedisModule_Milliseconds,
    RedisModule_NotifyKeyspaceEvent,
    RedisModule_OpenKey,
    RedisModule_RegisterBoolConfig,
    RedisModule_RegisterEnumConfig,
    RedisModule_RegisterInfoFunc,
    RedisModule_RegisterStringConfig,
    RedisModule_Replicate,
    RedisModule_ReplicateVerbatim,
    RedisModule_ReplyWithArray,
    RedisModule_ReplyWithCallReply,
    RedisModule_ReplyWithError,
    RedisModule_ReplyWithLongLong,
    RedisModule_ReplyWithNull,
    RedisModule_ReplyWithSimpleString,
    RedisModule_ReplyWithStringBuffer,
    RedisModule_ScanCursorCreate,
    RedisModule_ScanCursorDestroy,
    RedisModule_ScanKey,
    RedisModule_SelectDb,
    RedisModule_ServerInfoGetFieldUnsigned,
    RedisModule_SetAbsExpire,
    RedisModule_SetCommandInfo,
    RedisModule_SetLFU,
    RedisModule_SetModuleOptions,
    RedisModule_StringDMA,
    RedisModule_StringPtrLen,
    RedisModule_StringSet,
    RedisModule_SubscribeToKeyspaceEvents,
    RedisModule_SubscribeToServerEvent,
    RedisModule_ValueLength,
    RedisModule_WrongArity,
);

/// The core commands that we call or propagate. Without one of them, by `rename-command`, writes would not reach the
/// AOF and the replicas.
const CORE_COMMANDS: [&CStr; 7] = [c"GET", c"SET", c"DEL", c"HSET", c"HDEL", c"HSCAN", c"CONFIG"];

/// The name of the module.
pub(super) const NAME: &CStr = c"mtime";

/// What `lib.rs` says of the module.
pub(crate) struct Module {
    /// Its version as a number: 10,000 major + 100 minor + patch.
    pub(crate) version: c_int,
    /// Registers its commands.
    pub(crate) commands: fn(&Loader<'_>) -> bool,
}

#[cfg_attr(test, allow(dead_code, reason = "only a server loads the module"))]
fn load(ctx: *mut raw::RedisModuleCtx, argument_count: c_int, module: &Module) -> c_int {
    // SAFETY: called by the server with its context, before anything else; resolves the function pointers.
    let initialized = unsafe {
        raw::Export_RedisModule_Init(
            ctx,
            NAME.as_ptr(),
            module.version,
            raw::REDISMODULE_APIVER_1.cast_signed(),
        )
    };
    let Some(ctx) = NonNull::new(ctx).filter(|_| initialized == OK) else { return ERR };
    // SAFETY: the server's context for this call.
    let ctx = unsafe { Context::from_raw(ctx) };
    match catch_unwind(AssertUnwindSafe(|| prepare(&ctx, argument_count, module))) {
        Ok(Ok(())) => OK,
        Ok(Err(reason)) => refuse(&ctx, &reason),
        Err(_) => refuse(&ctx, "panic while loading; please report it"),
    }
}

fn refuse(ctx: &Context, reason: &str) -> c_int {
    release(ctx);
    log(Some(ctx), c"warning", &format!("module mtime not loaded: {reason}"));
    ERR
}

/// Gives back what the module holds outside of the dataset.
fn release(ctx: &Context) {
    crate::tracked_keys::forget(ctx);
    crate::recent::release(ctx);
    crate::foreign_writes::forget(ctx);
    kept_reply::release(ctx);
    config::release();
}

fn prepare(ctx: &Context, argument_count: c_int, module: &Module) -> Result<(), String> {
    if let Some(name) = missing_call() {
        return Err(format!("the server lacks {name}; needed is Redis 7.0 or later, or Valkey"));
    }
    if let Some(name) = missing_command(ctx) {
        return Err(format!(
            "the server has no command {name}, which the module propagates (rename-command?)"
        ));
    }
    if argument_count > 0 {
        return Err(
            "it takes no arguments; its settings are mtime.* in redis.conf or MODULE LOADEX ... CONFIG"
                .into(),
        );
    }
    context::learn_the_server(ctx);
    options::set(ctx);
    stats::reset();
    events::reset();
    if !config::register(ctx) {
        return Err("the configuration is not accepted".into());
    }
    if storage() == Storage::Keymeta
        && let Some(name) = keymeta::missing_call()
    {
        return Err(format!(
            "mtime.storage keymeta needs key metadata, which Redis has from 8.6 on; this server lacks {name}"
        ));
    }
    command::add_category(ctx);
    if !(module.commands)(&Loader(ctx)) {
        return Err("a command cannot be registered: is there another module with the same one?".into());
    }
    // Some servers apply settings while they load the module, others only when they change.
    let subscribed = events::subscribe(ctx) && events::watch_writes(ctx, invalidate_on_write());
    if !subscribed || !info::register(ctx) {
        return Err("the server refuses a subscription".into());
    }
    propagation::look_for_listeners(ctx);
    subscribers::look(ctx);
    kept_reply::prepare(ctx);
    // Loaded into a running server: the index may be there already.
    crate::storage::dataset_has_come(ctx);
    // It looks how many commands were called.
    crate::unload::loading(ctx);
    if storage() == Storage::Keymeta {
        keymeta::create_class(ctx).map_err(|number| {
            format!(
                "the server refuses the class of key metadata ({number}): are all seven taken by other modules, or may it \
                 only be created while the server starts?"
            )
        })?;
    }
    Ok(())
}

/// The first core command that does not exist. Found out by calling it without arguments, which executes nothing: the
/// call fails with EINVAL for the number of arguments, and with ENOENT when there is no such command.
fn missing_command(ctx: &Context) -> Option<&'static str> {
    CORE_COMMANDS.into_iter().find_map(|name| {
        // SAFETY: the context is the one of OnLoad; an empty format takes no arguments.
        let reply = unsafe { api!(RedisModule_Call)(ctx.as_ptr(), name.as_ptr(), c"".as_ptr()) };
        let missing = reply.is_null() && io::Error::last_os_error().raw_os_error() == Some(libc::ENOENT);
        drop(super::call_reply::CallReply::from_raw(reply));
        missing.then(|| name.to_str().unwrap_or_default())
    })
}

/// Whether the server is Valkey: it exports its calls under both names.
pub(super) fn is_valkey() -> bool {
    let mut function: *mut std::ffi::c_void = ptr::null_mut();
    if !offered!(RedisModule_GetApi) {
        return false;
    }
    // SAFETY: a constant name and a valid place for a pointer, which is written only if the call exists.
    let found =
        unsafe { api!(RedisModule_GetApi)(c"ValkeyModule_OpenKey".as_ptr(), (&raw mut function).cast()) };
    found == OK && !function.is_null()
}

/// Writes a line to the server's log.
pub(super) fn log(ctx: Option<&Context>, level: &CStr, text: &str) {
    let Ok(text) = CString::new(text) else { return };
    let ctx: *mut raw::RedisModuleCtx = ctx.map_or(ptr::null_mut(), Context::as_ptr);
    let format: *const c_char = c"%s".as_ptr();
    if !offered!(RedisModule_Log) {
        return;
    }
    // SAFETY: the format takes one text that ends with a NUL.
    unsafe { api!(RedisModule_Log)(ctx, level.as_ptr(), format, text.as_ptr()) };
}

const OK: c_int = 0;
const ERR: c_int = 1;

/// What the server calls to load the module.
///
/// # Safety
///
/// Called by a server with its module context, on its main thread.
#[cfg(not(test))]
#[unsafe(no_mangle)]
unsafe extern "C" fn RedisModule_OnLoad(
    ctx: *mut raw::RedisModuleCtx,
    _argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    load(ctx, argc, &crate::MODULE)
}

/// What the server calls before it unloads the module. With hash storage nothing of the dataset needs it: the index is a
/// plain hash. But clients may hold its commands.
#[cfg(not(test))]
#[unsafe(no_mangle)]
extern "C" fn RedisModule_OnUnload(ctx: *mut raw::RedisModuleCtx) -> c_int {
    let Some(ctx) = NonNull::new(ctx) else { return ERR };
    // SAFETY: the server's context for this call.
    let ctx = unsafe { Context::from_raw(ctx) };
    let ready = catch_unwind(AssertUnwindSafe(|| {
        keymeta::may_go()?;
        crate::unload::prepare(&ctx)?;
        keymeta::release_class()
    }));
    if let Err(reason) = ready.unwrap_or_else(|_| Err("panic while unloading; please report it".into())) {
        log(Some(&ctx), c"warning", &format!("module mtime not unloaded: {reason}"));
        return ERR;
    }
    release(&ctx);
    OK
}
