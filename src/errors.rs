//! Every message that a client can get as an error. No message echoes what the client sent.

use std::ffi::CStr;

/// Why a command is not executed. A refused command has changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The number of arguments is wrong; the server has its own words for that.
    WrongArity,
    /// An error message.
    Error(&'static CStr),
}

impl Refusal {
    pub(crate) const MTIME: Self = Self::Error(c"ERR mtime is not a valid number");
    pub(crate) const MTIME_RANGE: Self = Self::Error(c"ERR mtime is out of range for keymeta storage");
    pub(crate) const SINCE: Self = Self::Error(c"ERR since is not a valid number");
    pub(crate) const SYNTAX: Self = Self::Error(c"ERR syntax error");
    pub(crate) const INTEGER: Self = Self::Error(c"ERR value is not an integer or out of range");
    pub(crate) const EXPIRE_TIME: Self = Self::Error(c"ERR invalid expire time in 'mtset' command");
    pub(crate) const WRONG_TYPE: Self =
        Self::Error(c"WRONGTYPE Operation against a key holding the wrong kind of value");
    pub(crate) const RESERVED_KEY: Self = Self::Error(c"ERR key is reserved for the mtime index");
    pub(crate) const INDEX_TYPE: Self = Self::Error(c"ERR mtime index is not a hash");
    pub(crate) const NO_LATER_MTIME: Self = Self::Error(c"ERR no mtime is later than the stored one");
    pub(crate) const NO_PERMISSION: Self = Self::Error(c"NOPERM No permissions to access a key");
    /// As the servers answer a command on several keys while their slot is moved. Clients try again by themselves.
    pub(crate) const TRY_AGAIN: Self =
        Self::Error(c"TRYAGAIN Key and mtime index may be on two nodes during rehashing of slot");
    pub(crate) const CLEAN_IN_UNIT: Self =
        Self::Error(c"ERR mtclean cannot be part of a transaction or a script in cluster mode");
    pub(crate) const IMPORT_IN_UNIT: Self =
        Self::Error(c"ERR mtimport cannot be part of a transaction or a script in cluster mode");
    pub(crate) const CURSOR: Self = Self::Error(c"ERR invalid cursor");
}

/// After a panic at the border. The state of the dataset is what it was when the panic came.
pub(crate) const INTERNAL: &CStr = c"ERR internal error in module mtime, see the server's log";
