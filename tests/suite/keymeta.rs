//! What only keymeta storage has: mtimes in the metadata of keys, what keeps them and what drops them, what is propagated,
//! and when the module may go. On servers that have no key metadata, these tests say so.

use crate::support::aof::{AOF, Stream};
use crate::support::client::{
    Args, Client, Reply, args, array, bulk, call, error, int, modified, nil, not_modified, ok, untracked,
    words,
};
use crate::support::dice::number_of;
use crate::support::module;
use crate::support::server::{Builder, Server};
use crate::support::storage::OUT_OF_RANGE;

pub(crate) const KEYMETA: &str = "mtime.storage keymeta";

pub(crate) fn builder() -> Builder {
    Server::builder().with(&[KEYMETA])
}

/// Whether the server under test has key metadata; says so if not.
pub(crate) fn is_offered() -> bool {
    Server::plain().has("keymeta storage", (8, 6), (u32::MAX, 0))
}

pub(crate) fn start() -> Option<Server> {
    is_offered().then(|| builder().start())
}

#[test]
fn there_is_no_index() {
    let Some(server) = start() else { return };
    let mut client = server.client();
    assert_eq!(client.run("CONFIG GET mtime.storage").field("mtime.storage"), Some(bulk("keymeta")));
    assert!(client.run("CONFIG SET mtime.storage hash").is_error(), "fixed while it runs");
    client.run_all(&["MTSET k v 100", "SET plain v", "MTTOUCH plain 5"]);
    assert_eq!(client.run("DBSIZE"), int(2));
    assert_eq!(client.run("MTCLEAN 0"), array([bulk("0"), int(0)]), "nothing to clean");
    assert_eq!(client.run("MTSET MY_KEYSMTIME v 1"), error("ERR key is reserved for the mtime index"));
}

#[test]
fn an_mtime_that_does_not_fit_changes_nothing() {
    let Some(server) = start() else { return };
    let mut client = server.client();
    client.run_all(&["MTSET k v 100 EX 1000", "RPUSH list a"]);
    for mtime in [
        "4611686018427387904",
        "9223372036854775807",
        "-4611686018427387905",
        "-0.5",
        "-1e300",
        "-9223372036854775809",
    ] {
        for command in [
            args!["MTSET", "k", "w", mtime],
            args!["MTSET", "k", "w", mtime, "IFNEWER", "EX", 5],
            args!["MTSET", "new", "w", mtime],
            args!["MTSET", "list", "w", mtime],
            args!["MTTOUCH", "k", mtime],
            args!["MTTOUCH", "nokey", mtime],
        ] {
            assert_eq!(client.call(&command), error(OUT_OF_RANGE), "{mtime}");
        }
        // It is no time that a reader cannot have, nor a condition.
        assert!(!call!(client, "MTGET", "k", mtime).is_error());
        assert_eq!(call!(client, "MTSET", "k", "w", 5, "IFEQ", mtime), nil());
        assert_eq!(call!(client, "MTDEL", "k", "IFEQ", mtime), int(0));
    }
    assert_eq!(client.run("MTGET k 99 WITHMTIME"), modified("100", "v"));
    assert_eq!(client.run("TTL k"), int(1000));
    assert_eq!(client.run("EXISTS new nokey"), int(0));
    for mtime in ["4611686018427387903", "-4611686018427387904", "5e-324", "1.7976931348623157e308"] {
        assert_eq!(call!(client, "MTSET", "edge", "v", mtime), ok(), "{mtime}");
        assert_eq!(call!(client, "MTGET", "edge", mtime), nil(), "{mtime}");
    }
}

#[test]
fn a_star_at_the_end_of_the_integers_is_out_of_range() {
    let Some(server) = start() else { return };
    let mut client = server.client();
    client.run_all(&["MTSET k v 4611686018427387903"]);
    assert_eq!(client.run("MTSET k w *"), error(OUT_OF_RANGE));
    assert_eq!(client.run("MTSET k w * NX"), nil(), "a refusal comes first");
    assert_eq!(client.run("MTGET k 0 WITHMTIME"), modified("4611686018427387903", "v"));
    client.run_all(&["MTSET k v 4611686018427387902"]);
    assert_eq!(client.run("MTSET k w *"), bulk("4611686018427387903"));
}

/// A value of each encoding, as old servers and new keep them.
fn values() -> [String; 5] {
    ["12345".to_owned(), "short".to_owned(), "x".repeat(44), "x".repeat(45), "x".repeat(5000)]
}

/// What is run on `k`, which holds a value with mtime 100, and whether its mtime stays.
const WHAT_KEEPS: [(&str, bool); 34] = [
    ("GET k", true),
    ("EXPIRE k 1000", true),
    ("PEXPIREAT k 4102444800000", true),
    ("PERSIST k", true),
    ("GETEX k EX 100", true),
    ("GETEX k PERSIST", true),
    ("OBJECT FREQ k", true),
    ("SETRANGE k 0 \"\"", true),
    ("BITFIELD k GET u8 0", true),
    ("SWAPDB 0 1 ; SWAPDB 0 1", true),
    ("DEBUG RELOAD", true),
    ("MTTOUCH k 50 IFNEWER", true),
    ("SET k v NX", true),
    ("SET k v", false),
    ("SET k v KEEPTTL", false),
    ("SETEX k 100 v", false),
    ("GETSET k v", false),
    ("MSET a 1 k 2", false),
    ("BITOP NOT k k", false),
    ("APPEND k x", false),
    ("SETRANGE k 1 x", false),
    ("SETBIT k 3 0", false),
    ("SETBIT k 0 1", false),
    ("BITFIELD k SET u8 0 1", false),
    ("BITFIELD k INCRBY u8 0 1", false),
    ("DEL k ; SET k v", false),
    ("GETDEL k ; SET k v", false),
    ("RENAME k a ; RENAME a k", false),
    ("COPY k a ; RENAME a k", false),
    ("MOVE k 1 ; SELECT 1 ; MOVE k 0 ; SELECT 0", false),
    ("COPY other k REPLACE", false),
    ("PEXPIREAT k 1 ; SET k v", false),
    ("MULTI ; SET k v ; EXEC", false),
    ("EVAL return(redis.call('APPEND',KEYS[1],'x')) 1 k", false),
];

#[track_caller]
fn run_line(client: &mut Client, line: &str) {
    for part in line.split(" ; ") {
        let command: Args = part
            .split(' ')
            .map(|word| if word == "\"\"" { Vec::new() } else { word.as_bytes().to_vec() })
            .collect();
        client.call(&command);
    }
}

#[test]
fn what_keeps_an_mtime_and_what_drops_it() {
    if !is_offered() {
        return;
    }
    let mut master = builder().with(AOF).tcp().start();
    let replica = Server::replica_of(&master, builder());
    let mut client = master.client();
    for (line, keeps) in WHAT_KEEPS {
        for value in values() {
            client.run("FLUSHALL");
            client.run_all(&["MTSET other value 100"]);
            call!(client, "MTSET", "k", value, 100);
            run_line(&mut client, line);
            let value = client.run("GET k").into_bytes();
            let expected = if keeps { not_modified("100") } else { untracked(&value) };
            let what = format!("{line} on {} bytes", value.len());
            assert_eq!(client.run("MTGET k 100 WITHMTIME"), expected, "{what}");
            replica.sync_with(&master);
            assert_eq!(replica.client().run("MTGET k 100 WITHMTIME"), expected, "{what}, on a replica");
        }
        // What the file says, loaded.
        let expected = client.run("MTGET k 100 WITHMTIME");
        master.restart();
        client = master.client();
        assert_eq!(client.run("MTGET k 100 WITHMTIME"), expected, "{line}, loaded");
        replica.sync_with(&master);
    }
}

#[test]
fn numbers_and_sketches_that_are_edited_lose_their_mtime() {
    let Some(server) = start() else { return };
    let mut client = server.client();
    for line in ["INCR k", "DECR k", "INCRBY k 5", "DECRBY k 5", "INCRBYFLOAT k 0.5"] {
        client.run_all(&["MTSET k 10 100", line]);
        assert_eq!(client.run("MTTIME k"), nil(), "{line}");
    }
    for line in ["PFADD sketch b", "PFMERGE sketch more"] {
        client.run_all(&["DEL sketch more", "PFADD sketch a", "PFADD more c", "MTTOUCH sketch 100", line]);
        assert_eq!(client.run("MTTIME sketch"), nil(), "{line}");
    }
}

#[test]
fn order_is_kept_in_transactions_and_scripts() {
    let Some(server) = start() else { return };
    let mut client = server.client();
    for (lines, expected) in [
        (["SET k w", "MTGET k 100 WITHMTIME"], untracked("w")),
        (["APPEND k w", "MTGET k 100 WITHMTIME"], untracked("valuew")),
        (["SET k w", "MTTOUCH k 50"], int(1)),
        (["SET k w", "MTSET k x 50 IFNEWER"], ok()),
    ] {
        for in_script in [false, true] {
            client.run_all(&["MTSET k value 100"]);
            let last = if in_script {
                let call = |line: &str| format!("redis.call('{}')", line.replace(' ', "','"));
                let script = format!("{} return {}", call(lines[0]), call(lines[1]));
                call!(client, "EVAL", script, 1, "k")
            } else {
                let replies = client.pipeline(&["MULTI", lines[0], lines[1], "EXEC"].map(words));
                replies[3].clone().into_items()[1].clone()
            };
            assert_eq!(last, expected, "{lines:?} {in_script}");
        }
    }
}

#[test]
fn the_commands_themselves_are_propagated_resolved() {
    if !is_offered() {
        return;
    }
    let server = builder().with(AOF).start();
    let mut client = server.client();
    let mut stream = Stream::of(&server);
    let expect = |client: &mut Client, stream: &mut Stream<'_>, line: &str, expected: &[&str]| {
        client.run(line);
        assert_eq!(stream.take(), expected, "{line}");
    };
    let (client, stream) = (&mut client, &mut stream);
    expect(client, stream, "MTSET k v 100", &["MTSET k v 100"]);
    expect(client, stream, "mtset k v 200 ifnewer", &["MTSET k v 200"]);
    expect(
        client,
        stream,
        "MTSET k v 300 IFEQ 200 PXAT 4102444800000",
        &["MTSET k v 300 PXAT 4102444800000"],
    );
    expect(client, stream, "MTSET k v 300 XX EXAT 4102444800", &["MTSET k v 300 PXAT 4102444800000"]);
    expect(client, stream, "MTSET k v 400 KEEPTTL", &["MTSET k v 400 KEEPTTL"]);
    expect(client, stream, "MTSET k v 400 NX", &[]);
    expect(client, stream, "MTTOUCH k 500 IFNEWER", &["MTTOUCH k 500"]);
    expect(client, stream, "MTTOUCH k 500 IFNEWER", &[]);
    expect(client, stream, "APPEND k x", &["APPEND k x"]);
    expect(client, stream, "MTGET k 500", &[]);
    expect(client, stream, "MTDEL k IFNEWER 5", &["DEL k"]);
    let assigned = client.run("MTSET k v * EX 1000").into_text();
    let line = stream.take().pop().expect("a line");
    let deadline = client.run("PEXPIRETIME k").into_int();
    assert_eq!(line, format!("MTSET k v {assigned} PXAT {deadline}"));
    client.pipeline(&["MULTI", "MTSET a 1 5", "MTSET a 2 6", "MTDEL a", "SET c 3", "EXEC"].map(words));
    assert_eq!(stream.take(), ["MULTI", "MTSET a 1 5", "MTSET a 2 6", "DEL a", "SET c 3", "EXEC"]);
    call!(client, "EVAL", "redis.call('MTSET', 'a', '1', '5') return redis.call('MTTOUCH', 'a', '6')", 0);
    assert_eq!(stream.take(), ["MULTI", "MTSET a 1 5", "MTTOUCH a 6", "EXEC"]);
    call!(client, "MTSET", b"\0k\xff", b"\r\n\0", "1e3");
    assert_eq!(stream.take(), ["MTSET \\x00k\\xff \\r\\n\\x00 1e3"]);
}

/// Replicas need the module. One without it follows all other writes, and says in its log what it does not know.
#[test]
fn a_replica_without_the_module_misses_the_writes_of_ours() {
    if !is_offered() {
        return;
    }
    let master = builder().tcp().start();
    let mut client = master.client();
    client.run_all(&["MTSET before v 100", "SET plain v"]);
    let replica = Server::replica_of(&master, Server::builder().without_module());
    let mut reader = replica.client();
    // The snapshot it begins with it can read, without the mtimes.
    assert_eq!(reader.run("GET before"), bulk("v"));
    client.run_all(&["MTSET before w 200", "MTSET after w 200", "SET plain w", "MTDEL before"]);
    replica.sync_with(&master);
    assert_eq!(reader.run("GET plain"), bulk("w"));
    assert_eq!(reader.run("EXISTS before"), int(0), "an MTDEL is a DEL");
    assert_eq!(reader.run("GET after"), nil());
    assert_eq!(reader.info("replication", "master_link_status"), "up");
    let log = replica.log();
    assert!(log.contains("unknown command 'MTSET'"), "{log}");
}

#[test]
fn a_full_sync_brings_the_mtimes() {
    if !is_offered() {
        return;
    }
    for diskless in ["yes", "no"] {
        let sync = format!("repl-diskless-sync {diskless}");
        let master = builder().with(&[&sync]).tcp().start();
        let mut client = master.client();
        client.run_all(&["MTSET k v 100", "MTSET ttl v 0.5 EX 1000", "SET plain v"]);
        for load in ["disabled", "swapdb"] {
            let load = format!("repl-diskless-load {load}");
            let replica = Server::replica_of(&master, builder().with(&[&load]));
            let mut reader = replica.client();
            assert_eq!(reader.run("MTGET k 100 WITHMTIME"), not_modified("100"), "{sync} {load}");
            assert_eq!(reader.run("MTTIME ttl"), bulk("0.5"), "{sync} {load}");
            assert_eq!(reader.run("MTTIME plain"), nil(), "{sync} {load}");
            // It goes on as a master.
            assert_eq!(reader.run("REPLICAOF NO ONE"), ok());
            reader.run_all(&["APPEND k x", "MTSET plain w 5"]);
            assert_eq!(reader.run("MTTIME k"), nil());
            assert_eq!(reader.run("MTGET plain 5"), nil());
        }
    }
}

/// The snapshot and the AOF, with a snapshot in it and without, and a server that does not know the module.
#[test]
fn what_is_on_disk() {
    if !is_offered() {
        return;
    }
    for (way, directives) in [
        ("snapshot", &["save 1000000 1000000"][..]),
        ("AOF with a snapshot", &["appendonly yes", "appendfsync always", "aof-use-rdb-preamble yes"]),
        ("AOF of commands", &["appendonly yes", "appendfsync always", "aof-use-rdb-preamble no"]),
    ] {
        let mut server = builder().with(directives).start();
        let mut client = server.client();
        let all = [
            ("k", "100"),
            ("negative", "-4611686018427387904"),
            ("large", "4611686018427387903"),
            ("fraction", "1700000000.1234"),
            ("huge", "1e300"),
        ];
        for (key, mtime) in all {
            call!(client, "MTSET", key, "v", mtime, "EX", 100_000);
        }
        call!(client, "MTSET", b"\0\xff\r\n", b"\0", 7);
        client.run_all(&["MTSET touched v 1", "MTTOUCH touched 2", "MTSET edited v 1", "APPEND edited x"]);
        let check = |client: &mut Client, when: &str| {
            for (key, mtime) in all {
                assert_eq!(call!(client, "MTTIME", key), bulk(mtime), "{way}, {when}: {key}");
                assert!(call!(client, "TTL", key).into_int() > 90_000, "{way}, {when}: {key}");
            }
            assert_eq!(call!(client, "MTTIME", b"\0\xff\r\n"), bulk("7"), "{way}, {when}");
            assert_eq!(client.run("MTTIME touched"), bulk("2"), "{way}, {when}");
            assert_eq!(client.run("MTTIME edited"), nil(), "{way}, {when}");
        };
        assert_eq!(client.run("DEBUG RELOAD"), ok());
        check(&mut client, "DEBUG RELOAD");
        if way == "snapshot" {
            assert_eq!(client.run("SAVE"), ok());
        } else {
            assert_eq!(client.run("DEBUG LOADAOF"), ok());
            check(&mut client, "DEBUG LOADAOF");
            client.rewrite_aof();
            assert_eq!(client.run("DEBUG LOADAOF"), ok());
            check(&mut client, "DEBUG LOADAOF of a rewritten file");
        }
        server.restart();
        check(&mut server.client(), "a restart");
        if way == "snapshot" {
            let mut plain = restart_on(server, &[], false);
            let mut client = plain.client();
            assert_eq!(client.run("GET k"), bulk("v"));
            assert!(plain.log().contains("Skipping metadata for class 'MTim'"), "{}", plain.log());
            assert_eq!(client.run("SAVE"), ok());
            plain.restart_with_module();
            assert_eq!(plain.client().run("MTTIME k"), nil(), "what it did not know it did not keep");
        }
    }
}

/// The same data under other settings.
pub(crate) fn restart_on(server: Server, directives: &[&str], with_module: bool) -> Server {
    let builder = Server::builder().with(directives);
    server.restart_as(if with_module { builder } else { builder.without_module() })
}

#[test]
fn dump_and_restore_carry_the_mtime() {
    let Some(server) = start() else { return };
    let mut client = server.client();
    client.run_all(&["MTSET k v 100", "SET plain p", "MTSET target t 500"]);
    let tracked = client.run("DUMP k").into_bytes();
    let plain = client.run("DUMP plain").into_bytes();
    assert_eq!(call!(client, "RESTORE", "copy", 0, tracked), ok());
    assert_eq!(client.run("MTGET copy 100 WITHMTIME"), not_modified("100"));
    assert_eq!(call!(client, "RESTORE", "target", 1_000_000, tracked, "REPLACE"), ok());
    assert_eq!(client.run("MTGET target 99 WITHMTIME"), modified("100", "v"));
    assert_eq!(call!(client, "RESTORE", "target", 0, plain, "REPLACE"), ok(), "one without an mtime");
    assert_eq!(client.run("MTGET target 500 WITHMTIME"), untracked("p"));
    // A server that does not know the class takes the value.
    let without = Server::plain();
    assert_eq!(call!(without.client(), "RESTORE", "k", 0, tracked), ok());
    assert_eq!(without.client().run("GET k"), bulk("v"));
}

#[test]
fn migrate_carries_the_mtime() {
    if !is_offered() {
        return;
    }
    let (source, target) = (builder().tcp().start(), builder().tcp().start());
    let mut client = source.client();
    client.run_all(&["MTSET a v 100", "MTSET b v 0.5 EX 1000", "SET plain v"]);
    let mut there = target.client();
    there.run_all(&["MTSET plain old 700", "MTSET b old 700"]);
    let reply = call!(
        client,
        "MIGRATE",
        "127.0.0.1",
        target.port(),
        "",
        0,
        30_000,
        "REPLACE",
        "KEYS",
        "a",
        "b",
        "plain"
    );
    assert_eq!(reply, ok());
    assert_eq!(there.run("MTGET a 100 WITHMTIME"), not_modified("100"));
    assert_eq!(there.run("MTTIME b"), bulk("0.5"));
    assert_eq!(there.run("MTGET plain 700 WITHMTIME"), untracked("v"));
    assert_eq!(client.run("DBSIZE"), int(0));
}

/// What a client with the right to RESTORE can send, whatever it is, must not take the server down.
#[test]
fn broken_payloads_are_refused_or_untracked() {
    let Some(server) = start() else { return };
    let mut client = server.client();
    client.run_all(&["DEBUG SET-SKIP-CHECKSUM-VALIDATION 1"]);
    call!(client, "MTSET", "k", "v", "1700000000123");
    let good = client.run("DUMP k").into_bytes();
    // Opcode, number of classes, then the class in four bytes with its version in the lowest five bits but three.
    let class = 2;
    let with = |position: usize, byte: u8| {
        let mut payload = good.clone();
        payload[position] = byte;
        payload
    };
    let later = call!(client, "RESTORE", "later", 0, with(class, (2 << 3) | 1));
    assert!(later.is_error(), "a later version: {later:?}");
    assert!(server.log().contains("from a later version of the module"), "{}", server.log());
    for position in 0..good.len() - 10 {
        for byte in [0, 1, 2, 3, 4, 5, 0x7f, 0x80, 0xff] {
            client.run("DEL broken");
            let reply = call!(client, "RESTORE", "broken", 0, with(position, byte));
            if reply == ok() && client.run("TYPE broken").into_text() == "string" {
                let mtime = client.run("MTTIME broken");
                assert!(!mtime.is_error(), "{position} {byte}: {mtime:?}");
                assert_eq!(client.run("MTGET broken 1e308"), client.run("MTGET broken 1e308"));
            }
            client.run("DEBUG RELOAD");
        }
    }
    assert_eq!(client.run("MTTIME k"), bulk("1700000000123"));
}

#[test]
fn without_invalidation_only_the_servers_own_drops_remain() {
    if !is_offered() {
        return;
    }
    let server = builder().with(&["mtime.invalidate-on-write no"]).start();
    let mut client = server.client();
    for (line, keeps) in [
        ("APPEND k x", true),
        ("SETRANGE k 0 x", true),
        ("SETBIT k 0 1", true),
        ("SET k w", false),
        ("RENAME k a ; RENAME a k", false),
        ("COPY k a ; RENAME a k", false),
    ] {
        client.run_all(&["DEL a k", "MTSET k value 100"]);
        run_line(&mut client, line);
        let mtime = client.run("MTTIME k");
        assert_eq!(mtime, if keeps { bulk("100") } else { nil() }, "{line}");
    }
    client.run_all(&["CONFIG SET mtime.invalidate-on-write yes", "MTSET k value 100", "APPEND k x"]);
    assert_eq!(client.run("MTTIME k"), nil());
    client.run_all(&["CONFIG SET mtime.invalidate-on-write no", "MTSET k value 100", "APPEND k x"]);
    assert_eq!(client.run("MTTIME k"), bulk("100"));
}

#[test]
fn the_module_goes_as_long_as_no_key_had_an_mtime() {
    if !is_offered() {
        return;
    }
    let server = Server::plain();
    let mut client = server.client();
    let load = |client: &mut Client| {
        call!(client, "MODULE", "LOADEX", module::path(), "CONFIG", "mtime.storage", "keymeta")
    };
    for _ in 0..3 {
        assert_eq!(load(&mut client), ok());
        client.run_all(&["SET k v", "MTGET k 5", "APPEND k x"]);
        assert_eq!(client.run("MODULE UNLOAD mtime"), ok());
        client.run_all(&["SAVE", "APPEND k x"]);
    }
    assert_eq!(load(&mut client), ok());
    client.run_all(&["MTSET k v 5", "FLUSHALL"]);
    let reply = client.run("MODULE UNLOAD mtime");
    assert!(reply.is_error(), "{reply:?}");
    assert!(
        server.log().contains("module mtime not unloaded: keys have, or had, mtimes"),
        "{}",
        server.log()
    );
    client.run_all(&["MTSET k v 5", "SAVE", "DEBUG RELOAD"]);
    assert_eq!(client.run("MTGET k 5"), nil(), "it goes on as before");
}

/// The server unloads it by force when a setting is not known, and would not survive a refusal.
#[test]
fn an_unknown_setting_does_not_take_the_server_down() {
    if !is_offered() {
        return;
    }
    let server = Server::plain();
    let mut client = server.client();
    let reply = call!(
        client,
        "MODULE",
        "LOADEX",
        module::path(),
        "CONFIG",
        "mtime.storage",
        "keymeta",
        "CONFIG",
        "mtime.nosuch",
        "1"
    );
    assert!(reply.is_error(), "{reply:?}");
    assert_eq!(
        call!(client, "MODULE", "LOADEX", module::path(), "CONFIG", "mtime.storage", "keymeta"),
        ok(),
        "the class was given back"
    );
    client.run_all(&["MTSET k v 5", "SAVE"]);
}

#[test]
fn a_snapshot_with_mtimes_holds_the_module_too() {
    if !is_offered() {
        return;
    }
    let mut server = builder().start();
    server.client().run_all(&["MTSET k v 5", "SAVE"]);
    server.restart();
    let mut client = server.client();
    assert!(client.run("MODULE UNLOAD mtime").is_error());
    assert_eq!(client.run("MTTIME k"), bulk("5"));
}

#[test]
fn without_a_class_the_module_does_not_load() {
    if !is_offered() {
        return;
    }
    let others = format!("loadmodule {} all", module::listener());
    let Err(log) = builder().with(&[&others]).try_start() else { panic!("the server started") };
    let ours: Vec<&str> = log.lines().filter(|line| line.contains("module mtime not loaded")).collect();
    assert_eq!(ours.len(), 1, "{log}");
    assert!(ours[0].contains("the server refuses the class of key metadata (-4)"), "{}", ours[0]);
    // With hash storage it needs none, and on a running server the attempt leaves nothing behind.
    let server = Server::builder().with(&[&others, "mtime.storage hash"]).start();
    assert_eq!(server.client().run("MTSET k v 5"), ok());
    let server = Server::builder().without_module().with(&[&others]).start();
    let mut client = server.client();
    for _ in 0..2 {
        let reply = call!(client, "MODULE", "LOADEX", module::path(), "CONFIG", "mtime.storage", "keymeta");
        assert!(reply.is_error(), "{reply:?}");
    }
    assert!(client.run("MTGET k 5").is_error());
    client.run_all(&["SET k v", "APPEND k x", "SAVE"]);
    assert_eq!(call!(client, "MODULE", "LOAD", module::path()), ok());
}

#[test]
fn eight_bytes_a_key() {
    if !is_offered() {
        return;
    }
    let keys = usize::try_from(number_of("REDIS_MTIME_MEMORY_KEYS", || 20_000)).expect("a number");
    let servers = [builder().start(), builder().start()];
    let mut used = Vec::new();
    for (number, server) in servers.iter().enumerate() {
        let mut client = server.client();
        let value = "v".repeat(64);
        let before: i64 = client.info("memory", "used_memory").parse().expect("a number");
        for chunk in (0..keys).collect::<Vec<_>>().chunks(1000) {
            let commands: Vec<Args> = chunk
                .iter()
                .map(|i| {
                    let key = format!("key:{i:012}");
                    if number == 0 {
                        args!["SET", key, value]
                    } else {
                        args!["MTSET", key, value, 1_700_000_000]
                    }
                })
                .collect();
            client.pipeline(&commands);
        }
        let after: i64 = client.info("memory", "used_memory").parse().expect("a number");
        used.push(after - before);
    }
    let per_key = (used[1] - used[0]) / i64::try_from(keys).expect("small");
    println!("{per_key} bytes a key");
    // The allocator rounds; on average over the lengths of keys eight bytes remain eight bytes.
    assert!((0..=16).contains(&per_key), "{per_key} bytes a key: {used:?}");
}

#[test]
fn readers_see_every_change_as_with_hash_storage() {
    let Some(server) = start() else { return };
    let mut client = server.client();
    let mut other = server.client();
    client.run_all(&["MTSET k v 100"]);
    // WATCH sees MTSET and MTTOUCH.
    for line in ["MTSET k w 200", "MTTOUCH k 300", "MTDEL k"] {
        assert_eq!(client.run("WATCH k"), ok());
        other.run_all(&[line]);
        assert_eq!(client.pipeline(&["MULTI", "PING", "EXEC"].map(words)).pop(), Some(nil()), "{line}");
    }
    assert_eq!(client.run("MTGET k 5 WITHMTIME"), Reply::Nil);
}
