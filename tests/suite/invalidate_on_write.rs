//! `mtime.invalidate-on-write`: what it switches, at start and at run time, and who is not concerned: servers that
//! follow a stream of commands find the drops in it.

use crate::support::aof::{AOF, Stream};
use crate::support::client::{Client, bulk, call, int, modified, nil, not_modified, ok, untracked};
use crate::support::dataset::{INDEX, dataset, digest, index_entries};
use crate::support::server::Server;
use crate::support::storage::has_no_index;
use crate::support::wait;
use std::fs;

fn dropped(client: &mut Client) -> String {
    client.info("mtime", "mtime_foreign_writes_dropped")
}

#[test]
fn without_it_entries_stay_as_with_the_scripts() {
    if has_no_index("entries that stay; keymeta.rs has its own") {
        return;
    }
    let server = Server::builder().with(AOF).with(&["mtime.invalidate-on-write no"]).start();
    let mut client = server.client();
    let mut stream = Stream::of(&server);
    for line in [
        "SET k w",
        "APPEND k x",
        "GETSET k w",
        "DEL k",
        "RENAME k new",
        "RENAME src k",
        "COPY src k REPLACE",
        "GETDEL k",
        "EXPIRE k 0",
        "SUNIONSTORE k set",
    ] {
        client.run("FLUSHALL");
        client.run("SET src plain");
        client.run("SADD set a");
        client.run("MTSET k value 100");
        stream.take();
        assert!(!client.run(line).is_error(), "{line}");
        assert_eq!(call!(client, "HGET", INDEX, "k"), bulk("100"), "{line}");
        assert_eq!(stream.take().len(), 1, "{line}: the command itself and nothing else");
        if client.run("TYPE k").into_text() == "string" {
            assert_eq!(client.run("MTGET k 100 WITHMTIME"), not_modified("100"), "{line}");
        }
        // A value that comes back under this name is taken for the old one: the seed's hole.
        client.run("SET k back");
        assert_eq!(client.run("MTGET k 100"), nil(), "{line}");
    }
    assert_eq!(dropped(&mut client), "0");
}

#[test]
fn the_commands_of_the_module_do_not_depend_on_it() {
    let server = Server::with(&["mtime.invalidate-on-write no"]);
    let mut client = server.client();
    client.run("MTSET k value 100");
    client.run("MTSET k other 200");
    assert_eq!(client.run("MTGET k 199 WITHMTIME"), modified("200", "other"));
    assert_eq!(client.run("MTDEL k"), int(1));
    assert_eq!(call!(client, "EXISTS", INDEX), int(0), "MTDEL takes the entry along");
}

#[test]
fn it_changes_at_run_time_both_ways() {
    if has_no_index("entries that stay; keymeta.rs has its own") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    let set = |client: &mut Client, value: &str| {
        assert_eq!(call!(client, "CONFIG", "SET", "mtime.invalidate-on-write", value), ok());
    };
    for _ in 0..2 {
        set(&mut client, "yes");
        client.run("MTSET k value 100");
        client.run("SET k foreign");
        assert_eq!(client.run("MTGET k 100 WITHMTIME"), untracked("foreign"));

        set(&mut client, "no");
        client.run("MTSET k value 100");
        client.run("SET k foreign");
        assert_eq!(client.run("MTGET k 100 WITHMTIME"), not_modified("100"));
        client.run("MTSET gone value 100");
        client.run("DEL gone");

        // What happened meanwhile is not found out by switching it on, but the next write is seen, and what is gone is
        // cleaned up.
        set(&mut client, "yes");
        assert_eq!(client.run("MTGET k 100 WITHMTIME"), not_modified("100"));
        client.run("APPEND k x");
        assert_eq!(client.run("MTGET k 100 WITHMTIME"), untracked("foreignx"));
        assert_eq!(client.run("MTCLEAN 0 COUNT 1000").into_items()[1], int(1));
        assert_eq!(call!(client, "EXISTS", INDEX), int(0));
    }
    assert_eq!(dropped(&mut client), "4");
}

/// An entry that outlived its key, from the time when nobody dropped it, does not pass to whoever takes the name.
#[test]
fn switched_on_it_drops_entries_from_before() {
    let server = Server::with(&["mtime.invalidate-on-write no"]);
    let mut client = server.client();
    for line in ["SET k v", "SETNX k v", "RENAME src k", "COPY src k", "INCR k", "PFADD k a"] {
        client.run("FLUSHALL");
        client.run("CONFIG SET mtime.invalidate-on-write no");
        client.run("SET src plain");
        client.run("MTSET k value 100");
        client.run("DEL k");
        client.run("CONFIG SET mtime.invalidate-on-write yes");
        assert!(!client.run(line).is_error(), "{line}");
        let value = client.run("GET k").into_bytes();
        assert_eq!(client.run("MTGET k 100 WITHMTIME"), untracked(&value), "{line}");
    }
}

/// Foreign writes of all kinds, with and without an entry to drop.
fn work(client: &mut Client) {
    for i in 0..20 {
        call!(client, "MTSET", format!("k{i}"), "value", 100);
    }
    for line in [
        "SET k0 v",
        "APPEND k1 v",
        "RENAME k2 k3",
        "DEL k4",
        "MOVE k5 1",
        "COPY k6 k7 REPLACE",
        "EXPIRE k8 0",
        "EXPIRE k9 1000",
        "SET untracked v",
        "SETEX k10 1000 v",
        "MTSET k0 again 200",
        "HDEL MY_KEYSMTIME k11",
        "SET k11 v",
    ] {
        client.run(line);
    }
}

fn drops_in_the_file(server: &Server) -> usize {
    let mut client = server.client();
    // A replica begins its file after the first sync.
    client.wait_for_children();
    let directory = server.directory().join("appendonlydir");
    let text: Vec<u8> = fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.to_string_lossy().ends_with(".incr.aof"))
        .flat_map(|path| fs::read(path).expect("a file"))
        .collect();
    text.windows(6).filter(|window| window == b"\nHDEL\r").count()
}

#[test]
fn replicas_follow_and_add_nothing() {
    if has_no_index("entries that stay; keymeta.rs has its own") {
        return;
    }
    let master = Server::builder().with(AOF).tcp().start();
    let replica = Server::replica_of(&master, Server::builder().with(AOF));
    let second = Server::replica_of(&replica, Server::builder().with(AOF));
    let plain = Server::replica_of(&master, Server::builder().without_module());
    let mut client = master.client();
    let empty = [drops_in_the_file(&master), drops_in_the_file(&replica), drops_in_the_file(&second)];
    assert_eq!(empty, [0; 3]);
    work(&mut client);
    replica.sync_with(&master);
    second.sync_with(&replica);
    plain.sync_with(&master);
    let drops = drops_in_the_file(&master);
    assert!(drops >= 10, "{drops}");
    assert_eq!(drops_in_the_file(&replica), drops, "a replica writes down what it was sent");
    assert_eq!(drops_in_the_file(&second), drops, "so does a replica of a replica");
    for server in [&replica, &second, &plain] {
        assert_eq!(digest(&mut server.client()), digest(&mut client));
        assert_eq!(dataset(&mut server.client()), dataset(&mut client));
    }
    for server in [&replica, &second] {
        assert_eq!(dropped(&mut server.client()), "0");
        let offset = |server: &Server| server.client().info("replication", "master_repl_offset");
        assert_eq!(offset(server), offset(&master));
    }
}

#[test]
fn a_replica_that_takes_over_starts_to_drop() {
    let master = Server::builder().tcp().start();
    let replica = Server::replica_of(&master, Server::builder());
    let mut client = master.client();
    client.run("MTSET k value 100");
    replica.sync_with(&master);
    let mut successor = replica.client();
    assert_eq!(successor.run("MTGET k 100 WITHMTIME"), not_modified("100"));
    assert_eq!(successor.run("REPLICAOF NO ONE"), ok());
    assert_eq!(successor.run("MTGET k 100 WITHMTIME"), not_modified("100"));
    assert_eq!(successor.run("SET k foreign"), ok());
    assert_eq!(successor.run("MTGET k 100 WITHMTIME"), untracked("foreign"));
    assert_eq!(dropped(&mut successor), "1");
    // And its old master, as its replica, follows it.
    client.run(&format!("REPLICAOF 127.0.0.1 {}", replica.port()));
    wait::until("the old master to follow", || {
        (client.info("replication", "master_link_status") == "up"
            && digest(&mut client) == digest(&mut successor))
        .then_some(())
    });
    assert_eq!(client.run("MTGET k 100 WITHMTIME"), untracked("foreign"));
    successor.run("MTSET k value 300");
    successor.run("APPEND k x");
    master.sync_with(&replica);
    assert_eq!(client.run("MTGET k 300 WITHMTIME"), untracked("valuex"));
    assert_eq!(dropped(&mut client), "0");
}

#[test]
fn loading_the_append_only_file_adds_nothing() {
    if has_no_index("entries that stay; keymeta.rs has its own") {
        return;
    }
    let mut server = Server::with(AOF);
    let mut client = server.client();
    work(&mut client);
    let before = (digest(&mut client), dataset(&mut client), drops_in_the_file(&server));
    for with_module in [true, false, true] {
        if with_module {
            server.restart_with_module();
        } else {
            server.restart_without_module();
        }
        let mut client = server.client();
        let after = (digest(&mut client), dataset(&mut client), drops_in_the_file(&server));
        assert_eq!(after, before, "{with_module}");
        if with_module {
            assert_eq!(dropped(&mut client), "0");
        }
    }
    let mut client = server.client();
    assert_eq!(client.run("DEBUG LOADAOF"), ok());
    assert_eq!(digest(&mut client), before.0);
    assert_eq!(client.run("DEBUG RELOAD"), ok());
    assert_eq!(digest(&mut client), before.0);
    // After all that it still drops.
    assert_eq!(client.run("MTGET k12 100 WITHMTIME"), not_modified("100"));
    client.run("SET k12 foreign");
    assert_eq!(client.run("MTGET k12 100 WITHMTIME"), untracked("foreign"));
}

/// A file from before the module came says nothing of drops, and is loaded as it is, by everybody alike.
#[test]
fn a_file_from_before_the_module_is_loaded_as_it_is() {
    if has_no_index("entries without their key") {
        return;
    }
    let mut server = Server::builder().with(AOF).without_module().start();
    let mut client = server.client();
    for line in
        ["SET k value", "HSET MY_KEYSMTIME k 100", "SET k foreign", "SET new v", "HSET MY_KEYSMTIME gone 5"]
    {
        client.run(line);
    }
    let before = digest(&mut client);
    server.restart_with_module();
    let mut client = server.client();
    assert_eq!(digest(&mut client), before);
    assert_eq!(index_entries(&mut client).len(), 2);
    assert_eq!(client.run("MTCLEAN 0").into_items()[1], int(1));
    client.run("SET k again");
    assert_eq!(call!(client, "EXISTS", INDEX), int(0));
}
