//! Which storage the tests are about: `REDIS_MTIME_STORAGE`, `hash` (the default) or `keymeta`. The harness gives it to
//! every server with the module whose test does not choose one.

use super::client::Client;
use super::model::Number;
use super::server::Builder;
use super::wait;
use std::io::Write as _;

/// Whether the run is about keymeta storage.
pub(crate) fn is_keymeta() -> bool {
    match std::env::var("REDIS_MTIME_STORAGE").as_deref() {
        Err(_) | Ok("hash") => false,
        Ok("keymeta") => true,
        Ok(other) => panic!("REDIS_MTIME_STORAGE={other}: hash or keymeta"),
    }
}

/// For a test of what only hash storage has, an index: `true` in a run about another storage, where the test has nothing
/// to show. Says so past the test runner, which keeps what tests print to itself.
pub(crate) fn has_no_index(what: &str) -> bool {
    let has_none = is_keymeta();
    if has_none {
        let test = std::thread::current().name().unwrap_or("?").to_owned();
        // Nobody may be there to read it.
        let _ = writeln!(std::io::stderr(), "HASH STORAGE ONLY: {test}: {what}");
    }
    has_none
}

/// How many keys the mtimes of a database add to it: the index, or nothing.
pub(crate) fn index_keys() -> i64 {
    i64::from(!is_keymeta())
}

/// The error for an mtime that keymeta storage cannot hold.
pub(crate) const OUT_OF_RANGE: &str = "ERR mtime is out of range for keymeta storage";

/// Whether the storage can hold a number: by the contract, 63-bit integers and doubles from 0 up with keymeta storage.
pub(crate) fn fits(number: Number) -> bool {
    const BOUND: i64 = 1 << 62;
    !is_keymeta()
        || match number {
            Number::Integer(integer) => (-BOUND..BOUND).contains(&integer),
            Number::Fraction(fraction) => fraction > 0.0,
        }
}

/// A replica that can do without the module: with hash storage. With keymeta storage it has it.
pub(crate) fn spartan(replica: Builder) -> Builder {
    if is_keymeta() { replica } else { replica.without_module() }
}

/// Waits until the module knows which keys are tracked: from then on it may take a short cut for all others. With keymeta
/// storage there is nothing to know.
pub(crate) fn wait_until_known(client: &mut Client) {
    wait::until("the module to know the tracked keys", || {
        let known = client.try_info("mtime", "mtime_tracked_keys_known");
        (is_keymeta() || known.is_none_or(|known| known == "1")).then_some(())
    });
}

/// The bytes that an mtime may add to the memory of its key: eight, as the allocator rounds them.
pub(crate) fn with_key() -> i64 {
    if is_keymeta() { 16 } else { 0 }
}
