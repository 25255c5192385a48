//! What is on disk is what was in memory, and a server without the module reads it as well.

use crate::support::client::{Client, Reply, args, bulk, call, int, ok};
use crate::support::dataset::{INDEX, databases, differences, digest};
use crate::support::dice::Dice;
use crate::support::server::Server;
use crate::support::storage::is_keymeta;
use crate::support::wait;
use crate::support::workload::Workload;

/// Three ways to keep data. The preamble is what a rewrite begins the file with: a snapshot, or commands.
const WAYS: [(&str, &[&str]); 3] = [
    ("snapshot", &[]),
    ("AOF with a snapshot", &["appendonly yes", "appendfsync always", "aof-use-rdb-preamble yes"]),
    ("AOF of commands", &["appendonly yes", "appendfsync always", "aof-use-rdb-preamble no"]),
];
const DATABASES: [u64; 3] = [0, 1, 5];

/// Tracked, untracked and foreign-written keys in several databases, with TTLs that outlive the test.
fn fill(client: &mut Client, dice: &mut Dice) {
    let workload = Workload { keys: 300, short_ttls: false, meddling: false };
    let (largest, below_zero) =
        if is_keymeta() { ("4611686018427387903", "-525") } else { ("9223372036854775807", "-5.25") };
    for database in DATABASES {
        call!(client, "SELECT", database);
        client.pipeline(&workload.commands(dice, 2000));
        client.pipeline(&[
            args!["MTSET", b"\0\xff\r\n", b"\0\xfe", "0.1"],
            args!["MTSET", "integer", "12345", largest],
            args!["MTSET", "big", "x".repeat(200_000), "1e300"],
            args!["MTSET", "ttl", "v", below_zero, "EXAT", 4_102_444_800_i64],
            args!["SET", "garbage", "v"],
            args!["SET", "lua", "v"],
        ]);
        if !is_keymeta() {
            client.pipeline(&[
                args!["HSET", INDEX, "garbage", "no number"],
                args!["HSET", INDEX, "lua", "1.7000000000000002e+18"],
            ]);
        }
    }
    call!(client, "SELECT", 0);
}

/// Everything a reader could see: the server's checksum, and every mtime and TTL.
#[derive(PartialEq, Debug)]
struct Seen {
    digest: String,
    keys: Vec<(u64, String, Reply, Reply)>,
}

fn seen(client: &mut Client) -> Seen {
    let digest = digest(client);
    let mut all = Vec::new();
    for database in DATABASES {
        call!(client, "SELECT", database);
        let mut keys: Vec<Vec<u8>> =
            client.run("KEYS *").into_items().into_iter().map(Reply::into_bytes).collect();
        keys.sort();
        let ask: Vec<_> = keys
            .iter()
            .flat_map(|key| [args!["MTTIME", key], args!["PEXPIRETIME", key], args!["MTGET", key, "1e308"]])
            .collect();
        let replies = client.pipeline(&ask);
        for (key, replies) in keys.iter().zip(replies.chunks_exact(3)) {
            let known = Reply::Array(vec![replies[0].clone(), replies[2].clone()]);
            all.push((database, key.escape_ascii().to_string(), known, replies[1].clone()));
        }
    }
    call!(client, "SELECT", 0);
    Seen { digest, keys: all }
}

#[track_caller]
fn assert_tables(client: &mut Client, after: &str) {
    if is_keymeta() {
        return;
    }
    for database in DATABASES {
        call!(client, "SELECT", database);
        assert_eq!(
            call!(client, "OBJECT", "ENCODING", INDEX),
            bulk("hashtable"),
            "database {database} after {after}"
        );
    }
    call!(client, "SELECT", 0);
}

#[track_caller]
fn assert_same(client: &mut Client, before: &Seen, after: &str) {
    let now = seen(client);
    for (was, is) in before.keys.iter().zip(&now.keys) {
        assert_eq!(was, is, "after {after}");
    }
    assert_eq!(before.keys.len(), now.keys.len(), "after {after}");
    assert_eq!(before.digest, now.digest, "after {after}");
    assert_tables(client, after);
}

fn survives(way: &str, directives: &[&str]) {
    let mut dice = Dice::new();
    let mut server = Server::with(directives);
    let mut client = server.client();
    let is_aof = !directives.is_empty();
    fill(&mut client, &mut dice);
    let before = seen(&mut client);
    assert!(before.keys.len() > 300, "{}", before.keys.len());
    assert_tables(&mut client, "writing");

    assert_eq!(client.run("DEBUG RELOAD"), ok());
    assert_same(&mut client, &before, "DEBUG RELOAD");
    if is_aof {
        assert_eq!(client.run("DEBUG LOADAOF"), ok());
        assert_same(&mut client, &before, "DEBUG LOADAOF");
        client.rewrite_aof();
        assert_eq!(client.run("DEBUG LOADAOF"), ok());
        assert_same(&mut client, &before, "DEBUG LOADAOF of a rewritten file");
        call!(client, "MTSET", "after the rewrite", "v", 77);
        call!(client, "MTDEL", "after the rewrite");
    } else {
        assert_eq!(client.run("SAVE"), ok());
    }

    server.restart();
    assert_same(&mut server.client(), &before, &format!("a restart from {way}"));
    // With keymeta storage the mtimes would not come back.
    if is_keymeta() {
        return;
    }
    server.restart_without_module();
    let mut client = server.client();
    assert_eq!(digest(&mut client), before.digest, "{way}, without the module");
    // A server without the module keeps the data in its own way too.
    if is_aof {
        client.rewrite_aof();
    } else {
        assert_eq!(client.run("SAVE"), ok());
    }
    server.restart_with_module();
    assert_same(&mut server.client(), &before, &format!("{way}, with the module again"));
    let mut client = server.client();
    assert_eq!(call!(client, "MTSET", "one more", "v", 5), ok());
    assert_eq!(call!(client, "MTGET", "one more", 5), Reply::Nil);
}

#[test]
fn a_snapshot_keeps_everything() {
    survives(WAYS[0].0, WAYS[0].1);
}

#[test]
fn an_aof_with_a_snapshot_keeps_everything() {
    survives(WAYS[1].0, WAYS[1].1);
}

#[test]
fn an_aof_of_commands_keeps_everything() {
    survives(WAYS[2].0, WAYS[2].1);
}

#[test]
fn a_rewrite_under_load_loses_nothing() {
    for (way, directives) in &WAYS[1..] {
        let mut server = Server::with(directives);
        let mut client = server.client();
        let mut dice = Dice::new();
        let workload = Workload { keys: 100, short_ttls: false, meddling: !is_keymeta() };
        for _ in 0..4 {
            // The child writes while the parent goes on.
            client.run("BGREWRITEAOF");
            client.pipeline(&workload.commands(&mut dice, 3000));
        }
        client.wait_for_rewrite();
        let (before, checksum) = (databases(&mut client), digest(&mut client));
        let ways = if is_keymeta() { &[false][..] } else { &[false, true] };
        for without_module in ways.iter().copied() {
            if without_module {
                server.restart_without_module();
            } else {
                server.restart();
            }
            let mut client = server.client();
            let reloaded = digest(&mut client);
            let after = databases(&mut client);
            assert!(before == after, "{way}, {without_module}:\n{}", differences(&before, &after));
            assert_eq!(reloaded, checksum, "{way}, {without_module}");
        }
    }
}

#[test]
fn our_writes_count_as_changes_that_a_save_point_waits_for() {
    // Neither replica nor AOF: the counter must move all the same.
    let mut server = Server::with(&["save 1 3"]);
    let mut client = server.client();
    for line in ["MTSET a v 1", "MTSET b v *", "MTTOUCH a 2", "MTDEL b"] {
        assert!(!client.run(line).is_error(), "{line}");
    }
    wait::until("the save point", || {
        (client.info("persistence", "rdb_changes_since_last_save") == "0").then_some(())
    });
    server.restart();
    let mut client = server.client();
    assert_eq!(client.run("MTTIME a"), bulk("2"));
    assert_eq!(client.run("EXISTS b"), int(0));
}

#[test]
fn an_aof_switched_on_later_begins_with_what_was_there() {
    let mut server = Server::start();
    let mut client = server.client();
    let mut dice = Dice::new();
    let workload = Workload { keys: 100, short_ttls: false, meddling: false };
    client.pipeline(&workload.commands(&mut dice, 3000));
    assert_eq!(client.run("CONFIG SET appendonly yes"), ok());
    client.pipeline(&workload.commands(&mut dice, 3000));
    client.wait_for_rewrite();
    client.pipeline(&workload.commands(&mut dice, 3000));
    assert_eq!(client.run("CONFIG REWRITE"), ok());
    let before = digest(&mut client);
    server.restart_as_rewritten();
    assert_eq!(digest(&mut server.client()), before, "seed {}", dice.seed());
}
