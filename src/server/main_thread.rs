//! Statics that only the main thread touches, the one that executes commands.

use std::cell::UnsafeCell;

use super::Context;

/// A value for the main thread. The proof of being there is a [`Context`], which never leaves it.
pub(crate) struct MainThread<T>(UnsafeCell<T>);

// SAFETY: all access is by the main thread: `get` asks for a context, which is neither `Send` nor `Sync`, and the callers
// of `get_unproven` and `set` vouch for it.
unsafe impl<T> Sync for MainThread<T> {}

impl<T> MainThread<T> {
    /// A value that is there from the start.
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// The value.
    pub(crate) const fn get(&self, _: &Context) -> &T {
        // SAFETY: on the main thread, which the context proves; `set` is called only while nothing is borrowed.
        unsafe { &*self.0.get() }
    }

    /// The value, where there is no context.
    ///
    /// # Safety
    ///
    /// Called on the main thread; the borrow does not outlive the call from the server.
    pub(super) const unsafe fn get_unproven(&self) -> &T {
        // SAFETY: as the caller promises.
        unsafe { &*self.0.get() }
    }

    /// Replaces the value.
    ///
    /// # Safety
    ///
    /// Called on the main thread, while nothing of the old value is borrowed.
    pub(super) unsafe fn set(&self, value: T) {
        // SAFETY: as the caller promises.
        unsafe { *self.0.get() = value };
    }
}
