//! What an mtime takes: servers with the same keys, one of them without mtimes, for each storage.

use crate::Result;
use crate::dataset::{self, MTIME};
use crate::load::fill;
use crate::options::Options;
use crate::rig::Setup;
use crate::server::Storage;

/// A sentence about it, where the server offers both storages.
pub(crate) fn memory(options: &Options, setup: &Setup) -> Result<String> {
    let keys = options.at_most(1_000_000);
    let value = dataset::value(64);
    let mut used = Vec::new();
    let track = ["MTSET", "key:__rand_int__", &value, MTIME].map(str::to_owned);
    let set = ["SET", "key:__rand_int__", &value].map(str::to_owned);
    let cases: [(Storage, &[String]); 3] =
        [(Storage::Keymeta, &set), (Storage::Keymeta, &track), (Storage::Hash, &track)];
    for (storage, command) in cases {
        let directory = tempfile::Builder::new().prefix("redis-mtime-bench-").tempdir()?;
        let mut server = setup.server(directory.path(), "module", Some(storage))?;
        fill::template(&mut server.client, command, keys)?;
        let bytes = server.info("memory", "used_memory")?.ok_or("no used_memory")?;
        used.push(bytes.parse::<f64>()?);
    }
    let per_key = |number: usize| (used[number] - used[0]) / keys as f64;
    Ok(format!(
        "A tracked key against an untracked one, {} keys, 64-byte values, names of 16 bytes: {:.1} bytes with keymeta \
         storage, {:.1} with hash storage.",
        dataset::thousands(keys),
        per_key(1),
        per_key(2),
    ))
}
