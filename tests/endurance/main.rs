//! Long and destructive tests: replication that breaks, unloading under traffic, fuzzing, limits. In work, and so not
//! part of `make test`: `make test-endurance` runs them. The harness is the suite's.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod limits;
mod memory;
mod module_lifecycle;
mod replication;
mod socket_fuzz;
#[path = "../suite/support/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros, reason = "the suite uses the rest")]
mod support;
