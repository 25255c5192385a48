//! MODULE UNLOAD: whether it may happen now.
//!
//! A server frees the commands of a module that it unloads, and leaves pointers to them in the state of its clients: in
//! a transaction's queue, in a command that is held up, in commands read ahead, as the last command of a connection
//! (`CLIENT LIST`, and from Redis 8 on the next look-up). Whoever follows one takes the server down. So the module stays
//! while a client may have one that cannot be taken away, and ends the connections that only remember one.

#![cfg_attr(test, allow(dead_code, reason = "only a server unloads the module"))]

use std::ffi::CString;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use crate::server::Context;

/// How far the module is.
static STAGE: AtomicU8 = AtomicU8::new(LOADING);
/// A server may still take the load back, for settings that it does not know, and some do not stand a refusal then.
const LOADING: u8 = 0;
/// The load is complete.
const IN_SERVICE: u8 = 1;
/// The server shuts down. Valkey unloads its modules then.
const ENDING: u8 = 2;
/// How many commands the server had called when the module was loaded. No server tells when it is done with a load.
static CALLED_AT_LOAD: AtomicU64 = AtomicU64::new(0);

/// The module is being loaded.
pub(crate) fn loading(ctx: &Context) {
    CALLED_AT_LOAD.store(ctx.commands_called(), Relaxed);
    STAGE.store(LOADING, Relaxed);
}

/// Something has happened that is not part of a load.
pub(crate) fn load_is_complete() {
    STAGE.store(IN_SERVICE, Relaxed);
}

/// The server shuts down.
pub(crate) fn server_ends() {
    STAGE.store(ENDING, Relaxed);
}

/// Makes sure that no client holds a command of ours. An error is the reason why the module has to stay.
pub(crate) fn prepare(ctx: &Context) -> Result<(), String> {
    match STAGE.load(Relaxed) {
        ENDING => Ok(()),
        // Nobody can hold a command of a load that is taken back.
        LOADING if ctx.commands_called() == CALLED_AT_LOAD.load(Relaxed) => {
            disconnect(ctx, &survey(ctx, false)?.disconnectable);
            Ok(())
        }
        _ => let_go(ctx),
    }
}

fn let_go(ctx: &Context) -> Result<(), String> {
    if ctx.numeric_setting(c"io-threads").is_none_or(|threads| threads > 1) {
        return Err("with more than one of io-threads commands are looked up ahead".into());
    }
    let users = ctx.acl_list().ok_or("the server does not answer ACL LIST")?;
    if let Some(rule) = users.iter().find_map(|user| rule_about_us(ctx, user)) {
        return Err(format!("an ACL user has the rule {rule}, which makes no sense without the module"));
    }
    let reads_ahead = ctx.reads_commands_ahead();
    let found = survey(ctx, reads_ahead)?;
    if let Some(obstacle) = found.obstacle() {
        return Err(obstacle);
    }
    disconnect(ctx, &found.disconnectable);
    if survey(ctx, reads_ahead)?.disconnectable.is_empty() {
        Ok(())
    } else {
        // The server keeps a protected client for a while.
        Err("a connection whose last command was one of the module's does not end".into())
    }
}

fn disconnect(ctx: &Context, clients: &[i64]) {
    if clients.is_empty() {
        return;
    }
    for id in clients {
        ctx.disconnect(*id);
    }
    let count = clients.len();
    ctx.log_notice(&format!("module mtime goes: ended {count} connection(s) that used it last"));
}

/// The first rule of an ACL user that names a command of ours.
fn rule_about_us(ctx: &Context, user: &[u8]) -> Option<String> {
    user.split(|byte| matches!(byte, b' ' | b'(' | b')')).find_map(|rule| {
        let (b'+' | b'-', name) = rule.split_first()? else { return None };
        let command = name.split(|byte| *byte == b'|').next()?;
        is_ours(ctx, command).then(|| String::from_utf8_lossy(rule).into_owned())
    })
}

fn is_ours(ctx: &Context, name: &[u8]) -> bool {
    CString::new(name).is_ok_and(|name| ctx.is_own_command(&name))
}

fn survey(ctx: &Context, reads_ahead: bool) -> Result<Found, String> {
    let list = ctx.client_list().ok_or("the server does not answer CLIENT LIST")?;
    Ok(Found::among(&list, reads_ahead, |command| is_ours(ctx, command)))
}

/// What CLIENT LIST tells about clients with pointers to our commands.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// Clients with queued commands in MULTI. Which ones it does not tell.
    queued: usize,
    /// Clients that are blocked or held up, and have or may have a command of ours.
    blocked: usize,
    /// Whether more commands came together with MODULE UNLOAD.
    pipelined: bool,
    /// Clients that only remember a command of ours as their last one.
    disconnectable: Vec<i64>,
}

impl Found {
    fn among(list: &[u8], reads_ahead: bool, is_ours: impl Fn(&[u8]) -> bool) -> Self {
        /// `MODULE UNLOAD mtime` without the blanks.
        const ALONE: i64 = 17;
        let mut found = Self::default();
        for line in list.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let command = field(line, b"cmd=");
            let blocked = field(line, b"flags=").iter().any(|flag| matches!(flag, b'b' | b'u'));
            if number(field(line, b"multi=")) > 0 {
                found.queued = found.queued.saturating_add(1);
            } else if blocked && (reads_ahead || is_ours(command)) {
                found.blocked = found.blocked.saturating_add(1);
            } else if is_ours(command) {
                found.disconnectable.push(number(field(line, b"id=")));
            } else if reads_ahead && command == b"module|unload" && number(field(line, b"argv-mem=")) > ALONE
            {
                found.pipelined = true;
            }
        }
        found
    }

    /// Why the module has to stay, if it has to.
    fn obstacle(&self) -> Option<String> {
        if self.queued > 0 {
            Some(format!("{} client(s) have commands queued in MULTI", self.queued))
        } else if self.blocked > 0 {
            Some(format!("{} client(s) are blocked or held up, maybe with its commands", self.blocked))
        } else if self.pipelined {
            Some("MODULE UNLOAD came with more commands behind it".into())
        } else {
            None
        }
    }
}

/// The value of a field in a line of CLIENT LIST; empty where there is none.
fn field<'a>(line: &'a [u8], name: &[u8]) -> &'a [u8] {
    line.split(|byte| *byte == b' ').find_map(|part| part.strip_prefix(name)).unwrap_or_default()
}

/// -1 for what is no number, as MULTI has where there is no transaction.
fn number(text: &[u8]) -> i64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(list: &str, reads_ahead: bool) -> Found {
        Found::among(list.as_bytes(), reads_ahead, |name| name.starts_with(b"mt"))
    }

    #[test]
    fn clients_without_our_commands_are_in_nobodys_way() {
        let list = "id=1 addr=a b flags=U multi=-1 argv-mem=17 cmd=module|unload user=default\n\
                    id=2 name=mtget flags=P multi=-1 argv-mem=0 cmd=subscribe user=default\n\
                    id=3 flags=x multi=0 argv-mem=0 cmd=multi\n";
        for reads_ahead in [false, true] {
            assert_eq!(found(list, reads_ahead), Found::default());
        }
    }

    #[test]
    fn a_client_that_remembers_our_command_is_disconnected() {
        let list = "id=1 flags=U multi=-1 cmd=mtget\nid=22 flags=x multi=0 cmd=mtset\nid=3 flags=N multi=-1 cmd=get\n";
        assert_eq!(found(list, false), Found { disconnectable: vec![1, 22], ..Found::default() });
        assert_eq!(found(list, false).obstacle(), None);
    }

    #[test]
    fn clients_with_queued_or_held_up_commands_are_in_the_way() {
        let queued = found("id=1 flags=xU multi=1 cmd=set\n", false);
        assert_eq!(queued, Found { queued: 1, ..Found::default() });
        let held_up = found("id=1 flags=bU multi=-1 cmd=mtset\n", false);
        assert_eq!(held_up, Found { blocked: 1, ..Found::default() });
        assert!(queued.obstacle().is_some() && held_up.obstacle().is_some());
    }

    #[test]
    fn where_the_server_reads_ahead_any_blocked_client_may_have_our_commands() {
        let list = "id=1 flags=bU multi=-1 cmd=blpop\n";
        assert_eq!(found(list, false), Found::default());
        assert_eq!(found(list, true), Found { blocked: 1, ..Found::default() });
        let list = "id=1 flags=U multi=-1 argv-mem=23 cmd=module|unload\n";
        assert_eq!(found(list, true), Found { pipelined: true, ..Found::default() });
    }
}
