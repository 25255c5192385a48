//! What the servers hold before arms run.

use crate::options::Options;

/// The mtime of every tracked key, and a reader's since before and after it.
pub(crate) const MTIME: &str = "1700000000";
pub(crate) const BEFORE: &str = "1699999900";
pub(crate) const AFTER: &str = "1700000100";
/// [`MTIME`] as a number.
const FIRST_MTIME: usize = 1_700_000_000;
/// As many mtimes there are where they differ, so that a since can tell any per cent of the keys apart.
const HUNDRED: usize = 100;
/// Bytes of large values in one server, so that the benchmark fits into a small machine.
const VALUE_BYTES: usize = 640 << 20;

/// The mtimes of a dataset's keys.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mtimes {
    /// All have [`MTIME`].
    Same,
    /// Each of a hundred successive keys has another one.
    Spread,
}

/// Key `key:<i>` for each of `index` keys, all tracked.
#[derive(Clone, PartialEq)]
pub(crate) struct Dataset {
    pub(crate) index: usize,
    /// Bytes of a value.
    pub(crate) value: usize,
    /// How many keys hold a value of that size; the others hold a byte.
    pub(crate) large: usize,
    /// How many of each of `plain:<i>` and `counter:<i>`, which have no mtime.
    pub(crate) untracked: usize,
    pub(crate) mtimes: Mtimes,
    /// Whether a cluster node holds the same, too.
    pub(crate) in_cluster: bool,
}

impl Dataset {
    pub(crate) fn new(options: &Options, index: usize, value: usize) -> Self {
        let most = if options.smoke { VALUE_BYTES / 64 } else { VALUE_BYTES } / value;
        Self { index, value, large: index.min(most), untracked: 0, mtimes: Mtimes::Same, in_cluster: false }
    }

    /// The text that large values are.
    pub(crate) fn value(&self) -> String {
        value(self.value)
    }

    /// The mtime of `key:<number>`.
    pub(crate) fn mtime(&self, number: usize) -> String {
        match self.mtimes {
            Mtimes::Same => MTIME.to_owned(),
            Mtimes::Spread => (FIRST_MTIME + number % HUNDRED).to_string(),
        }
    }
}

/// The since for which that many per cent of the keys with [`Mtimes::Spread`] are not modified.
pub(crate) fn since_for(not_modified_percent: usize) -> String {
    (FIRST_MTIME + not_modified_percent - 1).to_string()
}

/// Whether that since finds `key:<number>` modified.
pub(crate) fn is_modified(number: usize, not_modified_percent: usize) -> bool {
    number % HUNDRED >= not_modified_percent
}

/// The name of a tracked key, as redis-benchmark makes it.
pub(crate) fn key(number: usize) -> String {
    format!("key:{number:012}")
}

/// A text of that many bytes that no server takes for a number.
pub(crate) fn value(bytes: usize) -> String {
    "abcdefghijklmnopqrstuvwxyz0123456789".chars().cycle().take(bytes).collect()
}

/// 20000 as 20,000.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
