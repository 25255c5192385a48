//! Foreign writes in a cluster drop entries in the slot of their key, and touch no other.

use crate::nodes::{Cluster, all, check_filing, entry, index_of, single, single_with};
use crate::support::client::{Args, Client, Reply, args, array, bulk, call, int, nil, ok};
use crate::support::storage::has_no_index;
use crate::support::wait;

fn track(client: &mut Client, keys: &[String]) {
    let commands: Vec<Args> = keys.iter().map(|key| args!["MTSET", key, "v", 5]).collect();
    assert!(client.pipeline(&commands).into_iter().all(|reply| reply == ok()));
}

fn some_keys(number: usize) -> Vec<String> {
    (0..number).map(|i| format!("key:{i}")).collect()
}

/// The keys that have an entry.
fn tracked(client: &mut Client, keys: &[String]) -> Vec<String> {
    keys.iter().filter(|key| entry(client, key) != nil()).cloned().collect()
}

#[test]
fn they_drop_the_entry() {
    let server = single();
    let mut client = server.client();
    for line in ["SET k w", "APPEND k w", "DEL k", "GETDEL k", "RENAME k {k}2", "SETRANGE k 0 x", "UNLINK k"]
    {
        client.run("DEL k");
        assert_eq!(client.run("MTSET k v 5"), ok());
        // A second one, so that the entry is not the last.
        assert_eq!(client.run("MTSET {k}stays v 5"), ok());
        client.run(line);
        assert_eq!(entry(&mut client, "k"), nil(), "{line}");
        assert_eq!(entry(&mut client, "{k}stays"), bulk("5"), "{line}");
    }
}

#[test]
fn the_last_entry_of_a_deleted_key_goes_a_little_later() {
    let server = single();
    let mut client = server.client();
    for line in ["DEL k", "GETDEL k", "UNLINK k"] {
        assert_eq!(client.run("MTSET k v 5"), ok());
        client.run(line);
        wait::until("the entry to be dropped", || (client.run("DBSIZE") == int(0)).then_some(()));
        assert_eq!(client.run("SET k w"), ok());
        assert_eq!(client.run("MTGET k 100 WITHMTIME"), array([nil(), bulk("w")]), "{line}");
        client.run("DEL k");
    }
    // What is written right after the deletion keeps its mtime.
    assert_eq!(client.pipeline(&all(&["MTSET k v 5", "DEL k", "MTSET k w 6"]))[2], ok());
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(client.run("MTTIME k"), bulk("6"));
    // And what is written plainly has none.
    assert_eq!(client.pipeline(&all(&["DEL k", "SET k x", "MTGET k 100"]))[2], bulk("x"));
}

#[test]
fn expired_keys_met_by_commands_without_keys_are_filed_right() {
    let server = single();
    let mut client = server.client();
    let keys = some_keys(300);
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    for finder in ["KEYS *", "SCAN 0 COUNT 10000", "RANDOMKEY"] {
        track(&mut client, &keys);
        let expire: Vec<Args> = keys.iter().map(|key| args!["PEXPIRE", key, 1]).collect();
        client.pipeline(&expire);
        std::thread::sleep(std::time::Duration::from_millis(20));
        // In a transaction of some slot: the server keeps that slot in mind while it meets keys of all others.
        let replies = client.pipeline(&all(&[
            "MULTI",
            "MTSET {anchor}a v 5",
            finder,
            finder,
            "MTSET {anchor}b v 5",
            "EXEC",
        ]));
        assert!(matches!(replies.last(), Some(Reply::Array(_))), "{replies:?}");
        let script =
            format!("redis.call('SET', KEYS[1], 'x') return redis.call('{}')", finder.replace(' ', "','"));
        call!(client, "EVAL", script, 1, "{anchor}c");
        client.run(finder);
        check_filing(&server);
        // Whoever was not met is still there: nobody may have lost an entry that was not expired.
        assert_eq!(entry(&mut client, "{anchor}a"), bulk("5"), "{finder}");
        client.pipeline(&keys.iter().map(|key| args!["GET", key]).collect::<Vec<_>>());
        wait::until("all entries to be dropped", || tracked(&mut client, &keys).is_empty().then_some(()));
    }
    client.run("DEBUG SET-ACTIVE-EXPIRE 1");
}

#[test]
fn active_expiry_drops_entries_of_all_slots() {
    let server = single();
    let mut client = server.client();
    let keys = some_keys(200);
    let commands: Vec<Args> = keys.iter().map(|key| args!["MTSET", key, "v", 5, "PX", 30]).collect();
    client.pipeline(&commands);
    wait::until("all keys to expire with their entries", || (client.run("DBSIZE") == int(0)).then_some(()));
    check_filing(&server);
}

#[test]
fn eviction_drops_entries_of_all_slots() {
    let server = single_with(&["maxmemory-policy volatile-ttl"]);
    let mut client = server.client();
    let keys = some_keys(3000);
    let value = "v".repeat(500);
    let commands: Vec<Args> = keys.iter().map(|key| args!["MTSET", key, value, 5, "EX", 10_000]).collect();
    client.pipeline(&commands);
    let used: i64 = client.info("memory", "used_memory").parse().unwrap();
    call!(client, "CONFIG", "SET", "maxmemory", used - 300_000);
    let more: Vec<Args> =
        (0..500).map(|i| args!["MTSET", format!("more:{i}"), value, 6, "EX", 1000]).collect();
    client.pipeline(&more);
    assert_ne!(client.info("stats", "evicted_keys"), "0");
    client.run("CONFIG SET maxmemory 0");
    check_filing(&server);
    // Every entry that is left has its key. Looking may make keys expire; none of these do.
    wait::until("the last entries of slots to go too", || {
        tracked(&mut client, &keys)
            .into_iter()
            .all(|key| call!(client, "EXISTS", key) == int(1))
            .then_some(())
    });
}

#[test]
fn scripts_that_go_to_any_slot_are_filed_right() {
    let server = single();
    let mut client = server.client();
    let keys = some_keys(100);
    track(&mut client, &keys);
    let script = "#!lua flags=allow-cross-slot-keys
        redis.call('SET', KEYS[1], 'x')
        for i = 0, 99 do
            if i % 3 == 0 then redis.call('SET', 'key:' .. i, 'plain') end
            if i % 3 == 1 then redis.call('DEL', 'key:' .. i) end
        end
        return redis.call('DBSIZE')";
    assert!(!call!(client, "EVAL", script, 1, "anchor").is_error());
    wait::until("the entries to be dropped", || (tracked(&mut client, &keys).len() == 33).then_some(()));
    for (i, key) in keys.iter().enumerate() {
        let expected = if i % 3 == 2 { bulk("5") } else { nil() };
        assert_eq!(entry(&mut client, key), expected, "{key}");
    }
    check_filing(&server);
}

#[test]
fn the_pair_of_the_seed_keeps_working() {
    if has_no_index("the index as a key") {
        return;
    }
    let server = single();
    let mut client = server.client();
    let script = "redis.call('SET', KEYS[1], ARGV[1]) redis.call('HSET', KEYS[2], KEYS[1], ARGV[2])";
    client.run("MTSET k v 5");
    call!(client, "EVAL", script, 2, "k", index_of("k"), "w", 7);
    assert_eq!(client.run("MTGET k 6 WITHMTIME"), array([bulk("7"), bulk("w")]));
}

#[test]
fn flushing_a_slot_is_safe() {
    let server = single();
    let mut client = server.client();
    if client.run("CLUSTER FLUSHSLOT 0").is_error() {
        eprintln!("NEEDS A NEWER SERVER: CLUSTER FLUSHSLOT (Valkey 9)");
        return;
    }
    let keys: Vec<String> = (0..200).map(|i| format!("{{foo}}{i}")).collect();
    for _ in 0..20 {
        track(&mut client, &keys);
        assert_eq!(client.run("CLUSTER FLUSHSLOT 12182"), ok());
        wait::until("nothing to be left", || (client.run("DBSIZE") == int(0)).then_some(()));
    }
}

#[test]
fn untracked_keys_are_told_apart_in_a_cluster_too() {
    if has_no_index("the index as a key") {
        return;
    }
    let server = single();
    let mut client = server.client();
    let keys = some_keys(500);
    track(&mut client, &keys);
    wait::until("the names in all indexes to be known", || {
        (client.info("mtime", "mtime_tracked_keys_known") == "1").then_some(())
    });
    client.run("SET key:7 plain");
    assert_eq!(client.run("MTGET key:7 100"), bulk("plain"));
    assert_eq!(client.run("MTSET later v 5"), ok());
    client.run("SET later plain");
    assert_eq!(client.run("MTGET later 100"), bulk("plain"));
    // By somebody else: from here on nothing is known, and then again everything.
    call!(client, "HSET", index_of("seed"), "seed", 5);
    client.run("SET seed plain");
    assert_eq!(client.run("MTGET seed 100"), bulk("plain"));
    wait::until("the names to be known again", || {
        (client.info("mtime", "mtime_tracked_keys_known") == "1").then_some(())
    });
}

#[test]
fn a_replica_that_could_be_written_to_drops_what_its_master_drops() {
    let cluster = Cluster::new(1, 1, &["replica-read-only no"]);
    let (mut master, mut replica) = (cluster.client(0), cluster.client(1));
    assert_eq!(replica.run("READONLY"), ok());
    let keys = some_keys(50);
    track(&mut master, &keys);
    for key in &keys[..25] {
        assert_eq!(call!(master, "SET", key, "w"), ok());
    }
    cluster.wait_for_replicas();
    assert_eq!(tracked(&mut replica, &keys), keys[25..]);
    for key in &keys[25..] {
        assert_eq!(call!(replica, "MTGET", key, 4), bulk("v"));
    }
    cluster.check_replicas();
}
