//! Tests in cluster mode: on one node that has all slots where that is enough, else on three masters with a replica each,
//! on the loopback. The harness is the suite's.
//!
//! `REDIS_SERVER`, `REDIS_MTIME_MODULE` and `REDIS_MTIME_TEST_SEED` as for the suite. `REDIS_MTIME_CLUSTER_SECONDS` is how
//! long the test of everything at once takes.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod atomic_migration;
mod bus;
mod clients;
mod cluster_manager;
mod commands;
mod databases;
mod everything;
mod failover;
mod foreign_writes;
mod forgotten_slots;
mod half_moved;
mod keepers;
mod keymeta;
mod layout;
mod mtclean;
mod nodes;
mod resharding;
mod router;
#[path = "../suite/support/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros, reason = "the suite uses the rest")]
mod support;
