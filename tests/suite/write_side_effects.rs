//! Writes are no reads: what they look up on the way counts neither as a hit nor as a miss, as with the core's own writes.

use crate::support::client::{Client, array, call, int, nil, ok, words};
use crate::support::server::Server;

/// Hits and misses of a command.
fn lookups(client: &mut Client, line: &str) -> (String, String) {
    client.run("CONFIG RESETSTAT");
    let reply = client.run(line);
    assert!(!reply.is_error(), "{line}: {reply:?}");
    (client.info("stats", "keyspace_hits"), client.info("stats", "keyspace_misses"))
}

fn none() -> (String, String) {
    ("0".to_owned(), "0".to_owned())
}

#[test]
fn our_writes_count_no_hit_and_no_miss() {
    let server = Server::start();
    let mut client = server.client();
    let long = "x".repeat(200);
    for line in [
        "MTSET k v 100",
        "MTSET k w 101",
        "MTSET k longer 102",
        &format!("MTSET k {long} 103"),
        &format!("MTSET k {long} 104"),
        "MTSET k v 105 EX 100",
        "MTSET k v 106 KEEPTTL",
        "MTSET k v 107 IFNEWER",
        "MTSET k v 1 IFNEWER",
        "MTSET k v * NX",
        "MTSET k v *",
        "MTTOUCH k 200",
        "MTTOUCH nokey 200",
        "MTDEL k IFNEWER 1",
        // With it goes the last entry.
        "MTDEL k",
        "MTDEL k",
        "MTSET k v 1 EX 1000",
    ] {
        assert_eq!(lookups(&mut client, line), none(), "hits and misses of {line}");
    }
}

#[test]
fn foreign_writes_count_what_they_count_without_the_module() {
    let server = Server::start();
    let twin = Server::plain();
    let (mut client, mut reference) = (server.client(), twin.client());
    for other_entries in [false, true] {
        for line in [
            "SET k w",
            "INCR k",
            "APPEND k x",
            "SETRANGE k 0 y",
            "DEL k",
            "UNLINK k",
            "GETDEL k",
            "GETSET k w",
            "EXPIRE k 100",
            "PEXPIREAT k 1",
            "RENAME k l",
            "COPY k l REPLACE",
            "HSET h f v",
        ] {
            for client in [&mut client, &mut reference] {
                client.run("FLUSHALL");
            }
            if other_entries {
                client.run("MTSET other v 1");
            }
            client.run("MTSET k 7 100");
            reference.run("SET k 7");
            let expected = lookups(&mut reference, line);
            assert_eq!(lookups(&mut client, line), expected, "hits and misses of {line}, {other_entries}");
        }
    }
}

/// WATCH is told of the key once it is changed, and not before.
#[test]
fn a_write_that_changes_nothing_wakes_no_watcher() {
    let server = Server::start();
    let (mut client, mut other) = (server.client(), server.client());
    client.run("MTSET k v 100");
    let ends = |client: &mut Client, other: &mut Client, line: &str| {
        assert_eq!(client.run("WATCH k"), ok());
        other.run(line);
        client.pipeline(&["MULTI", "EXISTS k", "EXEC"].map(words)).pop()
    };
    for line in
        ["MTSET k v 1 IFNEWER", "MTSET k w 100 NX", "MTTOUCH k 1 IFNEWER", "MTDEL k IFEQ 1", "MTCLEAN 0"]
    {
        assert_eq!(ends(&mut client, &mut other, line), Some(array([int(1)])), "{line}");
    }
    for line in ["MTSET k v 200 IFNEWER", "MTSET k v 200", "MTTOUCH k 300 IFNEWER", "MTDEL k"] {
        assert_eq!(ends(&mut client, &mut other, line), Some(nil()), "{line}");
    }
    assert_eq!(call!(client, "EXISTS", "k"), int(0));
}
