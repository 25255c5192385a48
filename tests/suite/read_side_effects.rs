//! Reads read: MTGET, MTMGET and MTTIME leave a key as GET leaves it, and are counted as GET is.

use crate::support::aof::{AOF, Stream};
use crate::support::client::{Client, Reply, call, int, modified, nil, not_modified};
use crate::support::dataset::{INDEX, dirty};
use crate::support::server::Server;
use crate::support::storage::{has_no_index, is_keymeta};

/// Lengths around the points where servers change how they keep a value.
const LENGTHS: [usize; 10] = [1, 10, 20, 44, 45, 64, 100, 128, 200, 102_400];

/// Values by name: `i` is kept as an integer, `e...` embedded, `r...` apart (APPEND makes any length so).
fn store_values(client: &mut Client) -> Vec<String> {
    let mut names = Vec::new();
    for (i, number) in ["7", "-12345", "9223372036854775807"].into_iter().enumerate() {
        call!(client, "SET", format!("i{i}"), number);
        names.push(format!("i{i}"));
    }
    for length in LENGTHS {
        call!(client, "SET", format!("e{length}"), "x".repeat(length));
        names.push(format!("e{length}"));
        call!(client, "SET", format!("r{length}"), "x".repeat(length - 1));
        call!(client, "APPEND", format!("r{length}"), "x");
        names.push(format!("r{length}"));
    }
    names
}

/// What reading may not change.
fn state(client: &mut Client, key: &str) -> (Reply, Reply, Reply, Reply) {
    (
        call!(client, "OBJECT", "ENCODING", key),
        call!(client, "MEMORY", "USAGE", key),
        call!(client, "PEXPIRETIME", key),
        call!(client, "DUMP", key),
    )
}

#[test]
fn encoding_memory_and_ttl_stay_as_after_get() {
    let server = Server::start();
    let twin = Server::plain();
    let (mut client, mut reference) = (server.client(), twin.client());
    let names = store_values(&mut client);
    store_values(&mut reference);
    for name in &names {
        for tracked in [false, true] {
            if tracked {
                call!(client, "MTTOUCH", name, 100);
            }
            call!(client, "PEXPIREAT", name, 4_102_444_800_000_i64);
            call!(reference, "PEXPIREAT", name, 4_102_444_800_000_i64);
            let before = state(&mut client, name);
            call!(reference, "GET", name);
            for since in [1, 100, 1000] {
                call!(client, "MTGET", name, since);
                call!(client, "MTGET", name, since, "WITHMTIME", "EXACT");
                call!(client, "MTMGET", name, since, name, since);
            }
            call!(client, "MTTIME", name);
            assert_eq!(state(&mut client, name), before, "{name} {tracked}");
            if !tracked || !is_keymeta() {
                assert_eq!(state(&mut client, name), state(&mut reference, name), "{name} {tracked}");
            }
        }
    }
}

#[test]
fn each_read_is_exactly_one_hit_or_miss() {
    let server = Server::start();
    let mut client = server.client();
    let names = store_values(&mut client);
    client.run("MTSET tracked v 100");
    client.run("RPUSH list a");
    client.run("HSET MY_KEYSMTIME gone 5");
    let expect = |client: &mut Client, line: &str, hits: i64, misses: i64| {
        client.run("CONFIG RESETSTAT");
        client.run(line);
        let found = (client.info("stats", "keyspace_hits"), client.info("stats", "keyspace_misses"));
        assert_eq!(found, (hits.to_string(), misses.to_string()), "hits and misses of {line}");
    };
    for with_index in [true, false] {
        if with_index {
            expect(&mut client, "MTGET tracked 1", 1, 0);
            expect(&mut client, "MTGET tracked 100", 1, 0);
            expect(&mut client, "MTGET tracked 100 WITHMTIME EXACT", 1, 0);
            expect(&mut client, "MTTIME tracked", 1, 0);
        } else {
            call!(client, "DEL", INDEX);
        }
        for name in &names {
            expect(&mut client, &format!("GET {name}"), 1, 0);
            expect(&mut client, &format!("MTGET {name} 1"), 1, 0);
            expect(&mut client, &format!("MTGET {name} 1 WITHMTIME"), 1, 0);
            expect(&mut client, &format!("MTMGET {name} 1"), 1, 0);
        }
        for line in [
            "GET nokey",
            "MTGET nokey 1",
            "MTGET nokey 1 WITHMTIME",
            "MTGET gone 9",
            "MTTIME nokey",
            "MTTIME gone",
        ] {
            expect(&mut client, line, 0, 1);
        }
        // A key of another type is there: GET counts a hit and then fails.
        for line in ["GET list", "MTGET list 1", "MTTIME list", "MGET list", "MTMGET list 1"] {
            expect(&mut client, line, 1, 0);
        }
        expect(&mut client, "MTMGET i0 1 nokey 1 e10 1 gone 1 r200 1", 3, 2);
        expect(&mut client, "MTMGET i0 1 i0 1", 2, 0);
    }
}

#[test]
fn a_command_in_error_counts_no_hit() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    client.run("CONFIG RESETSTAT");
    for line in
        ["MTGET k abc", "MTGET k 1 FOO", "MTGET MY_KEYSMTIME 1", "MTMGET k 1 k abc", "MTTIME MY_KEYSMTIME"]
    {
        assert!(client.run(line).is_error(), "{line}");
    }
    assert_eq!(client.info("stats", "keyspace_hits"), "0");
    assert_eq!(client.info("stats", "keyspace_misses"), "0");
}

#[test]
fn nothing_gets_dirty_and_nothing_is_propagated() {
    let server = Server::with(AOF);
    let mut client = server.client();
    let names = store_values(&mut client);
    client.run("MTSET tracked v 100");
    let mut stream = Stream::of(&server);
    let before = dirty(&mut client);
    for name in names.iter().map(String::as_str).chain(["tracked", "nokey"]) {
        for since in [1, 100, 1000] {
            call!(client, "MTGET", name, since);
            call!(client, "MTGET", name, since, "WITHMTIME");
            call!(client, "MTMGET", name, since, "nokey", since);
        }
        call!(client, "MTTIME", name);
    }
    assert_eq!(dirty(&mut client), before);
    assert_eq!(stream.take(), Vec::<String>::new());
}

#[test]
fn reading_makes_no_index() {
    let server = Server::start();
    let mut client = server.client();
    client.run("SET k v");
    for line in ["MTGET k 1", "MTGET k 1 WITHMTIME", "MTTIME k", "MTMGET k 1", "MTGET nokey 1"] {
        client.run(line);
        assert_eq!(client.run("DBSIZE"), int(1), "{line}");
    }
}

#[test]
fn a_read_is_a_use_for_lfu_as_get_is() {
    // With these two settings the counter is exact: one more for each use, none lost with time.
    let server = Server::with(&["maxmemory-policy allkeys-lfu", "lfu-log-factor 0", "lfu-decay-time 0"]);
    let mut client = server.client();
    for value in ["7", "short", &"x".repeat(200)] {
        let mut uses = |read: &str| {
            client.run("FLUSHALL");
            call!(client, "MTSET", "k", value, 100);
            let before = client.run("OBJECT FREQ k").into_int();
            for _ in 0..10 {
                client.run(read);
            }
            client.run("OBJECT FREQ k").into_int() - before
        };
        let theirs = uses("GET k");
        assert_eq!(theirs, 10);
        for read in ["MTGET k 1", "MTGET k 100", "MTGET k 1 WITHMTIME", "MTMGET k 1", "MTMGET k 100"] {
            assert_eq!(uses(read), theirs, "{read} of {value}");
        }
    }
}

#[test]
fn a_read_is_a_use_for_lru_as_get_is() {
    let server = Server::with(&["maxmemory-policy allkeys-lru"]);
    let mut client = server.client();
    for value in ["7", "short", &"x".repeat(200)] {
        for read in ["GET k", "MTGET k 1", "MTGET k 100", "MTGET k 100 WITHMTIME", "MTMGET k 1", "MTTIME k"] {
            client.run("FLUSHALL");
            call!(client, "SET", "k", value);
            let dump = client.run("DUMP k").into_bytes();
            call!(client, "RESTORE", "k", 0, dump, "REPLACE", "IDLETIME", 1000);
            call!(client, "MTTOUCH", "other", 1);
            call!(client, "HSET", INDEX, "k", 100);
            assert!(client.run("OBJECT IDLETIME k").into_int() >= 1000);
            client.run(read);
            assert!(client.run("OBJECT IDLETIME k").into_int() < 100, "{read} of {value}");
        }
    }
}

#[test]
fn the_index_is_used_with_every_read_and_so_not_evicted_as_idle() {
    if has_no_index("the index as a key") {
        return;
    }
    let server = Server::with(&["maxmemory-policy allkeys-lru"]);
    let mut client = server.client();
    client.run("MTSET k v 100");
    let dump = call!(client, "DUMP", INDEX).into_bytes();
    for (read, expected) in [
        ("MTGET k 1 WITHMTIME", modified("100", "v")),
        ("MTGET k 100 WITHMTIME", not_modified("100")),
        ("MTGET k 100", nil()),
    ] {
        call!(client, "RESTORE", INDEX, 0, dump, "REPLACE", "IDLETIME", 1000);
        assert_eq!(client.run(read), expected);
        assert!(call!(client, "OBJECT", "IDLETIME", INDEX).into_int() < 100, "{read}");
    }
}

#[test]
fn a_missing_key_fires_keymiss_once_as_get_does() {
    let server = Server::with(&["notify-keyspace-events KEmA"]);
    let mut client = server.client();
    let mut watcher = server.resp3();
    watcher.send("PSUBSCRIBE __keyevent@0__:*");
    let mut events = |client: &mut Client, line: &str| -> Vec<(String, String)> {
        watcher.pushes();
        client.run(line);
        watcher
            .pushes()
            .into_iter()
            .map(|(_, data)| (data[1].clone().into_text(), data[2].clone().into_text()))
            .collect()
    };
    let miss = |key: &str| ("__keyevent@0__:keymiss".to_owned(), key.to_owned());
    for with_index in [false, true] {
        if with_index {
            client.run("MTSET k v 100");
            client.run("HSET MY_KEYSMTIME gone 5");
        }
        client.run("SET untracked v");
        assert_eq!(events(&mut client, "GET nokey"), [miss("nokey")]);
        assert_eq!(events(&mut client, "MTGET nokey 1"), [miss("nokey")], "{with_index}");
        assert_eq!(events(&mut client, "MTGET nokey 1 WITHMTIME"), [miss("nokey")], "{with_index}");
        assert_eq!(events(&mut client, "MTTIME nokey"), [miss("nokey")], "{with_index}");
        assert_eq!(events(&mut client, "MTMGET nokey 1 a 2"), [miss("nokey"), miss("a")], "{with_index}");
        assert_eq!(events(&mut client, "MTGET untracked 1"), [], "the index is nobody's miss ({with_index})");
        assert_eq!(events(&mut client, "MTMGET untracked 1"), [], "{with_index}");
    }
    assert_eq!(events(&mut client, "MTGET gone 1"), [miss("gone")]);
    assert_eq!(events(&mut client, "MTGET k 1"), []);
    assert_eq!(events(&mut client, "MTGET k 100"), []);
}
