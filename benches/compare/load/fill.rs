//! Brings data into a server, as fast as one connection can.

use crate::Result;
use crate::arm::instantiate;
use crate::resp::{Client, encode};
use std::borrow::Cow;

/// Bytes of commands that are sent before their replies are read.
const AT_ONCE: usize = 100_000;

/// Sends the command that `command` makes for each number below `count`.
pub(crate) fn each<'a>(
    client: &mut Client,
    count: usize,
    command: impl Fn(usize) -> Vec<Cow<'a, str>>,
) -> Result<()> {
    let mut commands = Vec::new();
    let mut waiting = 0;
    for number in 0..count {
        encode(&mut commands, &command(number));
        waiting += 1;
        if commands.len() > AT_ONCE {
            client.must_all(&commands, waiting)?;
            commands.clear();
            waiting = 0;
        }
    }
    client.must_all(&commands, waiting)?;
    Ok(())
}

/// Sends `template` once for each of the first `keys` keys.
pub(crate) fn template(client: &mut Client, template: &[String], keys: usize) -> Result<()> {
    each(client, keys, |number| instantiate(template, &mut || number))
}
