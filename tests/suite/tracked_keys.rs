//! The filter in front of the index: whichever way an entry got there, a foreign write does not miss it.

use crate::support::client::{Client, bulk, int, nil, ok, words};
use crate::support::server::Server;
use crate::support::storage::has_no_index;
use crate::support::wait;

/// Waits until the module knows all tracked keys, so that it answers for others without a look at the index.
fn until_known(client: &mut Client) {
    wait::until("the module to know the tracked keys", || {
        (client.info("mtime", "mtime_tracked_keys_known") == "1").then_some(())
    });
}

/// The indexes are read in ticks of the server's clock: more of them make the tests quick.
fn server_that_knows() -> (Server, Client) {
    let server = Server::with(&["appendonly yes", "hz 100"]);
    let mut client = server.client();
    assert_eq!(client.run("MTSET other value 1"), ok());
    until_known(&mut client);
    (server, client)
}

#[test]
fn a_foreign_write_drops_an_entry_of_our_own() {
    if has_no_index("what is known of the index") {
        return;
    }
    let (_server, mut client) = server_that_knows();
    assert_eq!(client.run("MTSET key value 7"), ok());
    assert_eq!(client.run("SET key changed"), ok());
    assert_eq!(client.run("MTTIME key"), nil());
    assert_eq!(client.run("SET key value"), ok());
    assert_eq!(client.run("MTTOUCH key 8"), int(1));
    assert_eq!(client.run("APPEND key more"), int(9));
    assert_eq!(client.run("MTTIME key"), nil());
    assert_eq!(client.run("MTTIME other"), bulk("1"));
}

#[test]
fn a_foreign_write_drops_an_entry_that_came_another_way() {
    if has_no_index("what is known of the index") {
        return;
    }
    // Each leaves an entry for `key` in the index of database 0, without a command of the module.
    let ways: &[&[&str]] = &[
        &["HSET MY_KEYSMTIME key 7"],
        &["HMSET MY_KEYSMTIME key 7"],
        &["HSETNX MY_KEYSMTIME key 7"],
        &["HINCRBY MY_KEYSMTIME key 7"],
        &["HINCRBYFLOAT MY_KEYSMTIME key 7"],
        &["EVAL redis.call('HSET','MY_KEYSMTIME','key','7') 0"],
        &["HSET elsewhere key 7", "RENAME elsewhere MY_KEYSMTIME"],
        &["HSET elsewhere key 7", "COPY elsewhere MY_KEYSMTIME REPLACE"],
        &["HSET elsewhere key 7", "DEL MY_KEYSMTIME", "COPY elsewhere MY_KEYSMTIME"],
        &["DEL MY_KEYSMTIME", "SELECT 1", "HSET MY_KEYSMTIME key 7", "MOVE MY_KEYSMTIME 0", "SELECT 0"],
        &["SELECT 1", "SET key value", "HSET MY_KEYSMTIME key 7", "SWAPDB 0 1", "SELECT 0"],
        &["MULTI", "HSET MY_KEYSMTIME key 7", "EXEC"],
        &["HSET MY_KEYSMTIME key 7", "DEBUG RELOAD"],
        &["HSET MY_KEYSMTIME key 7", "DEBUG LOADAOF"],
    ];
    for way in ways {
        let (_server, mut client) = server_that_knows();
        assert_eq!(client.run("SET key value"), ok());
        for line in *way {
            let reply = client.run(line);
            assert!(!reply.is_error(), "{line}: {reply:?}");
        }
        assert_eq!(client.run("MTTIME key"), bulk("7"), "{way:?}");
        assert_eq!(client.run("SET key changed"), ok());
        assert_eq!(client.run("MTTIME key"), nil(), "{way:?}");
        assert_eq!(client.run("HEXISTS MY_KEYSMTIME key"), int(0), "{way:?}");
    }
}

#[test]
fn a_restored_index_is_read_before_the_filter_is_trusted_again() {
    if has_no_index("what is known of the index") {
        return;
    }
    let (_server, mut client) = server_that_knows();
    assert_eq!(client.run("HSET elsewhere key 7"), int(1));
    let dump = client.run("DUMP elsewhere").into_bytes();
    let mut restore = words("RESTORE MY_KEYSMTIME 0");
    restore.push(dump);
    restore.push(b"REPLACE".to_vec());
    assert_eq!(client.call(&restore), ok());
    assert_eq!(client.run("SET key value"), ok());
    assert_eq!(client.run("HEXISTS MY_KEYSMTIME key"), int(0));
}

#[test]
fn what_others_wrote_is_known_after_a_quiet_second() {
    if has_no_index("what is known of the index") {
        return;
    }
    let (_server, mut client) = server_that_knows();
    for number in 0..3_000 {
        client.run(&format!("HSET MY_KEYSMTIME lua:{number} 7"));
    }
    assert_eq!(client.info("mtime", "mtime_tracked_keys_known"), "0");
    until_known(&mut client);
    for number in 0..3_000 {
        client.run(&format!("SET lua:{number} value"));
    }
    // All but `other`.
    assert_eq!(client.run("HLEN MY_KEYSMTIME"), int(1));
}

#[test]
fn every_database_has_its_own_tracked_keys() {
    if has_no_index("what is known of the index") {
        return;
    }
    let (_server, mut client) = server_that_knows();
    for database in [0, 5, 15] {
        client.run(&format!("SELECT {database}"));
        assert_eq!(client.run("MTSET key value 7"), ok());
    }
    assert_eq!(client.run("SET key changed"), ok());
    assert_eq!(client.run("MTTIME key"), nil());
    client.run("SELECT 5");
    assert_eq!(client.run("MTTIME key"), bulk("7"));
    assert_eq!(client.run("DEL key"), int(1));
    assert_eq!(client.run("EXISTS MY_KEYSMTIME"), int(0));
}

#[test]
fn a_crowded_filter_still_misses_nothing() {
    if has_no_index("what is known of the index") {
        return;
    }
    let (_server, mut client) = server_that_knows();
    // The filter of a young index expects 4,096 names; 40,000 crowd it and make it grow.
    let numbers: Vec<u32> = (0..40_000).collect();
    for chunk in numbers.chunks(2_000) {
        let writes: Vec<_> = chunk.iter().map(|n| words(&format!("MTSET key:{n} value 7"))).collect();
        client.pipeline(&writes);
    }
    for chunk in numbers.chunks(2_000) {
        let writes: Vec<_> = chunk.iter().map(|n| words(&format!("SET key:{n} changed"))).collect();
        client.pipeline(&writes);
    }
    assert_eq!(client.run("HLEN MY_KEYSMTIME"), int(1));
}

#[test]
fn a_promoted_replica_drops_entries() {
    if has_no_index("what is known of the index") {
        return;
    }
    let master = Server::builder().tcp().start();
    let replica = Server::replica_of(&master, Server::builder().tcp().with(&["hz 100"]));
    let (mut on_master, mut on_replica) = (master.client(), replica.client());
    assert_eq!(on_master.run("MTSET key value 7"), ok());
    replica.sync_with(&master);
    assert_eq!(on_replica.run("REPLICAOF NO ONE"), ok());
    until_known(&mut on_replica);
    assert_eq!(on_replica.run("SET key changed"), ok());
    assert_eq!(on_replica.run("MTTIME key"), nil());
}
