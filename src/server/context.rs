//! The context of a call from the server: what a handler can ask for, reply and propagate.

use std::ffi::{CStr, c_int};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering::Relaxed};

use redis_module::raw;

use super::call_reply::{CallReply, ScanStep};
use super::detached::DetachedContext;
use super::key::READ;
use super::{Key, KeyType, OwnedStr, Str, kept_reply, subscribers};
use crate::slots::Slot;

/// The context of a command or an event. Lives as long as the call that brought it.
pub(crate) struct Context {
    raw: NonNull<raw::RedisModuleCtx>,
    main_thread_only: PhantomData<*mut ()>,
}

/// How a key is looked up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// As GET does: counts a hit or a miss, fires `keymiss`, and is a use of the key for LRU and LFU.
    Read,
    /// A use of the key, but neither hit nor miss nor event: for the index, which no client has asked for.
    Unseen,
    /// Leaves no trace at all.
    Peek,
    /// For writing. Opens missing keys too.
    Write,
    /// For a change to what is kept with the key. Opens missing keys too, and leaves no trace otherwise.
    Edit,
}

/// The mode for [`Lookup::Unseen`] on this server; found out at load.
static UNSEEN: AtomicI32 = AtomicI32::new(READ | WRITE);
/// The longest string that this server may embed in its object, in bytes; found out at load.
static EMBEDDED_MAX: AtomicUsize = AtomicUsize::new(44);
/// Whether the server is a cluster node, which does not change; found out at load.
static IS_CLUSTER: AtomicBool = AtomicBool::new(false);

/// Whether the server is a cluster node.
pub(crate) fn is_cluster() -> bool {
    IS_CLUSTER.load(Relaxed)
}

impl Context {
    /// # Safety
    ///
    /// `raw` is the context of a call from the server, and the value does not outlive that call.
    pub(super) const unsafe fn from_raw(raw: NonNull<raw::RedisModuleCtx>) -> Self {
        Self { raw, main_thread_only: PhantomData }
    }

    pub(super) const fn as_ptr(&self) -> *mut raw::RedisModuleCtx {
        self.raw.as_ptr()
    }

    // Keys

    /// Opens a key. `None` when it is missing, unless it is opened for writing.
    ///
    /// May delete the key because it has expired, which fires an event: see [`Key`].
    pub(crate) fn open(&self, name: Str<'_>, lookup: Lookup) -> Option<Key<'_>> {
        let mode = match lookup {
            Lookup::Read => READ,
            Lookup::Unseen => UNSEEN.load(Relaxed),
            Lookup::Peek => UNSEEN.load(Relaxed) | NO_TOUCH,
            Lookup::Write => READ | WRITE,
            Lookup::Edit => READ | WRITE | NO_TOUCH,
        };
        // SAFETY: the context is the one of this call, the name a live string. Automatic memory management is off, so
        // the handle is ours to close.
        let key = unsafe { api!(RedisModule_OpenKey)(self.as_ptr(), name.as_ptr(), mode) };
        // SAFETY: just opened, in the context that `self` borrows.
        NonNull::new(key.cast()).map(|key| unsafe { Key::from_raw(key) })
    }

    /// Whether a key exists. Leaves no trace.
    pub(crate) fn exists(&self, name: Str<'_>) -> bool {
        self.open(name, Lookup::Peek).is_some_and(|key| key.key_type() != KeyType::Missing)
    }

    /// Counts a hit or a miss for a key, and fires `keymiss`, as a look-up of GET does; no use for LRU and LFU.
    pub(crate) fn count_lookup(&self, name: Str<'_>) {
        // SAFETY: the context is the one of this call, the name a live string.
        unsafe { api!(RedisModule_KeyExists)(self.as_ptr(), name.as_ptr()) };
    }

    /// Whether there is a database with this number, which is then the selected one.
    pub(crate) fn select_db(&self, number: c_int) -> bool {
        // SAFETY: the context is the one of this call; a number out of range is answered with an error.
        unsafe { api!(RedisModule_SelectDb)(self.as_ptr(), number) == OK }
    }

    /// Selects every database that may have keys in turn, and then again the one that was selected.
    pub(crate) fn for_each_db(&self, mut visit: impl FnMut(c_int)) {
        let selected = self.selected_db();
        for number in (0..).take_while(|number| self.select_db(*number)) {
            if !self.is_surely_empty() {
                visit(number);
            }
        }
        self.select_db(selected);
    }

    /// Whether the selected database has no keys, if that can be asked.
    pub(crate) fn is_surely_empty(&self) -> bool {
        // In a cluster Redis 8.4 and later leave out the keys of slots that the node's master has not. Where two nodes
        // replicate each other, as after a failover for a moment, they never come to an end of looking for that master.
        if is_cluster() && offered!(RedisModule_ClusterCanAccessKeysInSlot) {
            return false;
        }
        // SAFETY: the context is the one of this call.
        unsafe { api!(RedisModule_DbSize)(self.as_ptr()) == 0 }
    }

    /// The number of the selected database.
    pub(crate) fn selected_db(&self) -> c_int {
        // SAFETY: the context is the one of this call.
        unsafe { api!(RedisModule_GetSelectedDb)(self.as_ptr()) }
    }

    // Replies

    /// Replies a null of the client's protocol version.
    pub(crate) fn reply_null(&self) {
        // SAFETY: the context is the one of this call.
        unsafe { api!(RedisModule_ReplyWithNull)(self.as_ptr()) };
    }

    /// Replies `OK`.
    pub(crate) fn reply_ok(&self) {
        if !kept_reply::send_ok(self) {
            // SAFETY: the context is the one of this call; the text is a constant.
            unsafe { api!(RedisModule_ReplyWithSimpleString)(self.as_ptr(), c"OK".as_ptr()) };
        }
    }

    /// Replies an integer.
    pub(crate) fn reply_integer(&self, integer: i64) {
        // SAFETY: the context is the one of this call.
        unsafe { api!(RedisModule_ReplyWithLongLong)(self.as_ptr(), integer) };
    }

    /// Replies a bulk string with a copy of `bytes`.
    pub(crate) fn reply_bulk(&self, bytes: &[u8]) {
        // SAFETY: the context is the one of this call; pointer and length are those of a slice.
        unsafe {
            api!(RedisModule_ReplyWithStringBuffer)(self.as_ptr(), bytes.as_ptr().cast(), bytes.len());
        }
    }

    /// Replies the head of an array; `length` replies follow as its elements.
    pub(crate) fn reply_array(&self, length: usize) {
        let length = std::ffi::c_long::try_from(length).unwrap_or(std::ffi::c_long::MAX);
        // SAFETY: the context is the one of this call.
        unsafe { api!(RedisModule_ReplyWithArray)(self.as_ptr(), length) };
    }

    /// Replies an error: its code, a blank and its text.
    pub(crate) fn reply_error(&self, message: &CStr) {
        // SAFETY: the context is the one of this call; the text ends with a NUL.
        unsafe { api!(RedisModule_ReplyWithError)(self.as_ptr(), message.as_ptr()) };
    }

    /// Replies the server's own error for a wrong number of arguments.
    pub(crate) fn reply_wrong_arity(&self) {
        // SAFETY: the context is the one of this call.
        unsafe { api!(RedisModule_WrongArity)(self.as_ptr()) };
    }

    /// Replies what GET would. Leaves the value's encoding alone, at the price of a whole command inside ours.
    pub(crate) fn reply_get(&self, key: Str<'_>) {
        // "0": in the client's protocol version, so that a null is the client's null.
        // SAFETY: the format has one `s` for the one live string.
        let reply =
            unsafe { api!(RedisModule_Call)(self.as_ptr(), c"GET".as_ptr(), c"0s".as_ptr(), key.as_ptr()) };
        let reply = CallReply::from_raw(reply);
        match reply.as_ptr() {
            Some(raw) => {
                // SAFETY: a live reply of a call in this context.
                unsafe { api!(RedisModule_ReplyWithCallReply)(self.as_ptr(), raw) };
            }
            None => self.reply_null(),
        }
    }

    // The server

    /// Fires a keyspace event of the string class, if anybody may notice it.
    pub(crate) fn notify_string(&self, event: &CStr, key: Str<'_>) {
        self.notify(raw::REDISMODULE_NOTIFY_STRING, event, key);
    }

    /// Fires a keyspace event of the generic class, if anybody may notice it.
    pub(crate) fn notify_generic(&self, event: &CStr, key: Str<'_>) {
        self.notify(raw::REDISMODULE_NOTIFY_GENERIC, event, key);
    }

    fn notify(&self, class: c_int, event: &CStr, key: Str<'_>) {
        if !subscribers::may_be_any() {
            return;
        }
        // SAFETY: the context is the one of this call; the event ends with a NUL, the key is a live string.
        unsafe { api!(RedisModule_NotifyKeyspaceEvent)(self.as_ptr(), class, event.as_ptr(), key.as_ptr()) };
    }

    /// The server's clock in milliseconds of Unix time: the one that TTLs are reckoned by.
    pub(crate) fn now_ms(&self) -> i64 {
        // SAFETY: takes nothing.
        unsafe { api!(RedisModule_Milliseconds)() }
    }

    /// Whether the server takes all its writes from elsewhere, a master or a file, and must not add any. A replica that
    /// can be written to does not: what its own clients write, nobody else judges.
    pub(crate) fn is_following(&self) -> bool {
        is_following(self.as_ptr())
    }

    /// Whether writes are paused (CLIENT PAUSE, a failover). Propagating then, unasked, fails an assertion of the server.
    pub(crate) fn writes_are_paused(&self) -> bool {
        // SAFETY: takes nothing.
        unsafe { api!(RedisModule_AvoidReplicaTraffic)() != 0 }
    }

    /// Whether the command is part of a transaction or a script.
    pub(crate) fn is_in_unit(&self) -> bool {
        self.flags() & (raw::REDISMODULE_CTX_FLAGS_MULTI | raw::REDISMODULE_CTX_FLAGS_LUA) != 0
    }

    // A cluster

    /// Whether the writes of a slot come from elsewhere, in this very call: on a replica, while loading, and while an atomic
    /// slot migration fills the slot.
    pub(crate) fn is_slot_fed(&self, slot: Slot) -> bool {
        // Valkey calls back with the client that executes, and that client is told apart. As for replicas, also those that
        // clients might write to: they are sent elsewhere in a cluster. The server must not be asked the rest there: it
        // looks for the master, and that may never end, see `is_surely_empty`.
        const FED: u32 = LOADING | raw::REDISMODULE_CTX_FLAGS_REPLICATED | raw::REDISMODULE_CTX_FLAGS_SLAVE;
        if self.flags() & FED != 0 {
            return true;
        }
        // Redis calls back with another client, but tells whose a slot is: ours only after the migration.
        let Ok(slot) = c_int::try_from(slot.number()) else { return false };
        if !offered!(RedisModule_ClusterCanAccessKeysInSlot) {
            return false;
        }
        // SAFETY: takes any number.
        unsafe { api!(RedisModule_ClusterCanAccessKeysInSlot)(slot) == 0 }
    }

    /// Whether a key that does not exist may be created here. Not while its slot is moved from or to another node, key
    /// by key: it may exist on that one. Only for keys that do not exist.
    pub(crate) fn may_create(&self, key: Str<'_>) -> bool {
        // It has a client of its own, so that the ASKING of ours does not count.
        let detached = DetachedContext::new(self);
        // The server checks the slot as for a command of a client, then finds nothing to delete. Unlike a read this counts
        // no miss.
        // SAFETY: the format has an `s` for each of the two live strings.
        let reply = unsafe {
            api!(RedisModule_Call)(
                detached.as_ptr(),
                c"HDEL".as_ptr(),
                c"ss".as_ptr(),
                key.as_ptr(),
                key.as_ptr(),
            )
        };
        let is_served = !reply.is_null();
        drop(CallReply::from_raw(reply));
        is_served
    }

    pub(super) fn flags(&self) -> u32 {
        // SAFETY: the context is the one of this call.
        unsafe { api!(RedisModule_GetContextFlags)(self.as_ptr()) }.cast_unsigned()
    }

    /// Calls a command with one argument.
    pub(super) fn call_with(&self, command: &CStr, argument: &CStr) -> CallReply {
        // SAFETY: the format has one `c` for one text that ends with a NUL.
        let reply = unsafe {
            api!(RedisModule_Call)(self.as_ptr(), command.as_ptr(), c"c".as_ptr(), argument.as_ptr())
        };
        CallReply::from_raw(reply)
    }

    /// Numbers from a section of INFO; `None` for a field that is not there, or is no number.
    pub(super) fn info_numbers<const N: usize>(
        &self,
        section: &CStr,
        fields: [&CStr; N],
    ) -> [Option<u64>; N] {
        // SAFETY: the context is the one of this call; the section ends with a NUL.
        let info = unsafe { api!(RedisModule_GetServerInfo)(self.as_ptr(), section.as_ptr()) };
        let numbers = fields.map(|field| {
            let mut error: c_int = 0;
            // SAFETY: live information, a name that ends with a NUL, and a valid place to write an int to.
            let number =
                unsafe { api!(RedisModule_ServerInfoGetFieldUnsigned)(info, field.as_ptr(), &raw mut error) };
            (error == 0).then_some(number)
        });
        // SAFETY: live information, freed once.
        unsafe { api!(RedisModule_FreeServerInfo)(self.as_ptr(), info) };
        numbers
    }

    /// The value of a core setting that is a number.
    pub(crate) fn numeric_setting(&self, name: &CStr) -> Option<usize> {
        self.setting(name)?.parse().ok()
    }

    /// The value of a core setting, by `CONFIG GET`.
    pub(super) fn setting(&self, name: &CStr) -> Option<String> {
        // SAFETY: the format has two `c` for two texts that end with a NUL.
        let reply = unsafe {
            api!(RedisModule_Call)(
                self.as_ptr(),
                c"CONFIG".as_ptr(),
                c"cc".as_ptr(),
                c"GET".as_ptr(),
                name.as_ptr(),
            )
        };
        CallReply::from_raw(reply).text_at(1).map(str::to_owned)
    }

    /// One step over the fields of a hash, by `HSCAN hash cursor COUNT count`: stateless, as a cursor of a client has to
    /// be.
    pub(crate) fn hscan(&self, hash: Str<'_>, cursor: u64, count: u32) -> ScanStep {
        let cursor = OwnedStr::new(cursor.to_string().as_bytes());
        // SAFETY: the format has an `s` for each of the two live strings, `c` for a constant that ends with a NUL, `l`
        // for a long long.
        let reply = unsafe {
            api!(RedisModule_Call)(
                self.as_ptr(),
                c"HSCAN".as_ptr(),
                c"sscl".as_ptr(),
                hash.as_ptr(),
                cursor.as_str().as_ptr(),
                c"COUNT".as_ptr(),
                std::ffi::c_longlong::from(count),
            )
        };
        ScanStep::from_reply(CallReply::from_raw(reply))
    }

    /// Whether the server may look up commands of a client before it has executed those in front of them: Redis that has
    /// the setting `lookahead` (8.4), and Valkey from 9.1 on, which does not tell.
    pub(crate) fn reads_commands_ahead(&self) -> bool {
        super::load::is_valkey() || self.numeric_setting(c"lookahead").is_some_and(|commands| commands > 1)
    }

    /// Writes a line to the server's log. `text` must hold no NUL.
    pub(crate) fn log_notice(&self, text: &str) {
        super::load::log(Some(self), c"notice", text);
    }

    /// Writes a line to the server's log. `text` must hold no NUL.
    pub(crate) fn log_warning(&self, text: &str) {
        super::load::log(Some(self), c"warning", text);
    }
}

const LOADING: u32 = raw::REDISMODULE_CTX_FLAGS_LOADING | raw::REDISMODULE_CTX_FLAGS_ASYNC_LOADING;

/// See [`Context::is_following`]. The context may be null: what is asked for is the server's state.
pub(super) fn is_following(ctx: *mut raw::RedisModuleCtx) -> bool {
    const READ_ONLY_REPLICA: u32 = raw::REDISMODULE_CTX_FLAGS_SLAVE | raw::REDISMODULE_CTX_FLAGS_READONLY;
    // SAFETY: the context is the one of this call, or null.
    let flags = unsafe { api!(RedisModule_GetContextFlags)(ctx) }.cast_unsigned();
    flags & LOADING != 0 || flags & READ_ONLY_REPLICA == READ_ONLY_REPLICA
}

/// Whether a string of this length may be stored in another form than raw, which a direct access would change. Longer
/// ones are raw on every server.
pub(crate) fn may_be_embedded(length: usize) -> bool {
    length <= EMBEDDED_MAX.load(Relaxed)
}

/// Finds out what the server does that its calls do not tell. Called once, at load.
pub(super) fn learn_the_server(ctx: &Context) {
    const NO_STATS: c_int =
        (raw::REDISMODULE_OPEN_KEY_NOSTATS | raw::REDISMODULE_OPEN_KEY_NONOTIFY).cast_signed();
    let modes = if offered!(RedisModule_GetOpenKeyModesAll) {
        // SAFETY: takes nothing.
        unsafe { api!(RedisModule_GetOpenKeyModesAll)() }
    } else {
        0
    };
    // Without the flags: a lookup for writing counts nothing either. Closing signals no modification: see `options`.
    let unseen = if modes & NO_STATS == NO_STATS { READ | NO_STATS } else { READ | WRITE };
    // Redis embeds strings of up to 44 bytes (OBJ_ENCODING_EMBSTR_SIZE_LIMIT in object.c). Valkey 9 embeds what
    // fits 128 bytes together with a header of 8, the key and 4 bytes around the value (shouldEmbedStringObject).
    let embedded_max = if super::load::is_valkey() { 116 } else { 44 };
    UNSEEN.store(unseen, Relaxed);
    EMBEDDED_MAX.store(embedded_max, Relaxed);
    IS_CLUSTER.store(ctx.flags() & raw::REDISMODULE_CTX_FLAGS_CLUSTER != 0, Relaxed);
}

const WRITE: c_int = raw::REDISMODULE_WRITE.cast_signed();
const NO_TOUCH: c_int = raw::REDISMODULE_OPEN_KEY_NOTOUCH.cast_signed();
pub(super) const OK: c_int = 0;
