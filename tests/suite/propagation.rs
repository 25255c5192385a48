//! What replicas and the append-only file get: core commands only, only what changed, absolute times, in one unit.

use crate::support::aof::{AOF, Stream};
use crate::support::client::{Client, bulk, call, int, nil, ok, words};
use crate::support::dataset::{dataset, digest};
use crate::support::server::Server;
use crate::support::storage::has_no_index;

fn lines(text: &[&str]) -> Vec<String> {
    text.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn mtset_is_a_set_and_an_hset() {
    if has_no_index("core commands in the stream; keymeta.rs has its own") {
        return;
    }
    let server = Server::with(AOF);
    let mut client = server.client();
    let mut stream = Stream::of(&server);
    client.run("MTSET k v 1e2");
    assert_eq!(stream.take(), lines(&["MULTI", "SET k v", "HSET MY_KEYSMTIME k 100", "EXEC"]));
    client.run("MTSET k w 101 IFNEWER");
    assert_eq!(stream.take(), lines(&["MULTI", "SET k w", "HSET MY_KEYSMTIME k 101", "EXEC"]));
    client.run("MTSET k w 5 IFEQ 101");
    assert_eq!(stream.take(), lines(&["MULTI", "SET k w", "HSET MY_KEYSMTIME k 5", "EXEC"]));
    client.run("MTSET k w 5 XX");
    assert_eq!(stream.take(), lines(&["MULTI", "SET k w", "HSET MY_KEYSMTIME k 5", "EXEC"]));
    client.run("MTSET new w 5 NX");
    assert_eq!(stream.take(), lines(&["MULTI", "SET new w", "HSET MY_KEYSMTIME new 5", "EXEC"]));
}

#[test]
fn times_are_absolute() {
    if has_no_index("core commands in the stream; keymeta.rs has its own") {
        return;
    }
    let server = Server::with(AOF);
    let mut client = server.client();
    let mut stream = Stream::of(&server);
    let hset = "HSET MY_KEYSMTIME k 5";
    for options in ["EX 1000", "PX 1000000", "EXAT 4102444800", "PXAT 4102444800123", "ex 1000 IFNEWER"] {
        client.run("DEL k MY_KEYSMTIME");
        stream.take();
        client.run(&format!("MTSET k v 5 {options}"));
        let expiry = client.run("PEXPIRETIME k").into_int();
        assert_eq!(
            stream.take(),
            lines(&["MULTI", &format!("SET k v PXAT {expiry}"), hset, "EXEC"]),
            "{options}"
        );
    }
    client.run("MTSET k w 5 KEEPTTL");
    assert_eq!(stream.take(), lines(&["MULTI", "SET k w KEEPTTL", hset, "EXEC"]));
}

#[test]
fn a_star_is_propagated_resolved() {
    if has_no_index("core commands in the stream; keymeta.rs has its own") {
        return;
    }
    let server = Server::with(AOF);
    let mut client = server.client();
    let mut stream = Stream::of(&server);
    let assigned = client.run("MTSET k v *").into_text();
    assert_eq!(
        stream.take(),
        lines(&["MULTI", "SET k v", &format!("HSET MY_KEYSMTIME k {assigned}"), "EXEC"])
    );
}

#[test]
fn mttouch_is_an_hset() {
    if has_no_index("core commands in the stream; keymeta.rs has its own") {
        return;
    }
    let server = Server::with(AOF);
    let mut client = server.client();
    client.run("MTSET k v 5 EX 1000");
    let mut stream = Stream::of(&server);
    client.run("MTTOUCH k 7.50");
    assert_eq!(stream.take(), lines(&["HSET MY_KEYSMTIME k 7.5"]));
}

#[test]
fn mtdel_is_a_del_and_an_hdel() {
    if has_no_index("core commands in the stream; keymeta.rs has its own") {
        return;
    }
    let server = Server::with(AOF);
    let mut client = server.client();
    client.run("MTSET k v 5");
    client.run("SET plain p");
    let mut stream = Stream::of(&server);
    client.run("MTDEL k");
    assert_eq!(stream.take(), lines(&["MULTI", "DEL k", "HDEL MY_KEYSMTIME k", "EXEC"]));
    client.run("MTDEL plain");
    assert_eq!(stream.take(), lines(&["DEL plain"]));
    client.run("MTSET k v 5");
    stream.take();
    client.run("MTDEL k IFEQ 5");
    assert_eq!(stream.take(), lines(&["MULTI", "DEL k", "HDEL MY_KEYSMTIME k", "EXEC"]));
}

#[test]
fn what_was_refused_or_in_error_is_not_propagated() {
    let server = Server::with(AOF);
    let mut client = server.client();
    client.run("MTSET k v 100 EX 1000");
    client.run("RPUSH list a");
    client.run("HSET MY_KEYSMTIME gone 5");
    let mut stream = Stream::of(&server);
    for line in [
        "MTSET k w 99 IFNEWER",
        "MTSET k w 100 IFNEWER EX 5",
        "MTSET k w 200 IFEQ 5",
        "MTSET k w 200 NX",
        "MTSET k w * NX",
        "MTSET gone w 200 XX",
        "MTSET gone w 200 IFEQ 5",
        "MTSET k w abc",
        "MTSET k w 200 EX 0",
        "MTSET k w 200 FOO",
        "MTSET MY_KEYSMTIME w 200",
        "MTTOUCH k 99 IFNEWER",
        "MTTOUCH k 99 IFEQ 5",
        "MTTOUCH gone 99",
        "MTTOUCH list 99",
        "MTDEL k IFNEWER 100",
        "MTDEL k IFEQ 5",
        "MTDEL gone",
        "MTDEL list",
        "MTGET k 5",
        "MTMGET k 5 gone 5",
        "MTTIME k",
    ] {
        client.run(line);
        assert_eq!(stream.take_all(), Vec::<String>::new(), "{line}");
    }
}

#[test]
fn each_database_keeps_its_own_index() {
    if has_no_index("core commands in the stream; keymeta.rs has its own") {
        return;
    }
    let server = Server::with(AOF);
    let mut client = server.client();
    client.run("MTSET k v 5");
    let mut stream = Stream::of(&server);
    client.run("SELECT 3");
    client.run("MTSET k w 6");
    let propagated = stream.take_all();
    // Where the SELECT stands, inside or before the MULTI, is the server's business.
    assert_eq!(propagated.iter().filter(|line| *line == "SELECT 3").count(), 1, "{propagated:?}");
    let rest: Vec<String> = propagated.into_iter().filter(|line| line != "SELECT 3").collect();
    assert_eq!(rest, lines(&["MULTI", "SET k w", "HSET MY_KEYSMTIME k 6", "EXEC"]));
}

#[test]
fn a_transaction_is_one_unit() {
    if has_no_index("core commands in the stream; keymeta.rs has its own") {
        return;
    }
    let server = Server::with(AOF);
    let mut client = server.client();
    let mut stream = Stream::of(&server);
    client.pipeline(&["MULTI", "MTSET a 1 5", "MTGET a 4", "MTDEL a", "SET c 3", "EXEC"].map(words));
    assert_eq!(
        stream.take(),
        lines(&[
            "MULTI",
            "SET a 1",
            "HSET MY_KEYSMTIME a 5",
            "DEL a",
            "HDEL MY_KEYSMTIME a",
            "SET c 3",
            "EXEC"
        ])
    );
    let script = "redis.call('MTSET', KEYS[1], '1', '5') redis.call('MTTOUCH', KEYS[1], '6') return 1";
    assert_eq!(call!(client, "EVAL", script, 1, "a"), int(1));
    assert_eq!(
        stream.take(),
        lines(&["MULTI", "SET a 1", "HSET MY_KEYSMTIME a 5", "HSET MY_KEYSMTIME a 6", "EXEC"])
    );
}

#[test]
fn binary_arguments_are_propagated_whole() {
    if has_no_index("core commands in the stream; keymeta.rs has its own") {
        return;
    }
    let server = Server::with(AOF);
    let mut client = server.client();
    let mut stream = Stream::of(&server);
    call!(client, "MTSET", b"\0k\xff", b"\r\n\0", 5);
    assert_eq!(
        stream.take(),
        lines(&["MULTI", r"SET \x00k\xff \r\n\x00", r"HSET MY_KEYSMTIME \x00k\xff 5", "EXEC"])
    );
    call!(client, "MTDEL", b"\0k\xff");
    assert_eq!(stream.take(), lines(&["MULTI", r"DEL \x00k\xff", r"HDEL MY_KEYSMTIME \x00k\xff", "EXEC"]));
}

/// A bit of everything.
fn work(client: &mut Client) {
    for i in 0..50 {
        call!(client, "MTSET", format!("k{i}"), format!("v{i}"), i);
    }
    for line in [
        "MTSET k1 w 100 EX 1000",
        "MTSET k1 w 101 KEEPTTL",
        "MTSET k2 w 5.5 IFNEWER PXAT 4102444800000",
        "MTSET k3 w * XX",
        "MTSET k4 w 0 IFNEWER",
        "MTTOUCH k5 77",
        "MTDEL k6",
        "MTDEL k7 IFNEWER 100",
        "MTSET new v 5 NX",
        "SET plain p",
        "MTTOUCH plain 3",
        "RPUSH list a",
        "MTSET list v 4",
        "SELECT 3",
        "MTSET three v 3",
        "SELECT 0",
    ] {
        client.run(line);
    }
    assert_eq!(call!(client, "MTSET", b"\0\xff\r\n", b"\0\xfe", 1), ok());
    assert_eq!(call!(client, "MTSET", "big", "x".repeat(1_000_000), 1), ok());
}

#[test]
fn a_replica_without_the_module_has_the_same_data() {
    if has_no_index("core commands in the stream; keymeta.rs has its own") {
        return;
    }
    let master = Server::builder().tcp().start();
    let with = Server::replica_of(&master, Server::builder());
    let without = Server::replica_of(&master, Server::builder().without_module());
    let mut client = master.client();
    work(&mut client);
    for replica in [&with, &without] {
        replica.sync_with(&master);
        let mut reader = replica.client();
        assert_eq!(digest(&mut reader), digest(&mut client));
        assert_eq!(dataset(&mut reader), dataset(&mut client));
    }
    let mut reader = with.client();
    assert_eq!(reader.run("MTGET k5 76"), bulk("v5"));
    assert_eq!(reader.run("MTGET k5 77"), nil());
    let refused = reader.run("MTSET k5 v 100");
    assert!(format!("{refused:?}").contains("READONLY"), "{refused:?}");
}

#[test]
fn a_full_sync_carries_the_mtimes() {
    let master = Server::builder().tcp().start();
    let mut client = master.client();
    work(&mut client);
    let replica = Server::replica_of(&master, Server::builder());
    let mut reader = replica.client();
    assert_eq!(digest(&mut reader), digest(&mut client));
    assert_eq!(reader.run("MTTIME k5"), bulk("77"));
}

#[test]
fn the_append_only_file_loads_with_and_without_the_module() {
    if has_no_index("core commands in the stream; keymeta.rs has its own") {
        return;
    }
    let mut server = Server::with(AOF);
    let mut client = server.client();
    work(&mut client);
    let (before, all) = (digest(&mut client), dataset(&mut client));
    for with_module in [true, false, true] {
        if with_module {
            server.restart_with_module();
        } else {
            server.restart_without_module();
        }
        let mut client = server.client();
        assert_eq!(digest(&mut client), before, "{with_module}");
        assert_eq!(dataset(&mut client), all, "{with_module}");
    }
    assert_eq!(server.client().run("MTTIME k5"), bulk("77"));
}

#[test]
fn the_snapshot_loads_with_and_without_the_module() {
    let mut server = Server::start();
    let mut client = server.client();
    work(&mut client);
    let (before, all) = (digest(&mut client), dataset(&mut client));
    assert_eq!(client.run("SAVE"), ok());
    server.restart_without_module();
    assert_eq!(digest(&mut server.client()), before);
    server.restart_with_module();
    let mut client = server.client();
    assert_eq!(digest(&mut client), before);
    assert_eq!(dataset(&mut client), all);
    assert_eq!(client.run("MTGET k5 76"), bulk("v5"));
    assert_eq!(client.run("MTGET k5 77"), nil());
}
