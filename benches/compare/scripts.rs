//! The two Lua scripts that the module is measured against, for EVALSHA and, the same text, for FCALL; and the reading one
//! as it would have to be to do the same work.

use crate::Result;
use crate::resp::Client;

const READ: &str = include_str!("read.lua");
const READ_AND_TOUCH: &str = include_str!("read_and_touch.lua");
const WRITE: &str = include_str!("write.lua");

/// The functions' names for FCALL.
pub(crate) const READ_FUNCTION: &str = "mtime_read";
pub(crate) const WRITE_FUNCTION: &str = "mtime_write";

/// The scripts' names for EVALSHA.
#[derive(Clone)]
pub(crate) struct Scripts {
    pub(crate) read: String,
    pub(crate) read_and_touch: String,
    pub(crate) write: String,
}

impl Scripts {
    /// Brings scripts and functions into a server.
    pub(crate) fn load(client: &mut Client) -> Result<Self> {
        client.must(&["FUNCTION", "LOAD", "REPLACE", &library()])?;
        let mut load = |script| client.text(&["SCRIPT", "LOAD", script]);
        Ok(Self { read: load(READ)?, read_and_touch: load(READ_AND_TOUCH)?, write: load(WRITE)? })
    }
}

fn library() -> String {
    let mut text = "#!lua name=mtime\n".to_owned();
    for (name, body) in [(READ_FUNCTION, READ), (WRITE_FUNCTION, WRITE)] {
        text.push_str(&format!("redis.register_function('{name}', function(KEYS, ARGV)\n{body}\nend)\n"));
    }
    text
}
