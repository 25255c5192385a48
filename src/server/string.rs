//! Strings of the server: borrowed ones, such as the arguments of a command, and owned ones.

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use redis_module::raw;

/// A string that lives at least as long as `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Str<'a> {
    raw: NonNull<raw::RedisModuleString>,
    lifetime: PhantomData<&'a raw::RedisModuleString>,
}

impl<'a> Str<'a> {
    /// # Safety
    ///
    /// - `raw` points to a live string of the server
    /// - which stays alive and unchanged for `'a`.
    pub(super) const unsafe fn from_raw(raw: NonNull<raw::RedisModuleString>) -> Self {
        Self { raw, lifetime: PhantomData }
    }

    pub(super) const fn as_ptr(self) -> *mut raw::RedisModuleString {
        self.raw.as_ptr()
    }

    /// The content, any bytes. O(1).
    pub(crate) fn as_bytes(self) -> &'a [u8] {
        let mut length = 0;
        // SAFETY: the string is alive; `length` is a valid place to write to.
        let start = unsafe { api!(RedisModule_StringPtrLen)(self.as_ptr(), &raw mut length) };
        if start.is_null() {
            return &[];
        }
        // SAFETY: the server answers the start and length of the content, which is alive and unchanged for `'a`.
        unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length) }
    }
}

/// A string of which we hold a reference; released when dropped.
pub(crate) struct OwnedStr {
    raw: NonNull<raw::RedisModuleString>,
}

impl OwnedStr {
    /// A new string with a copy of `content`.
    pub(crate) fn new(content: &[u8]) -> Self {
        // SAFETY: a null context is allowed and keeps the string out of automatic memory management; the pointer and
        // the length are those of a slice.
        let raw = unsafe {
            api!(RedisModule_CreateString)(ptr::null_mut(), content.as_ptr().cast(), content.len())
        };
        match NonNull::new(raw) {
            Some(raw) => Self { raw },
            None => super::missing_call("memory for a string"),
        }
    }

    /// # Safety
    ///
    /// `raw` points to a live string, and the caller gives up its reference to it.
    pub(super) const unsafe fn from_raw(raw: NonNull<raw::RedisModuleString>) -> Self {
        Self { raw }
    }

    /// Borrows it.
    pub(crate) const fn as_str(&self) -> Str<'_> {
        // SAFETY: alive while `self` holds its reference; nobody changes a string that is referenced.
        unsafe { Str::from_raw(self.raw) }
    }

    /// Gives the reference away, to a caller that releases it.
    pub(super) fn into_raw(self) -> *mut raw::RedisModuleString {
        std::mem::ManuallyDrop::new(self).raw.as_ptr()
    }
}

impl Drop for OwnedStr {
    fn drop(&mut self) {
        // SAFETY: releases the one reference that `self` holds; a null context, because it is not auto-managed.
        unsafe { api!(RedisModule_FreeString)(ptr::null_mut(), self.raw.as_ptr()) };
    }
}
