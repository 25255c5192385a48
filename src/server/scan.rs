//! Reads a hash in steps, between which it may change.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use redis_module::raw;

use super::{Key, Str};

/// Where a scan goes on. What is in the hash from the first step to the last is found at least once, as by HSCAN.
pub(crate) struct Cursor {
    raw: NonNull<raw::RedisModuleScanCursor>,
    main_thread_only: PhantomData<*mut ()>,
}

impl Cursor {
    /// At the beginning.
    pub(crate) fn new() -> Self {
        // SAFETY: takes nothing.
        let raw = unsafe { api!(RedisModule_ScanCursorCreate)() };
        match NonNull::new(raw) {
            Some(raw) => Self { raw, main_thread_only: PhantomData },
            None => super::missing_call("memory for a cursor"),
        }
    }

    /// One step over the hash: gives each field found to `visit`. `false` at the end.
    pub(crate) fn step<F: FnMut(Str<'_>)>(&self, hash: &Key<'_>, mut visit: F) -> bool {
        // SAFETY: the key is open, the cursor alive; `visit` lives during the call, and the function knows its type.
        unsafe {
            api!(RedisModule_ScanKey)(
                hash.as_ptr(),
                self.raw.as_ptr(),
                Some(visit_field::<F>),
                (&raw mut visit).cast(),
            ) != 0
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        // SAFETY: alive until here, destroyed once.
        unsafe { api!(RedisModule_ScanCursorDestroy)(self.raw.as_ptr()) };
    }
}

unsafe extern "C" fn visit_field<F: FnMut(Str<'_>)>(
    _: *mut raw::RedisModuleKey,
    field: *mut raw::RedisModuleString,
    _: *mut raw::RedisModuleString,
    visit: *mut c_void,
) {
    let Some(field) = NonNull::new(field) else { return };
    // SAFETY: the server passes on what `step` has passed: a live closure of this type, which nobody else uses now.
    let visit = unsafe { &mut *visit.cast::<F>() };
    // SAFETY: a live string during this call.
    let field = unsafe { Str::from_raw(field) };
    // A panic must not cross the border. What it leaves out is found by the next scan.
    let _ = catch_unwind(AssertUnwindSafe(|| visit(field)));
}
