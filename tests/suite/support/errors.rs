//! Every error line the contract promises, written out once.

pub(crate) const NOT_AN_MTIME: &str = "ERR mtime is not a valid number";
pub(crate) const NOT_A_SINCE: &str = "ERR since is not a valid number";
pub(crate) const RESERVED: &str = "ERR key is reserved for the mtime index";
pub(crate) const NO_HASH: &str = "ERR mtime index is not a hash";
pub(crate) const SYNTAX: &str = "ERR syntax error";
pub(crate) const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
pub(crate) const INVALID_EXPIRE: &str = "ERR invalid expire time in 'mtset' command";
pub(crate) const WRONG_TYPE: &str = super::model::WRONG_TYPE;

/// The server's own line for a command with too few or too many arguments.
pub(crate) fn wrong_arity(command: &str) -> String {
    format!("ERR wrong number of arguments for '{command}' command")
}
