//! The pattern the module replaces, as Lua scripts of our own: the second oracle. They share the index with the
//! module.

use super::client::{Args, Client, args, call};

/// The value of KEYS[1], or nil when its entry says that it is no newer than ARGV[1].
const READ: &str = "\
local entry = redis.call('HGET', 'MY_KEYSMTIME', KEYS[1])
local stored = entry and tonumber(entry)
if stored and stored <= tonumber(ARGV[1]) then
  return false
end
return redis.call('GET', KEYS[1])
";

/// Stores ARGV[1] in KEYS[1] and the number ARGV[2] as its entry; answers nil.
const WRITE: &str = "\
redis.call('SET', KEYS[1], ARGV[1])
redis.call('HSET', 'MY_KEYSMTIME', KEYS[1], tonumber(ARGV[2]))
return false
";

/// Both scripts, loaded into one server.
#[derive(Clone)]
pub(crate) struct Scripts {
    read: String,
    write: String,
}

impl Scripts {
    pub(crate) fn load(client: &mut Client) -> Self {
        let mut load = |text: &str| call!(client, "SCRIPT", "LOAD", text).into_text();
        Self { read: load(READ), write: load(WRITE) }
    }

    pub(crate) fn read(&self, key: &[u8], since: &[u8]) -> Args {
        args!["EVALSHA", self.read, 1, key, since]
    }

    pub(crate) fn write(&self, key: &[u8], value: &[u8], mtime: &[u8]) -> Args {
        args!["EVALSHA", self.write, 1, key, value, mtime]
    }
}
