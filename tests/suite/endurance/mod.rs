//! Long and destructive tests: replication that breaks, unloading under traffic, fuzzing, limits. They are as short here
//! as they make sense; `make test-endurance` runs them at full length.

mod limits;
mod memory;
mod module_lifecycle;
mod replication;
mod socket_fuzz;
