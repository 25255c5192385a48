//! Mtimes that were read lately are answered without a look into the index. Whatever happens to key or index in between,
//! the next read must not tell.

use crate::support::client::{
    Client, Reply, array, bulk, int, modified, nil, not_modified, ok, untracked, words,
};
use crate::support::server::Server;
use crate::support::storage::has_no_index;
use crate::support::wait;

/// Long enough to be stored raw on every server.
const LONG: &str = "a-value-that-is-long-enough-to-be-stored-raw-on-every-server-whichever-of-them-it-is-be-it-the-one-with-\
                    the-longest-of-all-the-embedded-strings";

fn saved(client: &mut Client) -> u64 {
    client.info("mtime", "mtime_index_lookups_saved").parse().expect("a number")
}

/// Reads a key until a read needed no look into the index.
fn until_recalled(client: &mut Client, key: &str) {
    let before = saved(client);
    wait::until("a read without a look into the index", || {
        client.run(&format!("MTGET {key} 100"));
        (saved(client) > before).then_some(())
    });
}

/// What a reader with mtime 100 is told.
fn read(client: &mut Client, key: &str) -> Reply {
    let told = client.run(&format!("MTGET {key} 100 WITHMTIME"));
    let many = client.run(&format!("MTMGET {key} 100 none 1 {key} 100"));
    assert_eq!(many, array([told.clone(), nil(), told.clone()]), "MTMGET agrees with MTGET");
    told
}

#[test]
fn no_change_is_missed() {
    if has_no_index("what is kept of the index") {
        return;
    }
    for value in ["short", LONG] {
        let ways: Vec<(Vec<String>, Reply)> = [
            (vec!["SET key other"], untracked("other")),
            (vec![&format!("SET key {value} KEEPTTL")], untracked(value)),
            (vec!["APPEND key more"], untracked(format!("{value}more"))),
            (vec!["SETRANGE key 0 X"], untracked(format!("X{}", &value[1..]))),
            (vec!["DEL key"], nil()),
            (vec!["UNLINK key"], nil()),
            (vec!["GETDEL key"], nil()),
            (vec!["PEXPIRE key -1"], nil()),
            (vec!["RENAME key away"], nil()),
            (vec!["SET other x", "RENAME other key"], untracked("x")),
            (vec!["SET other x", "COPY other key REPLACE"], untracked("x")),
            (vec!["MOVE key 1"], nil()),
            (vec!["RPUSH list x", "DEL key", "SORT list ALPHA STORE key", "DEL key"], nil()),
            (vec!["MULTI", "SET key other", "EXEC"], untracked("other")),
            (vec!["EVAL return{redis.call('SET','key','other')} 0"], untracked("other")),
            (vec!["MTSET key other 200"], modified("200", "other")),
            (vec![&format!("MTSET key {value} 50")], not_modified("50")),
            (vec!["MTSET key other *"], nil()),
            (vec!["MTTOUCH key 99"], not_modified("99")),
            (vec!["MTTOUCH key 101"], modified("101", value)),
            (vec!["MTDEL key"], nil()),
            (vec!["MTDEL key", &format!("SET key {value}")], untracked(value)),
            (vec!["HSET MY_KEYSMTIME key 200"], modified("200", value)),
            (vec!["HINCRBY MY_KEYSMTIME key 1"], modified("101", value)),
            (vec!["HSET MY_KEYSMTIME key garbage"], untracked(value)),
            (vec!["HDEL MY_KEYSMTIME key"], untracked(value)),
            (vec!["EVAL return{redis.call('HDEL','MY_KEYSMTIME','key')} 0"], untracked(value)),
            (vec!["DEL MY_KEYSMTIME"], untracked(value)),
            (vec!["UNLINK MY_KEYSMTIME"], untracked(value)),
            (vec!["RENAME MY_KEYSMTIME away"], untracked(value)),
            (vec!["MOVE MY_KEYSMTIME 1"], untracked(value)),
            (vec!["PEXPIRE MY_KEYSMTIME -1"], untracked(value)),
            (vec!["SET MY_KEYSMTIME string"], untracked(value)),
            (vec!["SADD set x", "SUNIONSTORE MY_KEYSMTIME set"], untracked(value)),
            (vec!["HSET other key 200", "RENAME other MY_KEYSMTIME"], modified("200", value)),
            (vec!["HSET other key 200", "COPY other MY_KEYSMTIME REPLACE"], modified("200", value)),
            (vec!["FLUSHALL"], nil()),
            (vec!["FLUSHDB ASYNC", &format!("SET key {value}")], untracked(value)),
            (vec!["SWAPDB 0 1"], nil()),
            (vec!["SELECT 1", &format!("SET key {value}"), "SWAPDB 0 1", "SELECT 0"], untracked(value)),
            (vec!["SELECT 1", "MTSET key other 300", "SWAPDB 0 1", "SELECT 0"], modified("300", "other")),
            (vec!["SELECT 1", "SET key other"], untracked("other")),
            (vec!["SELECT 1", "MTSET key other 300"], modified("300", "other")),
            (vec!["DEBUG RELOAD"], not_modified("100")),
            (vec!["HDEL MY_KEYSMTIME key", "DEBUG RELOAD"], untracked(value)),
            (
                vec![
                    "CONFIG SET mtime.invalidate-on-write no",
                    &format!("SET key {value}"),
                    "HDEL MY_KEYSMTIME key",
                ],
                untracked(value),
            ),
            (
                vec![
                    "CONFIG SET mtime.invalidate-on-write no",
                    "SET MY_KEYSMTIME string",
                    "CONFIG SET mtime.invalidate-on-write yes",
                ],
                untracked(value),
            ),
            (vec!["MTCLEAN 0", "EXPIRE key 100", "PERSIST key"], not_modified("100")),
        ]
        .map(|(lines, expected): (Vec<&str>, Reply)| {
            (lines.into_iter().map(str::to_owned).collect(), expected)
        })
        .into();
        for (lines, expected) in ways {
            let server = Server::start();
            let mut client = server.client();
            assert_eq!(client.run(&format!("MTSET key {value} 100")), ok());
            until_recalled(&mut client, "key");
            for line in &lines {
                let reply = client.run(line);
                assert!(!reply.is_error(), "{line}: {reply:?}");
            }
            if lines.iter().any(|line| line.ends_with(" *")) {
                let mtime = client.run("MTTIME key");
                assert_eq!(read(&mut client, "key"), array([mtime, bulk("other")]), "{lines:?}");
                continue;
            }
            assert_eq!(read(&mut client, "key"), expected, "{lines:?}");
            // And once more, when that may be known by heart.
            assert_eq!(read(&mut client, "key"), expected, "{lines:?}");
        }
    }
}

#[test]
fn an_expired_key_is_missing_though_its_mtime_is_known() {
    if has_no_index("what is kept of the index") {
        return;
    }
    for value in ["short", LONG] {
        let server = Server::start();
        let mut client = server.client();
        assert_eq!(client.run("DEBUG SET-ACTIVE-EXPIRE 0"), ok());
        assert_eq!(client.run(&format!("MTSET key {value} 100 PX 300")), ok());
        until_recalled(&mut client, "key");
        wait::until("the key to expire", || (client.run("MTGET key 100 WITHMTIME") == nil()).then_some(()));
        assert_eq!(client.run("HLEN MY_KEYSMTIME"), int(0));
    }
}

#[test]
fn databases_are_told_apart_also_in_transactions() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.run(&format!("MTSET key {LONG} 100")), ok());
    assert_eq!(client.run("SELECT 1"), ok());
    assert_eq!(client.run(&format!("SET key {LONG}")), ok());
    assert_eq!(client.run("SELECT 0"), ok());
    for _ in 0..200 {
        assert_eq!(client.run("MTGET key 100"), nil());
        assert_eq!(client.run("MULTI"), ok());
        for line in ["MTGET key 100", "SELECT 1", "MTGET key 100", "SELECT 0", "MTGET key 100"] {
            assert!(!client.run(line).is_error(), "{line}");
        }
        assert_eq!(client.run("EXEC"), array([nil(), ok(), bulk(LONG), ok(), nil()]));
    }
}

#[test]
fn a_replica_hears_of_changes_from_its_master() {
    if has_no_index("what is kept of the index") {
        return;
    }
    let master = Server::builder().tcp().start();
    let mut writer = master.client();
    assert_eq!(writer.run(&format!("MTSET key {LONG} 100")), ok());
    let replica = Server::replica_of(&master, Server::builder());
    let mut reader = replica.client();
    for mtime in 101..130 {
        until_recalled(&mut reader, "key");
        assert_eq!(writer.run(&format!("MTSET key {LONG} {mtime}")), ok());
        replica.sync_with(&master);
        assert_eq!(reader.run("MTTIME key"), bulk(mtime.to_string()));
        until_recalled(&mut reader, "key");
        assert!(!writer.run("APPEND key more").is_error());
        replica.sync_with(&master);
        assert_eq!(reader.run("MTTIME key"), nil());
        assert_eq!(writer.run(&format!("MTSET key {LONG} {mtime}")), ok());
        replica.sync_with(&master);
    }
}

#[test]
fn every_read_counts_as_one_hit_or_miss() {
    if has_no_index("what is kept of the index") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    for value in ["short", LONG] {
        assert_eq!(client.run(&format!("MTSET key {value} 100")), ok());
        until_recalled(&mut client, "key");
        assert_eq!(client.run("CONFIG RESETSTAT"), ok());
        for _ in 0..100 {
            assert_eq!(client.run("MTGET key 100"), nil());
            assert_eq!(client.run("MTGET key 99"), bulk(value));
            assert_eq!(client.run("MTTIME key"), bulk("100"));
            assert_eq!(client.run("MTMGET key 100 none 1"), array([array([bulk("100"), nil()]), nil()]));
        }
        assert_eq!(client.info("stats", "keyspace_hits"), "400");
        assert_eq!(client.info("stats", "keyspace_misses"), "100");
    }
}

#[test]
fn the_index_does_not_look_idle() {
    if has_no_index("what is kept of the index") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.run(&format!("MTSET key {LONG} 100")), ok());
    until_recalled(&mut client, "key");
    // In seconds that the server counts by a clock of its own: two are no idleness.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while std::time::Instant::now() < end {
        assert_eq!(client.run("MTGET key 100"), nil());
        assert!(client.run("OBJECT IDLETIME MY_KEYSMTIME").into_int() <= 2);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn its_memory_is_bounded_and_given_back() {
    if has_no_index("what is kept of the index") {
        return;
    }
    let server = Server::with(&["hz 100"]);
    let mut client = server.client();
    let used =
        |client: &mut Client| -> i64 { client.info("memory", "used_memory").parse().expect("a number") };
    let fill = |client: &mut Client| {
        for start in (0..60_000).step_by(1000) {
            let lines: Vec<_> =
                (start..start + 1000).map(|number| words(&format!("MTSET key:{number} value 100"))).collect();
            client.pipeline(&lines);
        }
    };
    fill(&mut client);
    let before = used(&mut client);
    for _ in 0..12 {
        for start in (0..60_000).step_by(1000) {
            let pairs: String = (start..start + 1000).map(|number| format!(" key:{number} 100")).collect();
            client.run(&format!("MTMGET{pairs}"));
        }
    }
    let grown = used(&mut client) - before;
    assert!(grown > 1 << 20, "it was used: {grown}");
    assert!(grown < 5 << 20, "{grown} bytes");
    assert_eq!(client.run("FLUSHALL SYNC"), ok());
    let empty = used(&mut client);
    let fresh = used(&mut Server::start().client());
    // Besides: the filter, and what the server itself keeps for this client.
    assert!(empty - fresh < 3 << 20, "{} bytes after FLUSHALL", empty - fresh);
}
