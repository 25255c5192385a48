//! A server that is killed in the middle of work comes back with everything it has acknowledged, and with no value
//! whose mtime belongs to another write.

use crate::support::client::{Client, Reply, args, call, words};
use crate::support::dice::{Dice, number_of};
use crate::support::server::Server;
use crate::support::storage::{has_no_index, is_keymeta};
use crate::support::wait;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

const WRITERS: u64 = 4;
const KEYS: u64 = 25;

/// What a writer did until the server went away.
#[derive(Default)]
struct Deeds {
    /// For each key of its own the last mtime that was acknowledged.
    acknowledged: BTreeMap<String, u64>,
}

/// The value says which write it is from: the mtime is its end.
fn value_of(mtime: u64) -> String {
    format!("{}:{mtime}", "v".repeat(usize::try_from(mtime % 200).expect("small")))
}

fn write(mut client: Client, writer: u64, first: u64, count: &AtomicU64, mut dice: Dice) -> Deeds {
    let mut deeds = Deeds::default();
    for mtime in first.. {
        let key = format!("w{writer}:{}", dice.below(KEYS));
        let shared = format!("shared:{}", dice.below(KEYS));
        let value = value_of(mtime);
        // Every way to write, each of them one unit.
        let unit = match dice.below(6) {
            0 => vec![args!["MTSET", key, value, mtime, "EX", 5000]],
            1 => vec![args!["MTSET", key, value, mtime, "IFNEWER"], args!["MTSET", shared, value, mtime]],
            2 => vec![
                words("MULTI"),
                args!["SET", key, value],
                args!["MTTOUCH", key, mtime],
                args!["MTDEL", shared],
                args!["MTSET", shared, value, mtime],
                words("EXEC"),
            ],
            3 => vec![args![
                "EVAL",
                if is_keymeta() {
                    "redis.call('SET', KEYS[1], ARGV[1]) redis.call('MTTOUCH', KEYS[1], ARGV[2])"
                } else {
                    "redis.call('SET', KEYS[1], ARGV[1]) redis.call('HSET', 'MY_KEYSMTIME', KEYS[1], ARGV[2])"
                },
                1,
                key,
                value,
                mtime
            ]],
            4 => vec![args!["MTDEL", key], args!["MTSET", key, value, mtime, "NX"]],
            _ => vec![args!["MTSET", key, value, mtime]],
        };
        match client.try_pipeline(&unit) {
            Ok(replies) => {
                assert!(!replies.iter().any(Reply::is_error), "{replies:?}");
                deeds.acknowledged.insert(key, mtime);
                count.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => break,
        }
    }
    deeds
}

/// A value and its mtime are from the same write, whichever that is; the mtime.
#[track_caller]
fn agreed_mtime(client: &mut Client, key: &str) -> Option<u64> {
    let reply = call!(client, "MTGET", key, -1, "WITHMTIME");
    if reply == Reply::Nil {
        return None;
    }
    let parts = reply.into_items();
    let mtime: u64 = parts[0].clone().into_text().parse().expect("an mtime of ours");
    assert_eq!(parts[1].clone().into_text(), value_of(mtime), "value and mtime of {key} are of two writes");
    Some(mtime)
}

#[test]
fn every_acknowledged_write_survives_a_kill() {
    let rounds = number_of("REDIS_MTIME_CRASH_ROUNDS", || 20);
    let mut dice = Dice::new();
    let mut server = Server::with(&["appendonly yes", "appendfsync always"]);
    let mut acknowledged: BTreeMap<String, u64> = BTreeMap::new();
    let mut first = 1;
    for round in 0..rounds {
        let done = AtomicU64::new(0);
        let target = 20 + dice.below(300);
        let deeds: Vec<Deeds> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (client, dice) = (server.client(), Dice::seeded(dice.next()));
                    let done = &done;
                    scope.spawn(move || write(client, writer, first, done, dice))
                })
                .collect();
            if dice.once_in(3) {
                // Some die while the file is being rewritten.
                server.client().run("BGREWRITEAOF");
            }
            wait::until("work to be done", || (done.load(Ordering::Relaxed) >= target).then_some(()));
            // SIGKILL, then a start from what is on the disk.
            server.restart();
            writers.into_iter().map(|writer| writer.join().expect("a writer")).collect()
        });
        for deeds in deeds {
            acknowledged.extend(deeds.acknowledged);
        }
        let mut client = server.client();
        for (key, acknowledged) in &acknowledged {
            let mtime = agreed_mtime(&mut client, key)
                .unwrap_or_else(|| panic!("round {round}: {key} of {acknowledged} is gone"));
            assert!(mtime >= *acknowledged, "round {round}: {key} went from {acknowledged} back to {mtime}");
        }
        for key in 0..KEYS {
            agreed_mtime(&mut client, &format!("shared:{key}"));
        }
        if !is_keymeta() {
            assert_eq!(client.run("OBJECT ENCODING MY_KEYSMTIME").into_text(), "hashtable");
        }
        first += 100_000;
    }
    println!("{rounds} kills, {} keys, seed {}", acknowledged.len(), dice.seed());
}

#[test]
fn without_the_module_the_file_of_a_killed_server_has_whole_writes_too() {
    if has_no_index("a file of core commands") {
        return;
    }
    let mut server = Server::with(&["appendonly yes", "appendfsync always"]);
    let done = AtomicU64::new(0);
    let dice = Dice::new();
    let deeds = std::thread::scope(|scope| {
        let client = server.client();
        let writer = scope.spawn(|| write(client, 0, 1, &done, dice));
        wait::until("work to be done", || (done.load(Ordering::Relaxed) >= 300).then_some(()));
        server.restart_without_module();
        writer.join().expect("a writer")
    });
    let mut client = server.client();
    for (key, acknowledged) in deeds.acknowledged {
        let replies = client.pipeline(&[args!["GET", key], args!["HGET", "MY_KEYSMTIME", key]]);
        let mtime: u64 = replies[1].clone().into_text().parse().expect("a number");
        assert!(mtime >= acknowledged, "{key}");
        assert_eq!(replies[0].clone().into_text(), value_of(mtime), "{key}");
    }
}
