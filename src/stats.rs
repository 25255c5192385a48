//! The counters of `INFO mtime`. Every counter counts since the module was loaded.
//!
//! Only the main thread writes, so that a load and a store do instead of an atomic addition.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter.
pub(crate) struct Counter(AtomicU64);

impl Counter {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts one.
    pub(crate) fn count(&self) {
        self.add(1);
    }

    /// Counts `amount`.
    pub(crate) fn add(&self, amount: usize) {
        let amount = u64::try_from(amount).unwrap_or(u64::MAX);
        self.0.store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// The count.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Sets every counter to 0.
pub(crate) fn reset() {
    for (_, counter) in ALL {
        counter.0.store(0, Relaxed);
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $constant:ident $name:literal)+) => {
        $($(#[$doc])* pub(crate) static $constant: Counter = Counter::new();)+

        /// All counters with their names in INFO, in the order shown.
        pub(crate) static ALL: &[(&std::ffi::CStr, &Counter)] = &[$(($name, &$constant)),+];
    };
}

counters! {
    /// Replies that sent a tracked value.
    MODIFIED c"modified"
    /// Replies that said "not modified".
    NOT_MODIFIED c"not_modified"
    /// Replies that said "no such key".
    MISSING c"missing"
    /// Replies that sent a value without an mtime.
    UNTRACKED c"untracked"
    /// Value bytes sent.
    BYTES_SENT c"bytes_sent"
    /// Value bytes that "not modified" replies did not send.
    BYTES_SAVED c"bytes_saved"
    /// MTSETs that wrote.
    SETS c"sets"
    /// MTSETs whose condition refused.
    SETS_REFUSED c"sets_refused"
    /// MTTOUCHes that set an mtime.
    TOUCHES c"touches"
    /// MTDELs that deleted.
    DELETES c"deletes"
    /// Entries dropped because something else than an MT command changed the value.
    FOREIGN_WRITES_DROPPED c"foreign_writes_dropped"
    /// Entries that MTCLEAN removed.
    CLEANED c"cleaned"
    /// Entries of an index that MTIMPORT moved to their keys.
    IMPORTED c"imported"
    /// Reads whose mtime was known without a look into the index.
    INDEX_LOOKUPS_SAVED c"index_lookups_saved"
}
