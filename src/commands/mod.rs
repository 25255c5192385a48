//! The commands: a file for each, with its description beside it. A handler reads as parse, decide, act, reply.

mod index_pass;
pub(crate) mod mtclean;
pub(crate) mod mtdel;
pub(crate) mod mtget;
pub(crate) mod mtimport;
pub(crate) mod mtmget;
#[cfg(feature = "panic-injection")]
pub(crate) mod mtpanic;
pub(crate) mod mtset;
pub(crate) mod mttime;
pub(crate) mod mttouch;

use crate::errors::Refusal;
use crate::index;
use crate::server::command::{Argument, Kind};
use crate::server::{Arguments, Context, Str};

/// The key of a command: its first argument, unless that is the index.
fn key_argument<'a>(ctx: &Context, arguments: Arguments<'a>) -> Result<Str<'a>, Refusal> {
    let key = arguments.get(0).ok_or(Refusal::WrongArity)?;
    index::refuse_own_name(ctx, key)?;
    Ok(key)
}

/// `key`, as COMMAND DOCS shows it.
const KEY: Argument = Argument::new(c"key", Kind::Key);
/// `mtime`, likewise.
const MTIME: Argument = Argument::new(c"mtime", Kind::Double);
/// `since`, likewise.
const SINCE: Argument = Argument::new(c"since", Kind::Double);
/// `IFEQ mtime`, likewise.
const IFEQ: Argument = Argument::new(c"ifeq-mtime", Kind::Double).after(c"IFEQ").shown_as(c"mtime");
