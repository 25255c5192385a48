//! The settings of this module: their values, and which are the defaults. `server::config` registers them.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

/// The default of `mtime.index-key`: the name that the seed's scripts use.
pub(crate) const DEFAULT_INDEX_KEY: &std::ffi::CStr = c"MY_KEYSMTIME";

/// `mtime.storage`: where mtimes live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Storage {
    /// `hash`, the default: in a plain hash.
    Hash = 0,
    /// `keymeta`: with the keys themselves.
    Keymeta = 1,
}

impl Storage {
    /// The storage with this number; the default for any other number.
    pub(crate) const fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Keymeta,
            _ => Self::Hash,
        }
    }
}

/// `mtime.clock-unit`: the unit of the mtimes that `*` assigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ClockUnit {
    /// `s`.
    Seconds = 0,
    /// `ms`, the default.
    Milliseconds = 1,
    /// `us`.
    Microseconds = 2,
}

impl ClockUnit {
    /// The unit with this number; the default for any other number.
    pub(crate) const fn from_number(number: i32) -> Self {
        match number {
            0 => Self::Seconds,
            2 => Self::Microseconds,
            _ => Self::Milliseconds,
        }
    }

    /// The server's clock in this unit of Unix time.
    pub(crate) fn now(self) -> i64 {
        // A clock before 1970 reads as 1970: an mtime that is too early is refreshed too often, never too rarely.
        let since_epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO);
        let amount = match self {
            Self::Seconds => u128::from(since_epoch.as_secs()),
            Self::Milliseconds => since_epoch.as_millis(),
            Self::Microseconds => since_epoch.as_micros(),
        };
        i64::try_from(amount).unwrap_or(i64::MAX)
    }
}

static KEYMETA: AtomicBool = AtomicBool::new(false);
static CLOCK_UNIT: AtomicU8 = AtomicU8::new(ClockUnit::Milliseconds as u8);
static INVALIDATE_ON_WRITE: AtomicBool = AtomicBool::new(true);

/// The value of `mtime.storage`.
pub(crate) fn storage() -> Storage {
    if KEYMETA.load(Relaxed) { Storage::Keymeta } else { Storage::Hash }
}

/// Sets `mtime.storage`. Only at load.
pub(crate) fn set_storage(storage: Storage) {
    KEYMETA.store(storage == Storage::Keymeta, Relaxed);
}

/// The value of `mtime.clock-unit`.
pub(crate) fn clock_unit() -> ClockUnit {
    ClockUnit::from_number(i32::from(CLOCK_UNIT.load(Relaxed)))
}

/// Sets `mtime.clock-unit`.
pub(crate) fn set_clock_unit(unit: ClockUnit) {
    CLOCK_UNIT.store(unit as u8, Relaxed);
}

/// The value of `mtime.invalidate-on-write`.
pub(crate) fn invalidate_on_write() -> bool {
    INVALIDATE_ON_WRITE.load(Relaxed)
}

/// Sets `mtime.invalidate-on-write`.
pub(crate) fn set_invalidate_on_write(invalidate: bool) {
    INVALIDATE_ON_WRITE.store(invalidate, Relaxed);
}
