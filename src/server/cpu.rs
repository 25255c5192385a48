//! What can be asked of the CPU.

use std::ptr;

/// Begins to fetch what is at `place` into the cache. A hint: changes nothing but the time that a later access takes.
#[inline]
pub(crate) fn prefetch<T>(place: &T) {
    prefetch_pointer(ptr::from_ref(place).cast());
}

/// As [`prefetch`], for an address that something was at, and may be no more.
#[inline]
pub(crate) fn prefetch_at(address: u64) {
    if let Ok(address) = usize::try_from(address) {
        prefetch_pointer(ptr::without_provenance(address));
    }
}

#[inline]
#[cfg(target_arch = "x86_64")]
fn prefetch_pointer(pointer: *const i8) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: the instruction reads nothing that a program could see, and ignores addresses where nothing is.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(pointer) };
}

#[inline]
#[cfg(not(target_arch = "x86_64"))]
const fn prefetch_pointer(_: *const i8) {}
