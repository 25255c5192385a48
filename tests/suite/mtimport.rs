//! `MTIMPORT cursor [COUNT n]`: from an index to the keys, and what may happen meanwhile.

use crate::keymeta::{builder, is_offered, start};
use crate::support::aof::{AOF, Stream};
use crate::support::client::{
    Args, Client, Reply, args, array, bulk, call, error, int, nil, not_modified, ok, untracked, words,
};
use crate::support::dataset::{INDEX, digest};
use crate::support::errors::{NO_HASH, SYNTAX, wrong_arity};
use crate::support::lua::Scripts;
use crate::support::server::Server;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a pass did: mtimes moved, entries left, the most that one call moved.
#[derive(Debug, PartialEq, Default)]
struct Pass {
    moved: i64,
    left: i64,
    most: i64,
    calls: usize,
}

fn pass(client: &mut Client, count: usize) -> Pass {
    let mut pass = Pass::default();
    let mut cursor = b"0".to_vec();
    loop {
        let reply = call!(client, "MTIMPORT", cursor, "COUNT", count).into_items();
        let [next, moved, left] = &reply[..] else { panic!("three elements: {reply:?}") };
        let moved = moved.clone().into_int();
        pass.moved += moved;
        pass.left += left.clone().into_int();
        pass.most = pass.most.max(moved);
        pass.calls += 1;
        cursor = next.clone().into_bytes();
        if cursor == b"0" {
            return pass;
        }
    }
}

#[test]
fn only_keymeta_storage_has_it() {
    let server = Server::with(&["mtime.storage hash"]);
    let reply = server.client().run("MTIMPORT 0");
    assert!(matches!(&reply, Reply::Error(line) if line.starts_with("ERR unknown command")), "{reply:?}");
}

#[test]
fn it_is_described() {
    let Some(server) = start() else { return };
    let mut client = server.client();
    let info = client.run("COMMAND INFO mtimport").into_items().remove(0).into_items();
    assert_eq!(info[..2], [bulk("mtimport"), int(-2)]);
    let docs = client.run("COMMAND DOCS mtimport").field("mtimport").expect("a description");
    assert_eq!(
        docs.field("summary"),
        Some(bulk("Moves mtimes from an index to the keys themselves, one step at a time."))
    );
    for category in ["write", "slow", "mtime"] {
        let members = call!(client, "ACL", "CAT", category).into_items();
        assert!(members.contains(&bulk("mtimport")), "{category}");
    }
}

#[test]
fn without_an_index_there_is_nothing_to_do() {
    let Some(server) = start() else { return };
    let mut client = server.client();
    for line in ["MTIMPORT 0", "MTIMPORT 17 COUNT 5"] {
        assert_eq!(client.run(line), array([bulk("0"), int(0), int(0)]), "{line}");
    }
    assert_eq!(client.run("DBSIZE"), int(0));
}

#[test]
fn errors_change_nothing() {
    let Some(server) = start() else { return };
    let mut client = server.client();
    client.run_all(&["SET k v", "HSET MY_KEYSMTIME k 5"]);
    for (line, expected) in [
        ("MTIMPORT", wrong_arity("mtimport")),
        ("MTIMPORT x", "ERR invalid cursor".to_owned()),
        ("MTIMPORT 0 COUNT", SYNTAX.to_owned()),
        ("MTIMPORT 0 COUNT 0", SYNTAX.to_owned()),
        ("MTIMPORT 0 MATCH *", SYNTAX.to_owned()),
    ] {
        assert_eq!(client.run(line), error(&expected), "{line}");
    }
    assert_eq!(client.run("MTTIME k"), nil());
    client.run_all(&["SET MY_KEYSMTIME x"]);
    assert_eq!(client.run("MTIMPORT 0"), error(NO_HASH));
}

#[test]
fn each_entry_goes_its_way() {
    let Some(server) = start() else { return };
    let mut client = server.client();
    client.run_all(&[
        "SET plain v",
        "SET ttl v EX 1000",
        "SET number 42",
        "MTSET newer v 500",
        "RPUSH list a",
        "SET large v",
        "SET negative v",
        "SET garbage v",
    ]);
    let long = "x".repeat(300);
    call!(client, "SET", "long", long);
    call!(client, "SET", b"\0\xff", "v");
    for (key, mtime) in [
        (&b"plain"[..], "100"),
        (b"ttl", "1700000000.1233999729156494"),
        (b"number", "1.7000000000000002e+18"),
        (b"newer", "900"),
        (b"list", "100"),
        (b"gone", "100"),
        (b"large", "9223372036854775807"),
        (b"negative", "-0.5"),
        (b"garbage", "no number"),
        (b"long", "-7"),
        (b"\0\xff", "0"),
    ] {
        call!(client, "HSET", INDEX, key, mtime);
    }
    let done = pass(&mut client, 1000);
    assert_eq!((done.moved, done.left), (5, 3), "{done:?}");
    for (key, mtime) in [
        (&b"plain"[..], Some("100")),
        (b"ttl", Some("1700000000.1234")),
        (b"number", Some("1700000000000000256")),
        (b"newer", Some("500")),
        (b"large", None),
        (b"negative", None),
        (b"garbage", None),
        (b"long", Some("-7")),
        (b"\0\xff", Some("0")),
    ] {
        assert_eq!(call!(client, "MTTIME", key), mtime.map_or_else(nil, bulk), "{}", key.escape_ascii());
    }
    assert_eq!(client.run("TTL ttl"), int(1000));
    assert_eq!(client.run("OBJECT ENCODING number"), bulk("int"));
    let mut left: Vec<String> =
        call!(client, "HKEYS", INDEX).into_items().into_iter().map(Reply::into_text).collect();
    left.sort();
    assert_eq!(left, ["garbage", "large", "negative"]);
    assert_eq!(client.info("mtime", "mtime_imported"), "5");
    let again = pass(&mut client, 1000);
    assert_eq!((again.moved, again.left), (0, 3));
}

#[test]
fn a_pass_over_many_entries_is_bounded_and_complete() {
    let Some(server) = start() else { return };
    let mut client = server.client();
    let commands: Vec<Args> = (0..5000)
        .flat_map(|i| [args!["SET", format!("key:{i}"), i], args!["HSET", INDEX, format!("key:{i}"), i]])
        .collect();
    client.pipeline(&commands);
    // Begun, and begun anew.
    let first = call!(client, "MTIMPORT", 0, "COUNT", 100).into_items()[1].clone().into_int();
    assert!((1..=200).contains(&first), "{first}");
    let done = pass(&mut client, 50);
    assert_eq!(first + done.moved, 5000, "{done:?}");
    assert!(done.most <= 100 && done.calls >= 40, "{done:?}");
    assert_eq!(call!(client, "EXISTS", INDEX), int(0), "the index goes with its last entry");
    for i in [0, 17, 4999] {
        assert_eq!(call!(client, "MTGET", format!("key:{i}"), i), nil());
    }
}

/// What was written plainly before the pass came to it must not get the old time.
#[test]
fn a_foreign_write_before_the_pass_takes_the_entry_away() {
    if !is_offered() {
        return;
    }
    // The index is there when the server starts, or comes while it runs.
    for at_start in [true, false] {
        let mut server = builder().with(&["appendonly yes", "appendfsync always"]).start();
        let mut client = server.client();
        let fill = |client: &mut Client| {
            client.run_all(&["FLUSHALL", "SET src plain"]);
            for key in ["a", "b", "c", "d", "e", "f", "untouched"] {
                call!(client, "SET", key, 10);
                call!(client, "HSET", INDEX, key, 100);
            }
        };
        fill(&mut client);
        if at_start {
            server.restart();
            client = server.client();
        }
        client.run_all(&[
            "SET a new",
            "APPEND b x",
            "DEL c",
            "SET c new",
            "RENAME src d",
            "INCR e",
            "COPY a f REPLACE",
        ]);
        let done = pass(&mut client, 1000);
        assert_eq!(done.moved, 1, "{done:?}");
        for key in ["a", "b", "c", "d", "e", "f"] {
            let value = call!(client, "GET", key).into_bytes();
            assert_eq!(call!(client, "MTGET", key, 100, "WITHMTIME"), untracked(value), "{key} {at_start}");
        }
        assert_eq!(client.run("MTGET untouched 100 WITHMTIME"), not_modified("100"));
        // Done, and then scripts write on.
        let scripts = Scripts::load(&mut client);
        client.call(&scripts.write(b"a", b"lua", b"200"));
        client.call(&scripts.write(b"b", b"lua", b"200"));
        client.run_all(&["SET b plain"]);
        pass(&mut client, 1000);
        assert_eq!(client.run("MTGET a 200 WITHMTIME"), not_modified("200"));
        assert_eq!(client.run("MTGET b 200 WITHMTIME"), untracked("plain"));
        assert_eq!(call!(client, "EXISTS", INDEX), int(0));
    }
}

#[test]
fn it_is_propagated_as_what_it_did() {
    if !is_offered() {
        return;
    }
    let mut master = builder().with(AOF).tcp().start();
    let replica = Server::replica_of(&master, builder());
    let mut client = master.client();
    let mut stream = Stream::of(&master);
    client.run_all(&["SET k v", "HSET MY_KEYSMTIME k 1e2 gone 5 other -0.5", "SET other v"]);
    client.run_all(&["HSET MY_KEYSMTIME other -0.5"]);
    stream.take();
    assert_eq!(client.run("MTIMPORT 0"), array([bulk("0"), int(1), int(1)]));
    let lines = stream.take();
    let mut expected =
        vec!["EXEC", "HDEL MY_KEYSMTIME gone", "HDEL MY_KEYSMTIME k", "MTTOUCH k 100", "MULTI"];
    let mut sorted = lines.clone();
    sorted.sort();
    expected.sort();
    assert_eq!(sorted, expected, "{lines:?}");
    replica.sync_with(&master);
    assert_eq!(digest(&mut replica.client()), digest(&mut client));
    assert_eq!(replica.client().run("MTTIME k"), bulk("100"));
    assert!(replica.client().run("MTIMPORT 0").is_error(), "a replica has no say");
    master.restart();
    assert_eq!(master.client().run("MTTIME k"), bulk("100"));
    master.client().rewrite_aof();
    master.restart();
    assert_eq!(master.client().run("MTTIME k"), bulk("100"));
}

#[test]
fn each_database_and_each_name() {
    if !is_offered() {
        return;
    }
    let server = builder().with(&["mtime.index-key times"]).start();
    let mut client = server.client();
    for database in [0, 3] {
        call!(client, "SELECT", database);
        client.run_all(&["SET k v", "HSET times k 5", "HSET MY_KEYSMTIME k 7"]);
    }
    assert_eq!(pass(&mut client, 10).moved, 1);
    assert_eq!(client.run("MTTIME k"), bulk("5"));
    client.run("SELECT 0");
    assert_eq!(client.run("MTTIME k"), nil());
}

#[test]
fn it_runs_in_transactions_and_scripts() {
    let Some(server) = start() else { return };
    let mut client = server.client();
    client.run_all(&["SET k v", "HSET MY_KEYSMTIME k 5"]);
    let replies = client.pipeline(&["MULTI", "MTIMPORT 0", "MTGET k 5", "EXEC"].map(words));
    assert_eq!(replies[3], array([array([bulk("0"), int(1), int(0)]), nil()]));
    client.run_all(&["SET k v", "HSET MY_KEYSMTIME k 6"]);
    let script = "redis.call('MTIMPORT', 0) return redis.call('MTTIME', KEYS[1])";
    assert_eq!(call!(client, "EVAL", script, 1, "k"), bulk("6"));
}

#[test]
fn the_user_must_be_allowed_to_use_the_index() {
    let Some(server) = start() else { return };
    let mut client = server.client();
    client.run_all(&["SET k v", "HSET MY_KEYSMTIME k 5", "ACL SETUSER some on nopass ~k +@all"]);
    let mut other = server.client();
    assert_eq!(other.run("AUTH some any"), ok());
    assert_eq!(other.run("MTIMPORT 0"), error("NOPERM No permissions to access a key"));
    client.run_all(&["ACL SETUSER some ~MY_KEYSMTIME"]);
    assert_eq!(other.run("MTIMPORT 0"), array([bulk("0"), int(1), int(0)]));
}

/// Writers of all kinds, ours, plain ones and the scripts: at the end no reader is told "not modified" of a value that was
/// not written with that time.
#[test]
fn writers_may_go_on_meanwhile() {
    let Some(server) = start() else { return };
    let mut client = server.client();
    const KEYS: u64 = 2000;
    // A value says with which time it was written: 0 for none.
    let commands: Vec<Args> = (0..KEYS)
        .flat_map(|i| [args!["SET", format!("k{i}"), "100:"], args!["HSET", INDEX, format!("k{i}"), 100]])
        .collect();
    client.pipeline(&commands);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (server, is_done) = (&server, &is_done);
            scope.spawn(move || {
                let mut client = server.client();
                let scripts = Scripts::load(&mut client);
                let mut i = writer;
                while !is_done.load(Ordering::Relaxed) {
                    let key = format!("k{}", (i * 7919) % KEYS);
                    let time = 200 + i;
                    let command = match i % 5 {
                        0 => args!["SET", key, "0:plain"],
                        1 => args!["APPEND", key, "0"],
                        2 => args!["MTSET", key, format!("{time}:"), time],
                        3 => scripts.write(
                            key.as_bytes(),
                            format!("{time}:").as_bytes(),
                            time.to_string().as_bytes(),
                        ),
                        _ => args!["DEL", key],
                    };
                    client.call(&command);
                    i += 2;
                }
            });
        }
        for _ in 0..10 {
            pass(&mut client, 20);
        }
        is_done.store(true, Ordering::Relaxed);
    });
    pass(&mut client, 1000);
    assert_eq!(call!(client, "EXISTS", INDEX), int(0));
    let mut tracked = 0;
    for i in 0..KEYS {
        let replies = client.pipeline(&[args!["MTTIME", format!("k{i}")], args!["GET", format!("k{i}")]]);
        if let Reply::Bulk(mtime) = &replies[0] {
            tracked += 1;
            let mut expected = mtime.clone();
            expected.push(b':');
            assert_eq!(replies[1], bulk(expected), "k{i}");
        }
    }
    assert!(tracked > 100, "{tracked} tracked");
}
