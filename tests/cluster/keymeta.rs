//! Keymeta storage in a cluster: an mtime goes where its key goes, and nothing is sent that was not modified.

use crate::cluster_manager::reshard;
use crate::nodes::{Cluster, all, check_filing, index_of, single_with, tag_of};
use crate::support::client::{
    Args, Client, Reply, args, array, bulk, call, int, nil, not_modified, ok, untracked,
};
use crate::support::server::Server;
use crate::support::wait;
use std::sync::atomic::{AtomicBool, Ordering};

const KEYMETA: &str = "mtime.storage keymeta";

fn is_offered() -> bool {
    Server::plain().has("keymeta storage", (8, 6), (u32::MAX, 0))
}

/// Two masters, and a replica of each.
fn cluster() -> Option<Cluster> {
    is_offered().then(|| Cluster::new(2, 2, &[KEYMETA]))
}

/// As [`assert_none_is_sent`], on a master and its replica.
#[track_caller]
fn assert_none_is_sent_by(cluster: &Cluster, master: usize, keys: &[String], when: &str) {
    assert_none_is_sent(&mut cluster.client(master), keys, when);
    let replica = master + 2;
    cluster.nodes[replica].sync_with(&cluster.nodes[master]);
    let mut reader = cluster.client(replica);
    assert_eq!(reader.run("READONLY"), ok());
    wait::until("the replica to know that the slots are its master's", || {
        (!call!(reader, "MTGET", keys[0], 0).is_error()).then_some(())
    });
    assert_none_is_sent(&mut reader, keys, &format!("{when}, by a replica"));
}

/// Keys in the first slots, several in each.
fn keys() -> Vec<String> {
    (0..2000).map(|i| format!("{{{}}}{i}", tag_of(i % 200))).collect()
}

fn mtset(client: &mut Client, keys: &[String]) {
    let commands: Vec<Args> =
        keys.iter().map(|key| args!["MTSET", key, format!("value of {key}"), 5, "EX", 100_000]).collect();
    assert!(client.pipeline(&commands).into_iter().all(|reply| reply == ok()));
}

/// No value is sent to a reader who has it.
#[track_caller]
fn assert_none_is_sent(client: &mut Client, keys: &[String], when: &str) {
    let commands: Vec<Args> = keys.iter().map(|key| args!["MTGET", key, 5, "WITHMTIME"]).collect();
    let sent = client.pipeline(&commands).into_iter().filter(|reply| *reply != not_modified("5")).count();
    assert_eq!(sent, 0, "needless values sent {when}");
}

#[test]
fn resharding_keeps_every_mtime() {
    let Some(cluster) = cluster() else { return };
    let keys = keys();
    mtset(&mut cluster.client(0), &keys);
    // Slot after slot, by MIGRATE, as an operator does it.
    reshard(&cluster, 0, 1, 200);
    cluster.wait_until_fine();
    let mut client = cluster.client(1);
    assert_none_is_sent_by(&cluster, 1, &keys, "after resharding");
    assert!(call!(client, "TTL", keys[0]).into_int() > 90_000);
    cluster.check_filing();
    assert_none_is_sent(&mut client, &keys, "after a reload");
}

#[test]
fn while_a_slot_moves_its_keys_are_written_and_read() {
    let Some(cluster) = cluster() else { return };
    let (mut source, mut target) = (cluster.client(0), cluster.client(1));
    let tag = tag_of(7);
    let key = |name: &str| format!("{{{tag}}}{name}");
    for name in ["a", "b", "c", "edited"] {
        assert_eq!(call!(source, "MTSET", key(name), "v", 5), ok());
    }
    cluster.open_slot(7, 0, 1);
    assert_eq!(cluster.migrate(&[&key("a"), &key("edited")], 0, 1), ok());
    let ask = |client: &mut Client, command: Args| client.pipeline(&[args!["ASKING"], command]).remove(1);
    // There is nothing to wait for: no command is to be tried again.
    assert_eq!(ask(&mut target, args!["MTGET", key("a"), 5, "WITHMTIME"]), not_modified("5"));
    assert_eq!(ask(&mut target, args!["MTSET", key("a"), "w", 6, "IFEQ", 5]), ok());
    assert_eq!(ask(&mut target, args!["MTSET", key("new"), "w", 6]), ok());
    assert_eq!(ask(&mut target, args!["APPEND", key("edited"), "x"]), int(2));
    assert_eq!(call!(source, "MTSET", key("b"), "w", 6), ok());
    assert_eq!(call!(source, "APPEND", key("c"), "x"), int(2));
    assert_eq!(cluster.migrate(&[&key("b"), &key("c")], 0, 1), ok());
    cluster.close_slot(7, 0, 1);
    for (name, expected) in [
        ("a", not_modified("6")),
        ("b", not_modified("6")),
        ("new", not_modified("6")),
        ("c", untracked("vx")),
        ("edited", untracked("vx")),
    ] {
        assert_eq!(call!(target, "MTGET", key(name), 6, "WITHMTIME"), expected, "{name}");
    }
    assert_eq!(source.run("DBSIZE"), int(0));
    cluster.check_filing();
}

#[test]
fn an_atomic_migration_keeps_every_mtime() {
    let Some(cluster) = cluster() else { return };
    let keys = keys();
    mtset(&mut cluster.client(0), &keys);
    let stop = AtomicBool::new(false);
    let edited = format!("{{{}}}edited", tag_of(3));
    call!(cluster.client(0), "MTSET", edited, "v", 5);
    std::thread::scope(|scope| {
        // Writes of all kinds go along, on whichever node has the slot.
        scope.spawn(|| {
            let mut i = 0;
            while !stop.load(Ordering::Relaxed) {
                for node in 0..2 {
                    let mut client = cluster.client(node);
                    call!(client, "MTSET", format!("{{{}}}busy{}", tag_of(i % 200), i % 50), "v", i);
                    call!(client, "APPEND", edited, "x");
                }
                i += 1;
            }
        });
        assert!(cluster.migrate_atomically(0, 1, 0, 199));
        stop.store(true, Ordering::Relaxed);
    });
    let mut client = cluster.client(1);
    assert_none_is_sent_by(&cluster, 1, &keys, "after an atomic migration");
    assert!(call!(client, "TTL", keys[0]).into_int() > 90_000);
    assert_eq!(call!(client, "MTTIME", edited), nil(), "an edit drops it on either node");
    wait::until("the source to be empty", || (cluster.client(0).run("DBSIZE") == int(0)).then_some(()));
    cluster.check_filing();
    assert!(cluster.migrate_atomically(1, 0, 0, 199));
    assert_none_is_sent_by(&cluster, 0, &keys, "after the way back");
}

#[test]
fn indexes_of_all_slots_are_imported() {
    if !is_offered() {
        return;
    }
    let server = single_with(&[KEYMETA]);
    let mut client = server.client();
    let keys: Vec<String> = (0..3000).map(|i| format!("key:{i}")).collect();
    let commands: Vec<Args> =
        keys.iter().flat_map(|key| [args!["SET", key, "v"], args!["HSET", index_of(key), key, 5]]).collect();
    client.pipeline(&commands);
    call!(client, "HSET", index_of("gone"), "gone", 5);
    call!(client, "SET", keys[0], "overwritten");
    // In a transaction the server would look for the keys of all slots in one.
    let replies = client.pipeline(&all(&["MULTI", "MTIMPORT 0", "EXEC"]));
    let refused =
        Reply::Error("ERR mtimport cannot be part of a transaction or a script in cluster mode".into());
    assert_eq!(replies[2], array([refused]));
    let (mut cursor, mut moved) = (bulk("0"), 0);
    loop {
        let reply = call!(client, "MTIMPORT", cursor.into_bytes(), "COUNT", 100).into_items();
        moved += reply[1].clone().into_int();
        assert_eq!(reply[2], int(0));
        cursor = reply[0].clone();
        if cursor == bulk("0") {
            break;
        }
    }
    assert_eq!(moved, 2999);
    assert_eq!(client.run("DBSIZE"), int(3000), "no index is left");
    assert_eq!(call!(client, "MTTIME", keys[0]), nil());
    assert_none_is_sent(&mut client, &keys[1..], "after the import");
    check_filing(&server);
}

/// A slot that moves before its index was imported: what was written at the target before the index came there is not
/// believed to have its time.
#[test]
fn an_index_that_moves_before_it_is_imported_is_not_believed_too_much() {
    let Some(cluster) = cluster() else { return };
    let (mut source, mut target) = (cluster.client(0), cluster.client(1));
    let tag = tag_of(7);
    let key = |name: &str| format!("{{{tag}}}{name}");
    let index = index_of(&key("a"));
    for name in ["a", "b"] {
        call!(source, "SET", key(name), "v");
        call!(source, "HSET", index, key(name), 100);
    }
    cluster.open_slot(7, 0, 1);
    assert_eq!(cluster.migrate(&[&key("a")], 0, 1), ok());
    let ask = |client: &mut Client, command: Args| client.pipeline(&[args!["ASKING"], command]).remove(1);
    assert_eq!(ask(&mut target, args!["SET", key("a"), "changed"]), ok());
    assert_eq!(cluster.migrate(&[&index], 0, 1), ok());
    assert_eq!(cluster.migrate(&[&key("b")], 0, 1), ok());
    cluster.close_slot(7, 0, 1);
    let mut cursor = bulk("0");
    loop {
        cursor = call!(target, "MTIMPORT", cursor.into_bytes(), "COUNT", 1000).into_items().swap_remove(0);
        if cursor == bulk("0") {
            break;
        }
    }
    assert_eq!(call!(target, "MTGET", key("a"), 100, "WITHMTIME"), untracked("changed"));
    cluster.check_filing();
}
