//! Everything a database holds, to tell "nothing changed" and "the same on both servers".

use super::client::{Argument, Client, Reply, args, call};
use super::storage;
use std::collections::BTreeMap;

/// The default name of the index, as an application that knows the seed would spell it.
pub(crate) const INDEX: &str = "MY_KEYSMTIME";

/// Type, content and absolute expiry (ms, -1 = none) of every key of the selected database.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Dataset(BTreeMap<String, (String, Vec<String>, i64)>);

/// Reads the whole selected database. Reaps expired keys, as any read does.
pub(crate) fn dataset(client: &mut Client) -> Dataset {
    let mut all = BTreeMap::new();
    for key in client.run("KEYS *").into_items() {
        let key = key.into_bytes();
        let kind = call!(client, "TYPE", key).into_text();
        let content = match kind.as_str() {
            "none" => continue,
            "string" => call!(client, "GET", key),
            "list" => call!(client, "LRANGE", key, 0, -1),
            "hash" => call!(client, "HGETALL", key),
            "set" => call!(client, "SMEMBERS", key),
            "zset" => call!(client, "ZRANGE", key, 0, -1, "WITHSCORES"),
            other => panic!("no test makes a {other}"),
        };
        let mut content = flatten(content, &kind);
        if kind == "hash" || kind == "set" {
            content.sort();
        }
        // Where it is with the key, no other key tells of it.
        if kind == "string"
            && storage::is_keymeta()
            && let Reply::Bulk(mtime) = call!(client, "MTTIME", key)
        {
            content.push(format!("mtime {}", mtime.escape_ascii()));
        }
        let expiry = call!(client, "PEXPIRETIME", key).into_int();
        all.insert(key.escape_ascii().to_string(), (kind, content, expiry));
    }
    Dataset(all)
}

fn flatten(content: Reply, kind: &str) -> Vec<String> {
    let text = |reply: Reply| reply.into_bytes().escape_ascii().to_string();
    match content {
        Reply::Bulk(_) => vec![text(content)],
        other if kind == "hash" => other
            .into_pairs()
            .into_iter()
            .map(|(field, value)| format!("{} = {}", text(field), text(value)))
            .collect(),
        other => other.into_items().into_iter().map(text).collect(),
    }
}

/// [`dataset`] of databases 0 and 1.
pub(crate) fn databases(client: &mut Client) -> [Dataset; 2] {
    let all = [0, 1].map(|number| {
        call!(client, "SELECT", number);
        dataset(client)
    });
    client.run("SELECT 0");
    all
}

/// What differs between two datasets, for people to read.
pub(crate) fn differences(left: &[Dataset; 2], right: &[Dataset; 2]) -> String {
    let mut lines = Vec::new();
    for (number, (left, right)) in left.iter().zip(right).enumerate() {
        let keys: std::collections::BTreeSet<_> = left.0.keys().chain(right.0.keys()).collect();
        for key in keys {
            let (ours, theirs) = (left.0.get(key), right.0.get(key));
            if ours != theirs {
                let only = |one: Option<&(String, Vec<String>, i64)>,
                            other: Option<&(String, Vec<String>, i64)>| {
                    one.map(|(kind, content, expiry)| {
                        let known = other.map_or(&[][..], |(_, content, _)| content);
                        let content: Vec<_> = content.iter().filter(|part| !known.contains(part)).collect();
                        format!("{kind} until {expiry} with {content:?}")
                    })
                };
                lines.push(format!(
                    "database {number}, {key}: {:?} against {:?}",
                    only(ours, theirs),
                    only(theirs, ours)
                ));
            }
        }
    }
    lines.join("\n")
}

/// The server's own checksum over all databases. Unlike [`dataset`] it reaps nothing.
pub(crate) fn digest(client: &mut Client) -> String {
    client.run("DEBUG DIGEST").into_text()
}

/// The number of changes since the last save: every write moves it.
pub(crate) fn dirty(client: &mut Client) -> i64 {
    client.info("persistence", "rdb_changes_since_last_save").parse().expect("a number")
}

/// Runs `action` and demands that it changed nothing: no key, no TTL, no byte, no dirty counter.
#[track_caller]
pub(crate) fn unchanged<T>(client: &mut Client, action: impl FnOnce(&mut Client) -> T) -> T {
    let before = (dataset(client), dirty(client));
    let outcome = action(client);
    let after = (dataset(client), dirty(client));
    assert_eq!(before, after, "something changed");
    outcome
}

/// The fields and values of the index; with keymeta storage what the keys themselves have, as fields and values.
pub(crate) fn index_entries(client: &mut Client) -> BTreeMap<String, String> {
    let text = |reply: Reply| reply.into_bytes().escape_ascii().to_string();
    if storage::is_keymeta() {
        let keys: Vec<_> = client.run("KEYS *").into_items().into_iter().map(Reply::into_bytes).collect();
        let ask: Vec<_> = keys.iter().map(|key| args!["MTTIME", key]).collect();
        return keys
            .iter()
            .zip(client.pipeline(&ask))
            .filter(|(_, mtime)| matches!(mtime, Reply::Bulk(_)))
            .map(|(key, mtime)| (key.escape_ascii().to_string(), text(mtime)))
            .collect();
    }
    call!(client, "HGETALL", INDEX)
        .into_pairs()
        .into_iter()
        .map(|(field, value)| (text(field), text(value)))
        .collect()
}

/// The mtime of a key as it is stored.
pub(crate) fn stored(client: &mut Client, key: impl Argument) -> Reply {
    if storage::is_keymeta() { call!(client, "MTTIME", key) } else { call!(client, "HGET", INDEX, key) }
}

/// The fields of the index whose key is gone. Looking makes keys expire, and what follows from that may come at the end
/// of the look, so it looks twice.
pub(crate) fn orphans(client: &mut Client) -> Vec<String> {
    let look = |client: &mut Client, fields: &[Reply]| -> Vec<Reply> {
        let script = "
            local orphans = {}
            for _, field in ipairs(ARGV) do
                if redis.call('EXISTS', field) == 0 and redis.call('HEXISTS', KEYS[1], field) == 1 then
                    table.insert(orphans, field)
                end
            end
            return orphans";
        let mut command = args!["EVAL", script, 1, INDEX];
        command.extend(fields.iter().cloned().map(Reply::into_bytes));
        client.call(&command).into_items()
    };
    let fields = call!(client, "HKEYS", INDEX).into_items();
    let suspects = look(client, &fields);
    look(client, &suspects).into_iter().map(Reply::into_text).collect()
}
