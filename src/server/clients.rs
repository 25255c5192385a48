//! Who is connected, and what the ACLs say: what an unload has to know.

use std::ffi::{CStr, c_longlong};

use super::Context;
use super::call_reply::CallReply;

impl Context {
    /// All connections, one a line, by `CLIENT LIST`. `None` where the server does not answer.
    pub(crate) fn client_list(&self) -> Option<Vec<u8>> {
        self.call_with(c"CLIENT", c"LIST").bytes().map(<[u8]>::to_vec)
    }

    /// Ends a connection, by `CLIENT KILL`. It must not be the one whose command is being executed.
    pub(crate) fn disconnect(&self, id: i64) {
        // SAFETY: the format has two `c` for two texts that end with a NUL, and `l` for a long long.
        let reply = unsafe {
            api!(RedisModule_Call)(
                self.as_ptr(),
                c"CLIENT".as_ptr(),
                c"ccl".as_ptr(),
                c"KILL".as_ptr(),
                c"ID".as_ptr(),
                c_longlong::from(id),
            )
        };
        drop(CallReply::from_raw(reply));
    }

    /// The rules of every ACL user, one user a line, by `ACL LIST`. `None` where the server does not answer.
    pub(crate) fn acl_list(&self) -> Option<Vec<Vec<u8>>> {
        let reply = self.call_with(c"ACL", c"LIST");
        let users: Vec<Vec<u8>> = reply.texts().map(<[u8]>::to_vec).collect();
        // There always is the user `default`.
        (!users.is_empty()).then_some(users)
    }

    /// How many commands the server has called since its start, or since the count was reset.
    pub(crate) fn commands_called(&self) -> u64 {
        let [count] = self.info_numbers(c"stats", [c"total_commands_processed"]);
        count.unwrap_or(0)
    }

    /// Whether this module has a command of that name.
    pub(crate) fn is_own_command(&self, name: &CStr) -> bool {
        // SAFETY: the context is one of this module, the name ends with a NUL.
        let command = unsafe { api!(RedisModule_GetCommand)(self.as_ptr(), name.as_ptr()) };
        !command.is_null()
    }
}
