//! A context with a client of its own, apart from any command.

use redis_module::raw;

use super::Context;

/// A detached context. Freed when dropped.
pub(super) struct DetachedContext(*mut raw::RedisModuleCtx);

impl DetachedContext {
    /// A new one.
    pub(super) fn new(ctx: &Context) -> Self {
        // SAFETY: the context is the one of this call.
        Self(unsafe { api!(RedisModule_GetDetachedThreadSafeContext)(ctx.as_ptr()) })
    }

    pub(super) const fn as_ptr(&self) -> *mut raw::RedisModuleCtx {
        self.0
    }
}

impl Drop for DetachedContext {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed once; whoever has borrowed it is gone.
        unsafe { api!(RedisModule_FreeThreadSafeContext)(self.0) };
    }
}
