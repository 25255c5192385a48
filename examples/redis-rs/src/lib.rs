//! A cache in this process that asks Redis "changed since?" instead of fetching a value again, with redis-rs.
//!
//! ```no_run
//! # use redis_mtime_example_redis_rs::MtimeCache;
//! # fn main() -> redis::RedisResult<()> {
//! let connection = redis::Client::open("redis://127.0.0.1")?.get_connection()?;
//! // or redis::cluster::ClusterClient::new(["redis://127.0.0.1:7000"])?.get_connection()?
//! let mut cache = MtimeCache::new(connection);
//! let value = cache.get("page")?;
//! # Ok(())
//! # }
//! ```
//!
//! Every `get` asks the server, so nothing it returns is older than the question. What it saves is the value's way over
//! the network, and whatever the caller makes of the value: the same `Arc` comes back until the value changes.

use redis::{Cmd, ConnectionLike, FromRedisValue, ParsingError, RedisResult, ToRedisArgs, Value, cmd};
use std::collections::HashMap;
use std::sync::Arc;

/// Below every mtime: what a reader without a copy sends.
const NOTHING_HELD: &str = "-9223372036854775808";

/// A reply of `MTGET ... WITHMTIME` and an element of one of `MTMGET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Versioned {
    /// No such key.
    Missing,
    /// The copy with this mtime is still good.
    NotModified(String),
    /// A value and its mtime. The mtime stays text: it is only ever sent back.
    Modified(String, Vec<u8>),
    /// A value without an mtime.
    Untracked(Vec<u8>),
}

impl FromRedisValue for Versioned {
    fn from_redis_value(reply: Value) -> Result<Self, ParsingError> {
        Ok(match redis::from_redis_value::<Option<(Option<String>, Option<Vec<u8>>)>>(reply)? {
            None => Self::Missing,
            Some((Some(mtime), None)) => Self::NotModified(mtime),
            Some((Some(mtime), Some(value))) => Self::Modified(mtime, value),
            Some((None, Some(value))) => Self::Untracked(value),
            Some((None, None)) => return Err("neither an mtime nor a value".into()),
        })
    }
}

/// The commands, for every connection of redis-rs; those of [`Cmd`] serve pipelines and async connections. redis-rs sends
/// a command it does not know to the node of its first argument, which is the key in all of ours.
pub trait MtimeCommands: ConnectionLike + Sized {
    /// `MTGET key since EXACT WITHMTIME`
    fn mtget_exact(&mut self, key: impl ToRedisArgs, since: impl ToRedisArgs) -> RedisResult<Versioned> {
        mtget_exact(key, since).query(self)
    }

    /// `MTSET key value mtime IFNEWER`: whether it was written.
    fn mtset_if_newer(
        &mut self,
        key: impl ToRedisArgs,
        value: impl ToRedisArgs,
        mtime: impl ToRedisArgs,
    ) -> RedisResult<bool> {
        Ok(mtset_if_newer(key, value, mtime).query::<Option<()>>(self)?.is_some())
    }

    /// `MTDEL key IFNEWER mtime`: whether something was deleted.
    fn mtdel_if_newer(&mut self, key: impl ToRedisArgs, mtime: impl ToRedisArgs) -> RedisResult<bool> {
        mtdel_if_newer(key, mtime).query(self)
    }
}

impl<C: ConnectionLike> MtimeCommands for C {}

/// `MTGET key since EXACT WITHMTIME`, for a [`Versioned`].
pub fn mtget_exact(key: impl ToRedisArgs, since: impl ToRedisArgs) -> Cmd {
    cmd("MTGET").arg(key).arg(since).arg("EXACT").arg("WITHMTIME").take()
}

/// `MTSET key value mtime IFNEWER`; nil if refused.
pub fn mtset_if_newer(key: impl ToRedisArgs, value: impl ToRedisArgs, mtime: impl ToRedisArgs) -> Cmd {
    cmd("MTSET").arg(key).arg(value).arg(mtime).arg("IFNEWER").take()
}

/// `MTDEL key IFNEWER mtime`; 0 if refused or missing.
pub fn mtdel_if_newer(key: impl ToRedisArgs, mtime: impl ToRedisArgs) -> Cmd {
    cmd("MTDEL").arg(key).arg("IFNEWER").arg(mtime).take()
}

struct Held {
    mtime: String,
    value: Arc<[u8]>,
}

/// The cache.
pub struct MtimeCache<C> {
    connection: C,
    // Not bounded; a real application puts an LRU map here.
    held: HashMap<String, Held>,
}

impl<C: ConnectionLike> MtimeCache<C> {
    /// A cache that holds nothing yet.
    pub fn new(connection: C) -> Self {
        Self { connection, held: HashMap::new() }
    }

    /// The value as the server has it now.
    ///
    /// # Errors
    /// Those of the connection and the server. What is held stays.
    pub fn get(&mut self, key: &str) -> RedisResult<Option<Arc<[u8]>>> {
        // EXACT: a cache sends back an mtime it was given, so any other one means another value, also an older one after a
        // failover or a restored backup.
        let since = self.held.get(key).map_or(NOTHING_HELD, |held| &held.mtime);
        match self.connection.mtget_exact(key, since)? {
            Versioned::NotModified(_) => Ok(self.held.get(key).map(|held| Arc::clone(&held.value))),
            Versioned::Modified(mtime, value) => {
                let value = Arc::<[u8]>::from(value);
                self.held.insert(key.to_owned(), Held { mtime, value: Arc::clone(&value) });
                Ok(Some(value))
            }
            // Nothing to ask with next time.
            Versioned::Untracked(value) => {
                self.held.remove(key);
                Ok(Some(value.into()))
            }
            Versioned::Missing => {
                self.held.remove(key);
                Ok(None)
            }
        }
    }

    /// Writes unless the server has something as new or newer. `false`: refused.
    ///
    /// # Errors
    /// Those of the connection and the server.
    pub fn set(&mut self, key: &str, value: &[u8], mtime: i64) -> RedisResult<bool> {
        self.held.remove(key);
        self.connection.mtset_if_newer(key, value, mtime)
    }

    /// Deletes unless the server has something as new or newer. `false`: refused, or there was nothing.
    ///
    /// # Errors
    /// Those of the connection and the server.
    pub fn delete(&mut self, key: &str, mtime: i64) -> RedisResult<bool> {
        self.held.remove(key);
        self.connection.mtdel_if_newer(key, mtime)
    }

    /// The mtime of the copy that is held.
    pub fn held_mtime(&self, key: &str) -> Option<&str> {
        self.held.get(key).map(|held| held.mtime.as_str())
    }
}
