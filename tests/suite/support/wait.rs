//! Waiting for a condition, with a deadline. The only place of the suite that lets time pass.

use std::time::{Duration, Instant};

/// How long anything may take that normally takes milliseconds, on a machine that is busy. A single fsync was seen to take
/// 73 seconds: see `scripts/test-directory`.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);

/// Asks `probe` again and again until it gives a value; panics with `what` when the deadline passes.
pub(crate) fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < end, "gave up waiting for: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
