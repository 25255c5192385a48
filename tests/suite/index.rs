//! The index: a plain hash whose name nobody may use, kept as a hash table from its first entry on.

use crate::support::aof::AOF;
use crate::support::client::{Client, array, bulk, call, error, int, nil, ok, untracked};
use crate::support::dataset::{INDEX, index_entries, unchanged};
use crate::support::errors::{NO_HASH, RESERVED};
use crate::support::lua::Scripts;
use crate::support::server::Server;
use crate::support::storage::has_no_index;

fn encoding(client: &mut Client) -> String {
    call!(client, "OBJECT", "ENCODING", INDEX).into_text()
}

fn entries(client: &mut Client) -> Vec<(String, String)> {
    index_entries(client).into_iter().collect()
}

fn pair(key: &str, mtime: &str) -> (String, String) {
    (key.to_owned(), mtime.to_owned())
}

const LISTPACK_SETTINGS: [&str; 2] = ["hash-max-listpack-entries", "hash-max-listpack-value"];

fn listpack_settings(client: &mut Client) -> Vec<String> {
    LISTPACK_SETTINGS.iter().map(|name| format!("{:?}", call!(client, "CONFIG", "GET", name))).collect()
}

#[test]
fn a_hash_table_from_the_first_entry() {
    if has_no_index("the index as a key") {
        return;
    }
    for write in ["MTSET k v 5", "MTTOUCH k 5", "MTSET k v 5 EX 100 NX", "MTSET k v *"] {
        let server = Server::start();
        let mut client = server.client();
        let settings = listpack_settings(&mut client);
        if write.starts_with("MTTOUCH") {
            client.run("SET k v");
        }
        client.run(write);
        assert_eq!(encoding(&mut client), "hashtable", "{write}");
        assert_eq!(call!(client, "HLEN", INDEX), int(1), "no stray field after {write}");
        assert_eq!(call!(client, "HKEYS", INDEX), array([bulk("k")]));
        assert_eq!(listpack_settings(&mut client), settings, "{write}");
        // Gone with its last entry, and made anew.
        client.run("MTDEL k");
        assert_eq!(client.run("DBSIZE"), int(0));
        client.run("MTSET k v 6");
        assert_eq!(encoding(&mut client), "hashtable");
        assert_eq!(entries(&mut client), [pair("k", "6")]);
    }
}

#[test]
fn a_hash_table_after_a_reload() {
    if has_no_index("the index as a key") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 5");
    let settings = listpack_settings(&mut client);
    assert_eq!(client.run("DEBUG RELOAD"), ok());
    assert_eq!(encoding(&mut client), "hashtable");
    assert_eq!(entries(&mut client), [pair("k", "5")]);
    assert_eq!(listpack_settings(&mut client), settings);
    assert_eq!(client.run("MTGET k 4"), bulk("v"));
}

#[test]
fn a_hash_table_in_every_database_after_a_restart_from_a_snapshot() {
    if has_no_index("the index as a key") {
        return;
    }
    let mut server = Server::start();
    let mut client = server.client();
    for database in [0, 3, 15] {
        call!(client, "SELECT", database);
        client.run("MTSET k v 5");
    }
    client.run("SAVE");
    server.restart();
    let mut client = server.client();
    for database in [0, 3, 15] {
        call!(client, "SELECT", database);
        assert_eq!(encoding(&mut client), "hashtable", "{database}");
        assert_eq!(entries(&mut client), [pair("k", "5")], "{database}");
    }
}

#[test]
fn a_hash_table_after_a_restart_from_the_append_only_file() {
    if has_no_index("the index as a key") {
        return;
    }
    let mut server = Server::with(AOF);
    server.client().run("MTSET k v 5");
    server.restart();
    let mut client = server.client();
    assert_eq!(encoding(&mut client), "hashtable");
    assert_eq!(entries(&mut client), [pair("k", "5")]);
}

#[test]
fn a_hash_table_on_a_replica_that_takes_over() {
    if has_no_index("the index as a key") {
        return;
    }
    let master = Server::builder().tcp().start();
    let mut client = master.client();
    client.run("MTSET k v 5");
    let replica = Server::replica_of(&master, Server::builder());
    let mut successor = replica.client();
    assert_eq!(successor.run("REPLICAOF NO ONE"), ok());
    assert_eq!(successor.run("MTSET other v 6"), ok());
    assert_eq!(encoding(&mut successor), "hashtable");
    assert_eq!(entries(&mut successor), [pair("k", "5"), pair("other", "6")]);
}

#[test]
fn an_index_that_lua_made_becomes_a_hash_table_with_the_next_write() {
    if has_no_index("the index as a key") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    let lua = Scripts::load(&mut client);
    client.call(&lua.write(b"a", b"1", b"100"));
    assert_eq!(client.run("MTGET a 99"), bulk("1"));
    assert_eq!(client.run("MTGET a 100"), nil());
    assert_eq!(client.run("MTSET b 2 200"), ok());
    assert_eq!(encoding(&mut client), "hashtable");
    assert_eq!(entries(&mut client), [pair("a", "100"), pair("b", "200")]);
    client.call(&lua.write(b"c", b"3", b"300"));
    assert_eq!(encoding(&mut client), "hashtable");
    assert_eq!(client.run("MTGET c 299"), bulk("3"));
    assert_eq!(client.call(&lua.read(b"b", b"199")), bulk("2"));
    assert_eq!(client.call(&lua.read(b"b", b"200")), nil());
}

#[test]
fn reading_does_not_convert_an_index_that_lua_made() {
    let server = Server::start();
    let mut client = server.client();
    client.run("SET k v");
    call!(client, "HSET", INDEX, "k", 100);
    let before = encoding(&mut client);
    for line in ["MTGET k 1", "MTGET k 100", "MTTIME k", "MTMGET k 1"] {
        unchanged(&mut client, |c| c.run(line));
        assert_eq!(encoding(&mut client), before, "{line}");
    }
}

#[test]
fn the_reserved_name_is_refused_by_every_command() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 5");
    for line in [
        "MTGET MY_KEYSMTIME 1",
        "MTGET MY_KEYSMTIME 1 EXACT WITHMTIME",
        "MTSET MY_KEYSMTIME v 1",
        "MTSET MY_KEYSMTIME v * NX EX 5",
        "MTMGET MY_KEYSMTIME 1",
        "MTMGET k 1 MY_KEYSMTIME 1",
        "MTTIME MY_KEYSMTIME",
        "MTTOUCH MY_KEYSMTIME 1",
        "MTTOUCH MY_KEYSMTIME 1 IFEQ 5",
        "MTDEL MY_KEYSMTIME",
        "MTDEL MY_KEYSMTIME IFNEWER 5",
    ] {
        assert_eq!(unchanged(&mut client, |c| c.run(line)), error(RESERVED), "{line}");
    }
    client.run("FLUSHALL");
    assert_eq!(client.run("MTSET MY_KEYSMTIME v 1"), error(RESERVED), "also when there is no index");
    assert_eq!(client.run("DBSIZE"), int(0));
}

#[test]
fn another_name_is_reserved_when_configured() {
    if has_no_index("the index as a key") {
        return;
    }
    let server = Server::with(&["mtime.index-key {times}"]);
    let mut client = server.client();
    assert_eq!(client.run("MTSET k v 5"), ok());
    assert_eq!(client.run("HGET {times} k"), bulk("5"));
    assert_eq!(client.run("EXISTS MY_KEYSMTIME"), int(0));
    assert_eq!(client.run("OBJECT ENCODING {times}").into_text(), "hashtable");
    assert_eq!(client.run("MTGET {times} 0"), error(RESERVED));
    assert_eq!(client.run("MTSET {times} v 5"), error(RESERVED));
    assert_eq!(client.run("MTSET MY_KEYSMTIME v 5"), ok(), "the default name is free then");
    assert_eq!(client.run("MTGET MY_KEYSMTIME 4"), bulk("v"));
}

#[test]
fn an_index_of_another_type_refuses_writes_and_hides_nothing_from_readers() {
    if has_no_index("the index as a key") {
        return;
    }
    for make in ["SET MY_KEYSMTIME x", "RPUSH MY_KEYSMTIME x", "SADD MY_KEYSMTIME k", "ZADD MY_KEYSMTIME 5 k"]
    {
        let server = Server::start();
        let mut client = server.client();
        client.run("SET k v");
        client.run(make);
        for line in [
            "MTSET k w 5",
            "MTSET new w 5",
            "MTSET k w 5 EX 100 IFNEWER",
            "MTSET k w * XX",
            "MTTOUCH k 5",
            "MTTOUCH k 5 IFNEWER",
            "MTDEL k",
            "MTDEL k IFNEWER 5",
        ] {
            assert_eq!(unchanged(&mut client, |c| c.run(line)), error(NO_HASH), "{make}: {line}");
        }
        assert_eq!(unchanged(&mut client, |c| c.run("MTGET k 5")), bulk("v"), "{make}");
        assert_eq!(client.run("MTGET k 1e308 EXACT WITHMTIME"), untracked("v"), "{make}");
        assert_eq!(client.run("MTTIME k"), nil(), "{make}");
        assert_eq!(client.run("MTMGET k 5 nokey 5"), array([untracked("v"), nil()]), "{make}");
        assert_eq!(client.run("PING").into_text(), "PONG");
    }
}

#[test]
fn an_index_with_its_own_ttl_that_expired_is_an_empty_index() {
    if has_no_index("the index as a key") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    client.run("MTSET k v 100");
    call!(client, "PEXPIRE", INDEX, 1);
    let end = client.clock_us() + 5_000;
    crate::support::wait::until("the index's time to run out", || (client.clock_us() > end).then_some(()));
    assert_eq!(client.run("MTGET k 500 WITHMTIME"), untracked("v"));
    assert_eq!(client.run("MTSET k v 5"), ok());
    assert_eq!(encoding(&mut client), "hashtable");
    assert_eq!(entries(&mut client), [pair("k", "5")]);
    assert_eq!(call!(client, "TTL", INDEX), int(-1));
}

#[test]
fn large_indexes_work_like_small_ones() {
    if has_no_index("the index as a key") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    let commands: Vec<_> =
        (0..5000).map(|i| crate::support::client::args!["MTSET", format!("key:{i}"), "v", i]).collect();
    assert!(client.pipeline(&commands).into_iter().all(|reply| reply == ok()));
    assert_eq!(call!(client, "HLEN", INDEX), int(5000));
    for i in [0, 1, 399, 400, 511, 512, 513, 4999] {
        assert_eq!(call!(client, "MTGET", format!("key:{i}"), i - 1), bulk("v"));
        assert_eq!(call!(client, "MTGET", format!("key:{i}"), i), nil());
    }
    client.run("DEBUG RELOAD");
    assert_eq!(encoding(&mut client), "hashtable");
    assert_eq!(call!(client, "HLEN", INDEX), int(5000));
}
