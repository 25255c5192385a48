//! redis-mtime: conditional reads for Redis and Valkey. A value is sent only if it changed since the time a client
//! holds.
//!
//! This file says what the module is: its version and its commands. A request flows from [`args`] (bytes to a typed
//! request) over [`freshness`] (the decision) and [`index`] (where mtimes live) to a reply; [`commands`] has a file for
//! each command, [`server`] all that is unsafe.

mod args;
mod commands;
mod config;
mod edits;
mod errors;
mod filter;
mod foreign_writes;
mod freshness;
mod index;
mod keymeta;
mod mtime;
mod mtime_cache;
mod old_index;
mod recent;
mod server;
mod slots;
mod stats;
mod storage;
mod tracked_keys;
mod unload;
mod value;

use server::load::Module;

/// The module, as a server loads it.
#[cfg_attr(test, allow(dead_code, reason = "only a server loads the module"))]
static MODULE: Module = Module {
    // The version of the crate, 0.1.0.
    version: 100,
    commands: |loader| {
        use commands::{mtclean, mtdel, mtget, mtimport, mtmget, mtset, mttime, mttouch};
        let registered = loader.command::<mtget::MtGet>()
            && loader.command::<mtset::MtSet>()
            && loader.command::<mtmget::MtMGet>()
            && loader.command::<mttime::MtTime>()
            && loader.command::<mttouch::MtTouch>()
            && loader.command::<mtdel::MtDel>()
            && loader.command::<mtclean::MtClean>()
            // With hash storage there is nowhere to move to.
            && (config::storage() == config::Storage::Hash || loader.command::<mtimport::MtImport>());
        #[cfg(feature = "panic-injection")]
        let registered = registered && loader.command::<commands::mtpanic::MtPanic>();
        registered
    },
};
