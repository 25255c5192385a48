//! Before and between the runs: do all arms answer what they should, byte for byte, and do all servers hold the same?

use crate::Result;
use crate::arm::{Arm, Expect, Side, Traffic, instantiate};
use crate::dataset::{self, Dataset};
use crate::load::fill;
use crate::resp::encode;
use crate::rig::{INDEX, Rig};
use crate::sections::Point;

/// Keys that are looked at one by one.
const ROUNDS: usize = 100;
/// Visits all keys before it comes back to one.
const STRIDE: usize = 7919;

/// Compares the bytes of the answers to some requests with those of GET, and with what the arm must make of them. All
/// arms of a kind must answer the same, so this makes them equal to each other. Some(reason) when the server refuses
/// the command or the setting; an error when it answers something else than expected.
pub(crate) fn answers(rig: &mut Rig, arm: &Arm) -> Result<Option<String>> {
    if arm.side == Side::Module && arm.invalidate != "yes" && !rig.set_invalidation(arm.invalidate)? {
        return Ok(Some("the module has no mtime.invalidate-on-write".to_owned()));
    }
    rig.set_invalidation("yes")?;
    // In order, each key can be met once only; what those arms do shows in the index afterwards.
    let Traffic::Random { keys } = arm.traffic else { return Ok(None) };
    let client = &mut rig.side(arm.side).client;
    for round in 0..ROUNDS.min(keys) {
        let mut numbers = Vec::new();
        let mut request = Vec::new();
        for command in &arm.commands {
            numbers.clear();
            let command = instantiate(command, &mut || {
                let number = (round * STRIDE + numbers.len() * 104_729) % keys;
                numbers.push(number);
                number
            });
            encode(&mut request, &command);
        }
        let mut values = Vec::new();
        if !matches!(arm.expect, Expect::Integer) {
            for number in &numbers {
                values.push(client.must(&["GET", dataset::key(*number).as_str()])?);
            }
        }
        let replies = client.call_encoded(&request, arm.commands.len())?;
        if let Some(refusal) = replies.iter().find(|reply| reply.first() == Some(&b'-')) {
            return Ok(Some(String::from_utf8_lossy(refusal).trim().to_owned()));
        }
        let answer = arm.expect.decide(&replies);
        if arm.expect.answer(&numbers, &values).is_some_and(|expected| expected != answer) {
            let answer = String::from_utf8_lossy(&answer[..answer.len().min(200)]).into_owned();
            return Err(format!("{}: unexpected answer {answer:?}", arm.name).into());
        }
    }
    Ok(None)
}

/// All servers must hold the same values and mtimes, before and after: MTSET did what the script did.
pub(crate) fn same_data(rig: &mut Rig, dataset: &Dataset) -> Result<()> {
    for round in 0..ROUNDS.min(dataset.index) {
        let number = round * STRIDE % dataset.index;
        let key = dataset::key(number);
        let mut held = vec![rig.plain.client.must(&["HGET", INDEX, &key])?];
        held.push(rig.module.client.must(&["HGET", INDEX, &key])?);
        let mut values =
            vec![rig.plain.client.must(&["GET", &key])?, rig.module.client.must(&["GET", &key])?];
        if rig.has_keymeta() {
            let client = &mut rig.side(Side::Keymeta).client;
            held.push(client.must(&["MTTIME", &key])?);
            values.push(client.must(&["GET", &key])?);
        }
        let mtime = dataset.mtime(number);
        let mtime = format!("${}\r\n{mtime}\r\n", mtime.len());
        if held.iter().any(|held| held != mtime.as_bytes()) || values.iter().any(|value| *value != values[0])
        {
            return Err(format!("the servers differ about {key}").into());
        }
    }
    Ok(())
}

/// The index must have kept its size, or have lost an entry for each request where that is what is measured. Puts back
/// what was lost.
pub(crate) fn index(rig: &mut Rig, arm: &Arm, point: &Point) -> Result<()> {
    let dropped = match &arm.traffic {
        Traffic::InOrder { prepare, keys } if arm.drops => Some((prepare, *keys)),
        _ => None,
    };
    let lost = dropped.filter(|_| arm.side == Side::Module).map_or(0, |(_, keys)| keys);
    let (entries, expected) = (rig.entries()?, point.dataset.index - lost);
    if entries != expected {
        return Err(format!("{}: the index has {entries} entries, not {expected}", arm.name).into());
    }
    if let Some((prepare, keys)) = dropped {
        let client = &mut rig.side(arm.side).client;
        for number in [0, keys / 2, keys - 1] {
            if client.must(&["MTTIME", &dataset::key(number)])? != crate::resp::NULL {
                return Err(format!("{}: a key has kept its mtime", arm.name).into());
            }
        }
        fill::template(client, prepare, keys)?;
    }
    Ok(())
}
