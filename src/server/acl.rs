//! What the user behind a command may do. The server checks the keys that are arguments; for a key that a command finds
//! by itself this asks.

use std::io;
use std::ptr::NonNull;

use redis_module::raw;

use super::call_reply::CallReply;
use super::{Context, OwnedStr, Str};

impl Context {
    /// Whether the user of this command may read a key and delete in it. Who acts without a user, as the replication
    /// does and other modules do, may do everything.
    pub(crate) fn user_may_clean(&self, key: Str<'_>) -> bool {
        const ACCESS: u32 = raw::REDISMODULE_CMD_KEY_ACCESS | raw::REDISMODULE_CMD_KEY_DELETE;
        let Some(name) = self.user_name() else { return true };
        // SAFETY: a live string.
        let user = unsafe { api!(RedisModule_GetModuleUserFromUserName)(name.as_str().as_ptr()) };
        // Deleted while connected: the server is about to close the connection.
        let Some(user) = NonNull::new(user) else { return false };
        // SAFETY: a live user, a live string, and flags of the kind that the call takes.
        let allowed = unsafe {
            api!(RedisModule_ACLCheckKeyPermissions)(user.as_ptr(), key.as_ptr(), ACCESS.cast_signed()) == 0
        };
        // SAFETY: the user that we got, which we own, released once.
        unsafe { api!(RedisModule_FreeModuleUser)(user.as_ptr()) };
        allowed
    }

    fn user_name(&self) -> Option<OwnedStr> {
        if !self.has_user() {
            return None;
        }
        // SAFETY: the context is the one of this command, whose client has a user.
        let name = unsafe { api!(RedisModule_GetCurrentUserName)(self.as_ptr()) };
        // SAFETY: a string that the caller owns; automatic memory management is off.
        NonNull::new(name).map(|name| unsafe { OwnedStr::from_raw(name) })
    }

    /// Redis 7.0 crashes when asked for the name of a user that is not there. A call on behalf of the user fails with
    /// ENOTSUP then, before it gets as far as looking for the command, which does not exist.
    fn has_user(&self) -> bool {
        // SAFETY: the context is the one of this command; the format takes no arguments.
        let reply = unsafe { api!(RedisModule_Call)(self.as_ptr(), c"".as_ptr(), c"C".as_ptr()) };
        let no_user = reply.is_null() && io::Error::last_os_error().raw_os_error() == Some(libc::ENOTSUP);
        drop(CallReply::from_raw(reply));
        !no_user
    }
}
