//! The integration tests: a real server, a real client, one file a concern.
//!
//! `REDIS_SERVER` names the server to test in (default `redis-server`), `REDIS_MTIME_MODULE` the module (default: a
//! fresh release build), `PROPTEST_CASES` and `REDIS_MTIME_TEST_SEED` steer the random tests.

// A test that cannot go on should stop with a message and a line number.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod acl;
mod border;
mod command_hints;
mod command_info;
mod conditions;
mod config;
mod contexts;
mod crash;
mod differential;
mod doc_examples;
mod doc_links;
mod endurance;
mod events;
mod expiry_and_eviction;
mod foreign_writes;
mod hostile_arguments;
mod index;
mod info;
mod invalidate_on_write;
mod keymeta;
mod keymeta_migration;
mod loading;
mod migration;
mod mtclean;
mod mtdel;
mod mtget;
mod mtimport;
mod mtmget;
mod mtset;
mod mttime;
mod mttouch;
mod never_stale;
mod numbers;
mod persistence;
mod propagation;
mod read_side_effects;
mod read_through;
mod recent;
mod seed_transcript;
mod support;
mod tracked_keys;
mod ttl;
mod write_order;
mod write_side_effects;
