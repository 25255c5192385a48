//! `MTCLEAN cursor [COUNT n]`: one step of removing index entries whose key is gone.

use crate::support::aof::{AOF, Stream};
use crate::support::client::{
    Args, Client, Reply, args, array, bulk, call, error, int, not_modified, ok, words,
};
use crate::support::dataset::{INDEX, dataset, digest, index_entries, unchanged};
use crate::support::errors::{NO_HASH, NOT_AN_INTEGER, SYNTAX, wrong_arity};
use crate::support::server::Server;
use crate::support::storage::has_no_index;
use crate::support::wait;
use std::sync::atomic::{AtomicBool, Ordering};

const INVALID_CURSOR: &str = "ERR invalid cursor";

/// What a pass did: calls made, entries removed, the most that one call removed.
#[derive(Debug, PartialEq)]
struct Pass {
    calls: usize,
    removed: i64,
    most: i64,
}

fn pass(client: &mut Client, count: Option<usize>) -> Pass {
    let mut pass = Pass { calls: 0, removed: 0, most: 0 };
    let mut cursor = b"0".to_vec();
    loop {
        let mut command = args!["MTCLEAN", cursor];
        if let Some(count) = count {
            command.extend(args!["COUNT", count]);
        }
        let [next, removed] = &client.call(&command).into_items()[..] else { panic!("two elements") };
        let removed = removed.clone().into_int();
        pass.calls += 1;
        pass.removed += removed;
        pass.most = pass.most.max(removed);
        cursor = next.clone().into_bytes();
        if cursor == b"0" {
            return pass;
        }
    }
}

/// Entries of keys that never were: as the seed left them behind.
fn orphans(client: &mut Client, number: usize) {
    let commands: Vec<Args> = (0..number).map(|i| args!["HSET", INDEX, format!("gone{i}"), i]).collect();
    client.pipeline(&commands);
}

fn live(client: &mut Client, number: usize) {
    let commands: Vec<Args> = (0..number).map(|i| args!["MTSET", format!("live{i}"), i, 100]).collect();
    assert!(client.pipeline(&commands).into_iter().all(|reply| reply == ok()));
}

fn length(client: &mut Client) -> i64 {
    call!(client, "HLEN", INDEX).into_int()
}

#[test]
fn without_an_index_there_is_nothing_to_do() {
    let server = Server::start();
    let mut client = server.client();
    for line in ["MTCLEAN 0", "MTCLEAN 0 COUNT 1", "MTCLEAN 17", "mtclean 0 count 1000000"] {
        assert_eq!(unchanged(&mut client, |c| c.run(line)), array([bulk("0"), int(0)]), "{line}");
    }
    assert_eq!(client.run("DBSIZE"), int(0), "and none is made");
}

#[test]
fn only_entries_without_their_string_go() {
    if has_no_index("an index to clean; keymeta.rs has its own") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    for line in [
        "MTSET live value 100",
        "MTSET volatile value 100 EX 1000",
        "MTSET empty x 100",
        "SET garbage value",
        "HSET MY_KEYSMTIME garbage nonsense",
        "RPUSH list a",
        "HSET MY_KEYSMTIME list 100",
        "SADD set a",
        "HSET MY_KEYSMTIME set 100",
        "HSET hash f v",
        "HSET MY_KEYSMTIME hash 100",
        "ZADD zset 1 m",
        "HSET MY_KEYSMTIME zset 100",
        "XADD stream * f v",
        "HSET MY_KEYSMTIME stream 100",
        "HSET MY_KEYSMTIME gone 100",
        "HSET MY_KEYSMTIME MY_KEYSMTIME 100",
    ] {
        assert!(!client.run(line).is_error(), "{line}");
    }
    call!(client, "HSET", INDEX, "", 100);
    call!(client, "HSET", INDEX, b"\0\xff\r\n", 100);
    assert_eq!(pass(&mut client, None).removed, 9);
    let left: Vec<String> = index_entries(&mut client).into_keys().collect();
    assert_eq!(left, ["empty", "garbage", "live", "volatile"]);
    assert_eq!(client.run("MTGET live 100 WITHMTIME"), not_modified("100"));
    assert_eq!(client.run("EXISTS list set hash zset stream live volatile empty garbage"), int(9));
    assert_eq!(pass(&mut client, None).removed, 0, "a second pass finds nothing");
}

#[test]
fn the_last_entry_takes_the_index_along() {
    if has_no_index("an index to clean; keymeta.rs has its own") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    orphans(&mut client, 3);
    assert_eq!(pass(&mut client, None), Pass { calls: 1, removed: 3, most: 3 });
    assert_eq!(client.run("DBSIZE"), int(0));
    client.run("MTSET k v 5");
    assert_eq!(call!(client, "OBJECT", "ENCODING", INDEX), bulk("hashtable"));
}

#[test]
fn a_pass_over_ten_thousand_entries_is_complete() {
    if has_no_index("an index to clean; keymeta.rs has its own") {
        return;
    }
    const GONE: usize = 8_000;
    const LIVE: usize = 2_000;
    let server = Server::start();
    let mut client = server.client();
    for count in [None, Some(1), Some(100), Some(100_000)] {
        client.run("FLUSHALL");
        live(&mut client, LIVE);
        orphans(&mut client, GONE);
        let all = GONE + LIVE;
        let done = pass(&mut client, count);
        assert_eq!(done.removed, 8_000, "{count:?}: {done:?}");
        assert_eq!(length(&mut client), 2_000, "{count:?}");
        // Work is bounded, but for the entries that share a bucket.
        let bound = i64::try_from(count.unwrap_or(10)).expect("small") + 20;
        assert!(done.most <= bound, "{count:?}: {done:?}");
        assert!(done.calls >= all / (count.unwrap_or(10) + 20), "{count:?}: {done:?}");
        assert!(done.calls <= 2 * all / count.unwrap_or(10) + 1 + 8_000, "{count:?}: {done:?}");
        if count == Some(100_000) {
            assert_eq!(done.calls, 1);
        }
        assert!(index_entries(&mut client).into_keys().all(|key| key.starts_with("live")));
    }
}

#[test]
fn each_database_is_cleaned_for_itself() {
    let server = Server::start();
    let mut client = server.client();
    for database in [0, 3] {
        call!(client, "SELECT", database);
        orphans(&mut client, 5);
    }
    assert_eq!(pass(&mut client, None).removed, 5);
    assert_eq!(client.run("DBSIZE"), int(0));
    client.run("SELECT 0");
    assert_eq!(length(&mut client), 5);
}

#[test]
fn another_index_name_is_cleaned_too() {
    if has_no_index("an index to clean; keymeta.rs has its own") {
        return;
    }
    let server = Server::with(&["mtime.index-key times"]);
    let mut client = server.client();
    client.run("HSET times gone 5");
    client.run("HSET MY_KEYSMTIME gone 5");
    client.run("MTSET live v 5");
    assert_eq!(pass(&mut client, None).removed, 1);
    assert_eq!(call!(client, "HKEYS", "times"), array([bulk("live")]));
    assert_eq!(length(&mut client), 1, "a hash that happens to have the default name");
}

#[test]
fn an_index_of_another_type_is_refused() {
    let server = Server::start();
    let mut client = server.client();
    for make in ["SET MY_KEYSMTIME x", "RPUSH MY_KEYSMTIME x", "SADD MY_KEYSMTIME k", "ZADD MY_KEYSMTIME 5 k"]
    {
        client.run("FLUSHALL");
        client.run(make);
        for line in ["MTCLEAN 0", "MTCLEAN 5 COUNT 100"] {
            assert_eq!(unchanged(&mut client, |c| c.run(line)), error(NO_HASH), "{make}: {line}");
        }
    }
}

#[test]
fn errors_change_nothing() {
    let server = Server::start();
    let mut client = server.client();
    orphans(&mut client, 5);
    for (line, expected) in [
        ("MTCLEAN", wrong_arity("mtclean")),
        ("MTCLEAN x", INVALID_CURSOR.to_owned()),
        ("MTCLEAN -1", INVALID_CURSOR.to_owned()),
        ("MTCLEAN 1.5", INVALID_CURSOR.to_owned()),
        ("MTCLEAN 1e3", INVALID_CURSOR.to_owned()),
        ("MTCLEAN 0x10", INVALID_CURSOR.to_owned()),
        ("MTCLEAN 18446744073709551616", INVALID_CURSOR.to_owned()),
        ("MTCLEAN 0 COUNT", SYNTAX.to_owned()),
        ("MTCLEAN 0 COUNT 0", SYNTAX.to_owned()),
        ("MTCLEAN 0 COUNT -1", SYNTAX.to_owned()),
        ("MTCLEAN 0 COUNT x", NOT_AN_INTEGER.to_owned()),
        ("MTCLEAN 0 COUNT 1.5", NOT_AN_INTEGER.to_owned()),
        ("MTCLEAN 0 COUNT 99999999999999999999", NOT_AN_INTEGER.to_owned()),
        ("MTCLEAN 0 COUNT 1 COUNT 1", SYNTAX.to_owned()),
        ("MTCLEAN 0 MATCH *", SYNTAX.to_owned()),
        ("MTCLEAN 0 5", SYNTAX.to_owned()),
    ] {
        assert_eq!(unchanged(&mut client, |c| c.run(line)), error(&expected), "{line}");
    }
    assert_eq!(call!(client, "MTCLEAN", ""), error(INVALID_CURSOR));
    assert_eq!(call!(client, "MTCLEAN", b"0\0"), error(INVALID_CURSOR));
    assert_eq!(length(&mut client), 5);
    assert_eq!(client.info("mtime", "mtime_cleaned"), "0");
}

/// A cursor is the client's to forget, to keep or to make up.
#[test]
fn any_cursor_is_safe() {
    if has_no_index("an index to clean; keymeta.rs has its own") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    live(&mut client, 100);
    for cursor in [1, 2, 3, 127, 128, 1_000_000, u64::MAX - 1, u64::MAX] {
        orphans(&mut client, 100);
        let reply = call!(client, "MTCLEAN", cursor, "COUNT", 5);
        assert!(!reply.is_error(), "{cursor}: {reply:?}");
    }
    pass(&mut client, None);
    assert_eq!(length(&mut client), 100);
}

#[test]
fn it_is_propagated_as_hdel() {
    if has_no_index("an index to clean; keymeta.rs has its own") {
        return;
    }
    let mut master = Server::builder().with(AOF).tcp().start();
    let replicas = [Server::builder(), Server::builder().without_module()]
        .map(|replica| Server::replica_of(&master, replica));
    let mut client = master.client();
    let mut stream = Stream::of(&master);
    client.run("MTSET live v 5");
    client.run("HSET MY_KEYSMTIME gone 5");
    stream.take();
    client.run("MTCLEAN 0");
    assert_eq!(stream.take(), ["HDEL MY_KEYSMTIME gone"]);
    client.run("MTCLEAN 0");
    assert_eq!(stream.take(), Vec::<String>::new(), "a step that finds nothing says nothing");
    orphans(&mut client, 3);
    stream.take();
    client.run("MTCLEAN 0 COUNT 100");
    let mut propagated = stream.take();
    assert_eq!(propagated.first().map(String::as_str), Some("MULTI"), "{propagated:?}");
    assert_eq!(propagated.last().map(String::as_str), Some("EXEC"), "{propagated:?}");
    propagated.sort();
    assert_eq!(
        propagated,
        ["EXEC", "HDEL MY_KEYSMTIME gone0", "HDEL MY_KEYSMTIME gone1", "HDEL MY_KEYSMTIME gone2", "MULTI"]
    );
    let before = digest(&mut client);
    for replica in &replicas {
        replica.sync_with(&master);
        assert_eq!(digest(&mut replica.client()), before);
        let refused = replica.client().run("MTCLEAN 0");
        assert!(refused.is_error(), "a replica has no say: {refused:?}");
    }
    master.restart();
    assert_eq!(digest(&mut master.client()), before);
}

#[test]
fn expired_keys_lose_their_entries() {
    if has_no_index("an index to clean; keymeta.rs has its own") {
        return;
    }
    for invalidate in ["yes", "no"] {
        let server =
            Server::builder().with(AOF).with(&[&format!("mtime.invalidate-on-write {invalidate}")]).start();
        let mut client = server.client();
        client.run("DEBUG SET-ACTIVE-EXPIRE 0");
        live(&mut client, 50);
        let commands: Vec<Args> =
            (0..50).map(|i| args!["MTSET", format!("short{i}"), "value", 100, "PX", 1]).collect();
        client.pipeline(&commands);
        let end = client.clock_us() + 2_000;
        wait::until("the time of the keys to run out", || (client.clock_us() > end).then_some(()));
        let done = pass(&mut client, Some(7));
        assert_eq!(length(&mut client), 50, "{invalidate}: {done:?}");
        // Whether the expiry or the cleaning got there first, each entry was counted once.
        let counted: i64 = ["mtime_foreign_writes_dropped", "mtime_cleaned"]
            .map(|counter| client.info("mtime", counter).parse::<i64>().expect("a number"))
            .iter()
            .sum();
        assert_eq!(counted, 50, "{invalidate}");
        assert_eq!(client.info("mtime", "mtime_cleaned"), done.removed.to_string(), "{invalidate}");
        let before = (digest(&mut client), dataset(&mut client));
        let mut server = server;
        server.restart();
        let mut client = server.client();
        assert_eq!((digest(&mut client), dataset(&mut client)), before, "{invalidate}");
    }
}

#[test]
fn writers_may_go_on_meanwhile() {
    if has_no_index("an index to clean; keymeta.rs has its own") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    live(&mut client, 1_000);
    orphans(&mut client, 5_000);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (server, is_done) = (&server, &is_done);
            scope.spawn(move || {
                let mut client = server.client();
                let mut i = 0_u64;
                while !is_done.load(Ordering::Relaxed) {
                    // New keys, changed ones, and keys that come and go.
                    client.pipeline(&[
                        args!["MTSET", format!("new{writer}:{i}"), "v", i],
                        args!["MTTOUCH", format!("live{}", i % 1_000), 200 + i],
                        args!["MTSET", format!("passing{writer}"), "v", i],
                        args!["DEL", format!("passing{writer}")],
                    ]);
                    i += 1;
                }
            });
        }
        let mut removed = 0;
        for _ in 0..5 {
            removed += pass(&mut client, Some(50)).removed;
        }
        is_done.store(true, Ordering::Relaxed);
        assert_eq!(removed, 5_000, "each entry that was there all the time, once");
    });
    let entries = index_entries(&mut client);
    let keys: Vec<Args> = entries.keys().map(|key| args!["EXISTS", key]).collect();
    assert!(client.pipeline(&keys).into_iter().all(|reply| reply == int(1)));
    assert!((0..1_000).all(|i| entries.contains_key(&format!("live{i}"))));
    let strings = client.run("DBSIZE").into_int() - 1;
    assert_eq!(i64::try_from(entries.len()).expect("small"), strings, "every string is still tracked");
}

#[test]
fn it_runs_in_transactions_and_scripts() {
    if has_no_index("an index to clean; keymeta.rs has its own") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    live(&mut client, 1);
    orphans(&mut client, 1);
    let replies = client.pipeline(&["MULTI", "MTCLEAN 0", "MTCLEAN 0", "EXEC"].map(words));
    assert_eq!(replies[3], array([array([bulk("0"), int(1)]), array([bulk("0"), int(0)])]));
    orphans(&mut client, 2);
    let script = "return redis.call('MTCLEAN', ARGV[1], 'COUNT', '100')";
    assert_eq!(call!(client, "EVAL", script, 0, 0), array([bulk("0"), int(2)]));
    assert_eq!(length(&mut client), 1);
}

/// Cleaning up is no use of a key.
#[test]
fn it_leaves_no_trace_on_the_keys_it_looks_at() {
    let server = Server::with(&["maxmemory-policy allkeys-lru"]);
    let mut client = server.client();
    client.run("SET k value");
    let dump = client.run("DUMP k").into_bytes();
    assert_eq!(call!(client, "RESTORE", "k", 0, dump, "REPLACE", "IDLETIME", 1000), ok());
    client.run("HSET MY_KEYSMTIME k 100");
    orphans(&mut client, 3);
    client.run("CONFIG RESETSTAT");
    assert_eq!(pass(&mut client, None).removed, 3);
    assert!(client.run("OBJECT IDLETIME k").into_int() >= 1000);
    assert_eq!(client.info("stats", "keyspace_misses"), "0");
    let mut other = server.client();
    assert_eq!(client.run("WATCH k"), ok());
    other.run("MTCLEAN 0");
    let reply = client.pipeline(&["MULTI", "PING", "EXEC"].map(words)).pop();
    assert_eq!(reply, Some(array([Reply::Status("PONG".to_owned())])));
}
