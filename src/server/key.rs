//! An opened key: what a handler reads from it and writes to it.

use std::ffi::{c_int, c_longlong};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use redis_module::raw;

use super::{Context, OwnedStr, Str, context, subscribers};

/// The type of a key's value, as far as this module tells types apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeyType {
    /// There is no such key. Only a key opened for writing can be in this state.
    Missing,
    /// A string.
    String,
    /// A hash.
    Hash,
    /// Anything else.
    Other,
}

/// An open key. While it is open nothing may delete or replace the key but methods of this handle: whoever opens
/// another key may cause an expiry, whose notification may delete a field of the index. So: open no key while the
/// index is open for reading, and open the index last when writing.
pub(crate) struct Key<'ctx> {
    raw: NonNull<raw::RedisModuleKey>,
    lifetime: PhantomData<&'ctx Context>,
}

impl Key<'_> {
    /// # Safety
    ///
    /// `raw` was answered by `RedisModule_OpenKey` for a context that outlives the handle, and is not closed yet.
    pub(super) const unsafe fn from_raw(raw: NonNull<raw::RedisModuleKey>) -> Self {
        Self { raw, lifetime: PhantomData }
    }

    pub(super) const fn as_ptr(&self) -> *mut raw::RedisModuleKey {
        self.raw.as_ptr()
    }

    /// The type of the value. O(1).
    pub(crate) fn key_type(&self) -> KeyType {
        // SAFETY: the key is open.
        let key_type = unsafe { api!(RedisModule_KeyType)(self.as_ptr()) };
        match isize::try_from(key_type) {
            Ok(raw::REDISMODULE_KEYTYPE_EMPTY) => KeyType::Missing,
            Ok(raw::REDISMODULE_KEYTYPE_STRING) => KeyType::String,
            Ok(raw::REDISMODULE_KEYTYPE_HASH) => KeyType::Hash,
            _ => KeyType::Other,
        }
    }

    /// The number of the database that it is in. The one to rely on: what a context says is selected, Valkey 9 gets wrong
    /// in a transaction that reaches into another database.
    pub(crate) fn database(&self) -> c_int {
        // SAFETY: the key is open.
        unsafe { api!(RedisModule_GetDbIdFromModuleKey)(self.as_ptr()) }
    }

    /// The length of a string in bytes, of a hash in fields; 0 when missing. Does not decode the value. O(1).
    pub(crate) fn length(&self) -> usize {
        // SAFETY: the key is open.
        unsafe { api!(RedisModule_ValueLength)(self.as_ptr()) }
    }

    /// The content of a string, without a copy.
    ///
    /// Turns an integer or embedded string into a raw one for good, so callers ask for the length first: see
    /// [`context::may_be_embedded`]. O(1) for raw strings.
    pub(crate) fn raw_string(&self) -> &[u8] {
        let mut length = 0;
        let mode = READ;
        // SAFETY: the key is open; `length` is a valid place to write to.
        let start = unsafe { api!(RedisModule_StringDMA)(self.as_ptr(), &raw mut length, mode) };
        if start.is_null() {
            return &[];
        }
        // SAFETY: the server answers the start and length of the value, which lives until the key is written to or
        // closed; both need `self` or end its borrow.
        unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length) }
    }

    /// How often the key is used, in the logarithmic scale of LFU; `None` under any other eviction policy.
    pub(crate) fn access_frequency(&self) -> Option<i64> {
        let mut frequency = -1;
        // SAFETY: the key is open; `frequency` is a valid place to write to.
        unsafe { api!(RedisModule_GetLFU)(self.as_ptr(), &raw mut frequency) };
        (frequency >= 0).then_some(frequency)
    }

    /// Sets what [`Self::access_frequency`] has answered.
    pub(crate) fn set_access_frequency(&mut self, frequency: i64) {
        // SAFETY: the key is open. Ignored under any other eviction policy.
        unsafe { api!(RedisModule_SetLFU)(self.as_ptr(), frequency) };
    }

    /// When the key expires, in milliseconds of Unix time; `None` if it does not.
    pub(crate) fn deadline(&self) -> Option<i64> {
        // Redis 8.6 crashes when asked about a missing key.
        if self.key_type() == KeyType::Missing {
            return None;
        }
        // SAFETY: the key is open.
        let deadline = unsafe { api!(RedisModule_GetAbsExpire)(self.as_ptr()) };
        (deadline != NO_EXPIRE).then_some(deadline)
    }

    /// Sets when the key expires, in milliseconds of Unix time, from 0 up. The key must exist and be open for writing.
    pub(crate) fn set_deadline(&mut self, deadline: i64) {
        // SAFETY: the key is open for writing.
        unsafe { api!(RedisModule_SetAbsExpire)(self.as_ptr(), deadline) };
    }

    /// Replaces the value, whatever its type, by a string. Drops the TTL, as SET does. The key must be open for writing.
    pub(crate) fn set_string(&mut self, value: Str<'_>) {
        if self.overwrite(value.as_bytes()) {
            self.drop_deadline();
        } else {
            self.replace(value);
        }
    }

    /// Copies a string over one of the same length, which saves the server to delete and create the key. `false` where
    /// that would not be the same as to replace the value: what another module keeps with the key would stay.
    fn overwrite(&mut self, value: &[u8]) -> bool {
        /// Beyond this, sharing the argument's memory is cheaper than copying.
        const LONGEST: usize = 4096;
        if value.len() > LONGEST
            || context::may_be_embedded(value.len())
            || self.length() != value.len()
            || self.key_type() != KeyType::String
            || subscribers::may_keep_metadata()
        {
            return false;
        }
        let mut length = 0;
        // SAFETY: the key is open for writing; `length` is a valid place to write to. A value that others hold too the
        // server copies first.
        let start = unsafe { api!(RedisModule_StringDMA)(self.as_ptr(), &raw mut length, WRITE) };
        if start.is_null() || length != value.len() {
            return false;
        }
        // SAFETY: the server answers the start of `length` bytes, which are the value's alone: they do not overlap with
        // an argument's.
        unsafe { ptr::copy_nonoverlapping(value.as_ptr(), start.cast::<u8>(), length) };
        true
    }

    fn drop_deadline(&mut self) {
        if self.deadline().is_some() {
            // SAFETY: the key exists and is open for writing.
            unsafe { api!(RedisModule_SetAbsExpire)(self.as_ptr(), NO_EXPIRE) };
        }
    }

    /// Shares the argument's memory instead of copying it, as SET does.
    fn replace(&mut self, value: Str<'_>) {
        // SAFETY: the key is open for writing; the server takes a reference of its own to the live string.
        unsafe { api!(RedisModule_StringSet)(self.as_ptr(), value.as_ptr()) };
    }

    /// Deletes the key. It must be open for writing.
    pub(crate) fn delete(&mut self) {
        // SAFETY: the key is open for writing.
        unsafe { api!(RedisModule_DeleteKey)(self.as_ptr()) };
    }

    /// The value of a field. The key must be a hash. O(1) in a hash table, O(n) in a listpack.
    pub(crate) fn hash_get(&self, field: Str<'_>) -> Option<OwnedStr> {
        let mut value: *mut raw::RedisModuleString = ptr::null_mut();
        // SAFETY: the key is open; the variable arguments are pairs of a live string and a place to write a string
        // pointer to, ended by a null pointer, as the flags say.
        unsafe {
            api!(RedisModule_HashGet)(
                self.as_ptr(),
                HASH_NONE,
                field.as_ptr(),
                &raw mut value,
                ptr::null_mut::<raw::RedisModuleString>(),
            );
        }
        let value = NonNull::new(value)?;
        // SAFETY: HashGet answers a string that the caller owns; automatic memory management is off.
        Some(unsafe { OwnedStr::from_raw(value) })
    }

    /// Whether a field exists. The key must be a hash. O(1) in a hash table.
    pub(crate) fn hash_has(&self, field: Str<'_>) -> bool {
        let mut exists: c_int = 0;
        // SAFETY: the key is open; the variable arguments are pairs of a live string and a place to write an int to,
        // ended by a null pointer, as the flag says.
        unsafe {
            api!(RedisModule_HashGet)(
                self.as_ptr(),
                HASH_EXISTS,
                field.as_ptr(),
                &raw mut exists,
                ptr::null_mut::<raw::RedisModuleString>(),
            );
        }
        exists != 0
    }

    /// Sets a field. Whether it was there before. The key must be a hash or missing, and open for writing; creates the hash.
    pub(crate) fn hash_set(&mut self, field: Str<'_>, value: Str<'_>) -> bool {
        self.hash_write(field, value.as_ptr()) > 0
    }

    /// Deletes a field, and the hash with its last one. The key must be an existing hash: on a missing one the server
    /// would create a hash and remove it again.
    pub(crate) fn hash_delete(&mut self, field: Str<'_>) {
        self.hash_write(field, HASH_DELETE);
    }

    /// How many fields there were before of those written, which is one.
    fn hash_write(&mut self, field: Str<'_>, value: *mut raw::RedisModuleString) -> c_int {
        // SAFETY: the key is open for writing; the variable arguments are pairs of live strings (or the marker for
        // deletion), ended by a null pointer, as the flags say. The server copies both.
        unsafe {
            api!(RedisModule_HashSet)(
                self.as_ptr(),
                HASH_NONE,
                field.as_ptr(),
                value,
                ptr::null_mut::<raw::RedisModuleString>(),
            )
        }
    }
}

impl Drop for Key<'_> {
    fn drop(&mut self) {
        // SAFETY: open until here, closed once.
        unsafe { api!(RedisModule_CloseKey)(self.as_ptr()) };
    }
}

/// `REDISMODULE_READ` and the other constants, in the type that the calls take.
pub(super) const READ: c_int = raw::REDISMODULE_READ.cast_signed();
const WRITE: c_int = raw::REDISMODULE_WRITE.cast_signed();
const HASH_NONE: c_int = raw::REDISMODULE_HASH_NONE.cast_signed();
const HASH_EXISTS: c_int = raw::REDISMODULE_HASH_EXISTS.cast_signed();
/// `REDISMODULE_HASH_DELETE`: a macro with a cast, which bindgen does not translate.
const HASH_DELETE: *mut raw::RedisModuleString = ptr::without_provenance_mut(1);
/// `REDISMODULE_NO_EXPIRE`, likewise.
const NO_EXPIRE: c_longlong = -1;
