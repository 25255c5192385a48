//! What every test stands on: real servers in private directories, a thin client, and three oracles (a plain
//! server, the Lua scripts, a pure model). Nothing here knows the module's source.

pub(crate) mod aof;
pub(crate) mod client;
pub(crate) mod dataset;
pub(crate) mod dice;
pub(crate) mod errors;
pub(crate) mod load;
pub(crate) mod lua;
pub(crate) mod model;
pub(crate) mod module;
pub(crate) mod random;
pub(crate) mod server;
pub(crate) mod storage;
pub(crate) mod transcript;
pub(crate) mod wait;
pub(crate) mod wire;
pub(crate) mod workload;
