//! The module comes, goes, comes back and is reconfigured while people work; and somebody touches the index.

use crate::support::aof::AOF;
use crate::support::client::{Client, Reply, args, bulk, call, int, nil, not_modified, ok, untracked, words};
use crate::support::dataset::{INDEX, databases, differences, index_entries};
use crate::support::dice::Dice;
use crate::support::errors::NO_HASH;
use crate::support::module;
use crate::support::server::Server;
use crate::support::storage::has_no_index;
use crate::support::wait;
use crate::support::workload::clients_stay_in_their_database;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

fn load(client: &mut Client) -> Reply {
    call!(client, "MODULE", "LOAD", module::path())
}

fn encoding(client: &mut Client) -> String {
    call!(client, "OBJECT", "ENCODING", INDEX).into_text()
}

fn is_loaded(client: &mut Client) -> bool {
    client.run("MODULE LIST").into_items().iter().any(|module| module.field("name") == Some(bulk("mtime")))
}

// Load and unload.

// Servers keep pointers to the commands of a module in the state of their clients: queued commands of a transaction,
// commands held up by a pause, commands read ahead, the last command of a connection. Following one after the module is
// gone takes the server down, so the module stays while somebody may.

/// Demands that the module stays, for a reason that is in the log, and that nothing of the kind ended the server.
#[track_caller]
fn stays(server: &Server, client: &mut Client, reason: &str) {
    let refused = client.run("MODULE UNLOAD mtime");
    assert!(refused.is_error(), "{refused:?}");
    assert!(is_loaded(client));
    let log = server.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("module mtime not unloaded: ")).collect();
    assert!(lines.last().is_some_and(|line| line.contains(reason)), "{reason}: {lines:?}");
    assert_eq!(client.run("MTSET stays v 500"), ok());
    client.run("SET stays w");
    assert_eq!(client.run("MTTIME stays"), nil(), "the module is there and does not do its work");
    client.run("PING");
}

/// What a bad pointer would read is overwritten, and whatever the server still knows of its clients is looked at.
fn shake(client: &mut Client) {
    client.pipeline(&vec![words("CONFIG GET *"); 20]);
    client.pipeline(&vec![words("CLIENT LIST"); 3]);
    assert_eq!(client.run("PING").into_text(), "PONG");
}

#[test]
fn the_module_stays_while_a_transaction_has_commands_queued() {
    if has_no_index("a module that goes; keymeta.rs has its own") {
        return;
    }
    let server = Server::start();
    let (mut client, mut queued) = (server.client(), server.client());
    queued.run("MULTI");
    assert_eq!(queued.run("MTSET k v 500").into_text(), "QUEUED");
    // Which commands are queued nobody tells.
    assert_eq!(queued.run("PING").into_text(), "QUEUED");
    stays(&server, &mut client, "1 client(s) have commands queued in MULTI");
    shake(&mut client);
    assert_eq!(queued.run("EXEC").into_items()[0], ok());
    // A transaction that begins has none yet.
    queued.run("MULTI");
    assert_eq!(client.run("MODULE UNLOAD mtime"), ok());
    shake(&mut client);
    assert!(queued.run("MTSET k v 500").is_error());
    assert!(queued.run("EXEC").is_error());
}

#[test]
fn the_module_stays_when_unloaded_by_a_transaction() {
    let server = Server::start();
    let mut client = server.client();
    let lines = ["MULTI", "MTSET k v 500", "MODULE UNLOAD mtime", "MTGET k 500", "EXEC"];
    let replies = client.pipeline(&lines.map(words)).pop().expect("a reply").into_items();
    assert_eq!((&replies[0], &replies[2]), (&ok(), &nil()));
    assert!(replies[1].is_error(), "{replies:?}");
    assert!(is_loaded(&mut client));
}

#[test]
fn the_module_stays_while_a_command_is_held_up() {
    let server = Server::start();
    let (mut client, mut held) = (server.client(), server.client());
    assert_eq!(client.run("CLIENT PAUSE 60000 WRITE"), ok());
    let held = std::thread::spawn(move || held.try_call(&words("MTSET k v 500")));
    wait::until("the client to be held up", || {
        client.run("CLIENT LIST").into_text().contains(" flags=b").then_some(())
    });
    let refused = client.run("MODULE UNLOAD mtime");
    assert!(refused.is_error(), "{refused:?}");
    assert!(server.log().contains("module mtime not unloaded: 1 client(s) are blocked or held up"));
    shake(&mut client);
    assert_eq!(client.run("CLIENT UNPAUSE"), ok());
    assert_eq!(held.join().expect("a client"), Ok(ok()));
    assert_eq!(client.run("MTGET k 499"), bulk("v"));
}

/// A blocked client that has sent more: newer servers have looked up those commands already.
#[test]
fn a_blocked_client_with_commands_in_the_pipeline_is_no_danger() {
    if has_no_index("a module that goes; keymeta.rs has its own") {
        return;
    }
    let server = Server::start();
    let (mut client, mut blocked) = (server.client(), server.client());
    let waiting = std::thread::spawn(move || {
        blocked.try_pipeline(&["BLPOP queue 0", "MTSET k v 500", "MTGET k 499"].map(words))
    });
    wait::until("the client to be blocked", || {
        client.run("CLIENT LIST").into_text().contains(" flags=b").then_some(())
    });
    let unloaded = client.run("MODULE UNLOAD mtime") == ok();
    shake(&mut client);
    assert_eq!(client.run("RPUSH queue job"), int(1));
    let replies = waiting.join().expect("a client").expect("the server is up");
    assert_eq!(replies[0].clone().into_items().len(), 2);
    // Where nothing is looked up ahead the module goes, and its commands are not known any more.
    if unloaded {
        assert!(replies[1].is_error() && replies[2].is_error(), "{replies:?}");
    } else {
        assert!(server.log().contains("module mtime not unloaded: 1 client(s) are blocked"));
        assert_eq!(replies[1..], [ok(), bulk("v")]);
    }
    shake(&mut client);
    wait::until("an unload", || {
        (!is_loaded(&mut client) || client.run("MODULE UNLOAD mtime") == ok()).then_some(())
    });
}

/// Commands behind MODULE UNLOAD in the same write. Valkey 9.1 has looked them up already and does not tell: there they
/// must not be of the module (docs/operations.md).
#[test]
fn commands_pipelined_behind_an_unload_are_no_danger() {
    if has_no_index("a module that goes; keymeta.rs has its own") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    if client.try_info("server", "valkey_version").is_some() {
        let replies = client.pipeline(&["MODULE UNLOAD mtime", "SET k v", "PING"].map(words));
        assert_eq!(replies[..2], [ok(), ok()]);
        shake(&mut client);
        return;
    }
    let replies = client.pipeline(&["MODULE UNLOAD mtime", "MTSET k v 500", "MTGET k 499"].map(words));
    if replies[0] == ok() {
        assert!(replies[1].is_error() && replies[2].is_error(), "{replies:?}");
    } else {
        assert!(server.log().contains("module mtime not unloaded: MODULE UNLOAD came with more commands"));
        assert_eq!(replies[1..], [ok(), bulk("v")]);
        assert_eq!(client.run("MODULE UNLOAD mtime"), ok());
    }
    shake(&mut client);
}

#[test]
fn the_module_stays_with_io_threads() {
    let server = Server::with(&["io-threads 2"]);
    let mut client = server.client();
    stays(&server, &mut client, "io-threads");
}

/// Redis 8 asserts after the unload that all rules of all users still make sense, and 7.0 does not start with them.
#[test]
fn the_module_stays_while_an_acl_rule_names_its_commands() {
    let server = Server::start();
    let mut client = server.client();
    let rules = ["+@all -mtset", "-@all +ping +mtget", "+@all (+mttime|x ~k)", "+@all (+@all -mtset ~k)"];
    for rule in rules {
        let mut command = words("ACL SETUSER somebody reset");
        command.extend(if rule.contains('(') {
            let (rules, selector) = rule.split_once(" (").expect("two parts");
            args![rules, format!("({selector}")]
        } else {
            words(rule)
        });
        if client.call(&command).is_error() {
            // Not every server knows rules about first arguments.
            assert!(rule.contains('|'), "{rule}");
            continue;
        }
        let refused = client.run("MODULE UNLOAD mtime");
        assert!(refused.is_error(), "{rule}: {refused:?}");
        assert!(is_loaded(&mut client), "{rule}");
    }
    // Valkey refuses on its own.
    let log = server.log();
    assert!(
        log.contains("module mtime not unloaded: an ACL user has the rule -mtset")
            || log.contains("unload blocked")
    );
    assert_eq!(client.run("ACL SETUSER somebody reset +@all -@write"), ok());
    assert_eq!(client.run("MODULE UNLOAD mtime"), ok());
    shake(&mut client);
    assert_eq!(load(&mut client), ok());
    assert_eq!(client.run("ACL DELUSER somebody"), int(1));
}

/// Connections whose last command was one of ours cannot stay: the server reads that pointer for CLIENT LIST, and newer
/// ones for the next command of the connection. The others stay.
#[test]
fn an_unload_ends_the_connections_that_used_the_module_last() {
    if has_no_index("a module that goes; keymeta.rs has its own") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    let (mut user, mut former_user, mut other) = (server.client(), server.client(), server.resp3());
    client.run("MTSET k v 500");
    for line in ["MTGET k 0", "MTGET k 0", "MTTIME k"] {
        user.run(line);
        former_user.run(line);
    }
    former_user.run("GET k");
    other.run("EVAL return(redis.call('MTGET',KEYS[1],0)) 1 k");
    assert_eq!(client.run("MODULE UNLOAD mtime"), ok());
    assert!(server.log().contains("module mtime goes: ended 1 connection(s)"));
    shake(&mut client);
    assert!(user.try_call(&words("PING")).is_err(), "its connection is gone");
    for client in [&mut former_user, &mut other] {
        assert_eq!(client.run("GET k"), bulk("v"));
        assert!(client.run("MTGET k 0").is_error());
    }
    // And back.
    assert_eq!(load(&mut client), ok());
    assert_eq!(former_user.run("MTGET k 500 WITHMTIME"), not_modified("500"));
}

/// Valkey unloads all modules when it ends.
#[test]
fn a_shutdown_is_not_an_unload() {
    let server = Server::start();
    let (mut client, mut queued, mut user) = (server.client(), server.client(), server.client());
    queued.run("MULTI");
    queued.run("MTSET k v 500");
    user.run("MTGET k 0");
    let pid = client.info("server", "process_id");
    assert!(client.try_call(&words("SHUTDOWN NOSAVE")).is_err());
    let process = std::path::Path::new("/proc").join(pid).join("exe");
    wait::until("the server to end", || std::fs::read_link(&process).is_err().then_some(()));
    let log = server.log();
    assert!(
        log.contains("bye bye") && !log.contains("not unloaded") && !log.contains("module mtime goes"),
        "{log}"
    );
}

/// A load that the server takes back is none of the above, whatever clients are doing.
#[test]
fn a_load_that_is_taken_back_is_not_refused() {
    let server = Server::plain();
    let (mut client, mut queued) = (server.client(), server.client());
    queued.run("MULTI");
    queued.run("PING");
    for _ in 0..3 {
        let refused =
            call!(client, "MODULE", "LOADEX", module::path(), "CONFIG", "mtime.no-such-setting", "yes");
        assert!(refused.is_error(), "{refused:?}");
        assert!(!is_loaded(&mut client));
        shake(&mut client);
    }
    assert!(!queued.run("EXEC").is_error());
}

#[test]
fn unloading_and_loading_under_traffic_leaves_the_server_up() {
    if has_no_index("a module that goes; keymeta.rs has its own") {
        return;
    }
    const UNLOADS: u64 = 20;
    let server = Server::start();
    let mut client = server.client();
    let (stop, done, lost) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let mut dice = Dice::new();
    let mut refused = 0;
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let (server, mut dice, stop, done, lost) =
                (&server, Dice::seeded(dice.next()), &stop, &done, &lost);
            scope.spawn(move || {
                let lines = [
                    "MTSET k v 500",
                    "MTSET l v * EX 100",
                    "MTGET k 500",
                    "MTMGET k 1 l 1",
                    "MTDEL k",
                    "SET k w",
                    "DEL l",
                    "MTCLEAN 0",
                    "EVAL redis.call('MTSET','k','v',1) 0",
                    "MULTI",
                    "EXEC",
                ];
                let mut client = server.client();
                while !stop.load(Relaxed) {
                    // Errors are fine, and an unload ends connections. One at a time: transactions are open for a while.
                    if client.try_call(&words(dice.pick(&lines))).is_err() {
                        lost.fetch_add(1, Relaxed);
                        client = server.client();
                    }
                    done.fetch_add(1, Relaxed);
                }
            });
        }
        let go_on = || {
            let target = done.load(Relaxed) + 30;
            wait::until("traffic", || (done.load(Relaxed) >= target).then_some(()));
        };
        for _ in 0..UNLOADS {
            go_on();
            // A module that refuses while clients hold its commands must not refuse for ever.
            wait::until("an unload", || {
                let unloaded = client.run("MODULE UNLOAD mtime") == ok();
                refused += u64::from(!unloaded);
                unloaded.then_some(())
            });
            go_on();
            shake(&mut client);
            assert!(!is_loaded(&mut client));
            assert_eq!(load(&mut client), ok());
        }
        stop.store(true, Relaxed);
    });
    println!("{UNLOADS} unloads, {refused} refused, {} connections ended", lost.load(Relaxed));
    let mut client = server.client();
    assert_eq!(client.run("MTSET k v 500"), ok());
    assert_eq!(client.run("MTGET k 500 WITHMTIME"), not_modified("500"));
}

/// While the module is out nobody drops entries. Whoever wants it back deletes the index first, or knows that all
/// writers kept to the seed's pattern.
#[test]
fn what_was_written_without_the_module_is_as_in_the_seed() {
    if has_no_index("the index as a key") {
        return;
    }
    let mut server = Server::with(AOF);
    let mut client = server.client();
    client.run("MTSET k v 500");
    server.restart_without_module();
    let mut client = server.client();
    client.run("SET k w");
    client.run("SET l v");
    client.run("HSET MY_KEYSMTIME l 700");
    server.restart_with_module();
    let mut client = server.client();
    assert_eq!(client.run("MTGET k 500"), nil(), "the entry outlived the write");
    assert_eq!(client.run("MTGET l 700"), nil());
    assert_eq!(client.run("MTGET l 699"), bulk("v"));
    assert_eq!(client.run("UNLINK MY_KEYSMTIME"), int(1));
    assert_eq!(client.run("MTGET k 500"), bulk("w"));
}

#[test]
fn loadex_takes_good_settings() {
    let server = Server::plain();
    let mut client = server.client();
    let loadex = args![
        "MODULE",
        "LOADEX",
        module::path(),
        "CONFIG",
        "mtime.index-key",
        "{times}",
        "CONFIG",
        "mtime.invalidate-on-write",
        "no",
        "CONFIG",
        "mtime.clock-unit",
        "us"
    ];
    for _ in 0..3 {
        assert_eq!(client.call(&loadex), ok());
        for (name, value) in [
            ("mtime.index-key", "{times}"),
            ("mtime.invalidate-on-write", "no"),
            ("mtime.clock-unit", "us"),
            ("mtime.storage", "hash"),
        ] {
            assert_eq!(call!(client, "CONFIG", "GET", name).into_items()[1], bulk(value), "{name}");
        }
        let assigned: u64 = client.run("MTSET k v *").into_text().parse().expect("a number");
        assert!(assigned > 1_600_000_000_000_000, "microseconds: {assigned}");
        assert_eq!(client.run("HLEN {times}"), int(1));
        client.run("SET k w");
        assert_eq!(call!(client, "MTGET", "k", assigned), nil(), "foreign writes are not watched");
        assert_eq!(client.run("MODULE UNLOAD mtime"), ok());
        // Nothing is left of the settings: a plain load has the defaults.
        assert_eq!(load(&mut client), ok());
        assert_eq!(client.run("CONFIG GET mtime.index-key").into_items()[1], bulk("MY_KEYSMTIME"));
        assert_eq!(client.run("CONFIG GET mtime.invalidate-on-write").into_items()[1], bulk("yes"));
        assert_eq!(client.run("MODULE UNLOAD mtime"), ok());
    }
}

#[test]
fn loadex_refuses_bad_settings_and_leaves_nothing_behind() {
    if has_no_index("a module that goes; keymeta.rs has its own") {
        return;
    }
    let server = Server::plain();
    let mut client = server.client();
    client.run("SET k v");
    for settings in [
        "CONFIG mtime.clock-unit ns",
        "CONFIG mtime.invalidate-on-write perhaps",
        "CONFIG mtime.storage disk",
        "CONFIG mtime.storage keymeta CONFIG mtime.no-such-setting yes",
        "CONFIG mtime.no-such-setting yes",
        "CONFIG mtime.index-key good CONFIG mtime.clock-unit ns",
        "CONFIG mtime.index-key good CONFIG mtime.no-such-setting yes",
        "CONFIG no.such.module yes",
        "CONFIG mtime.clock-unit",
        "ARGS nonsense",
    ] {
        let mut loadex = args!["MODULE", "LOADEX", module::path()];
        loadex.extend(words(settings));
        let reply = client.call(&loadex);
        assert!(reply.is_error(), "{settings}: {reply:?}");
        assert!(!is_loaded(&mut client), "{settings}");
        assert!(client.run("MTGET k 1").is_error(), "{settings}: a command is left");
        assert_eq!(client.run("CONFIG GET mtime.*").into_items(), [], "{settings}: a setting is left");
        // Its events do not call into what is gone.
        for line in ["SET k v", "DEL MY_KEYSMTIME", "HSET MY_KEYSMTIME k 5", "FLUSHDB", "SET k v"] {
            assert!(!client.run(line).is_error());
        }
    }
    let mut empty = args!["MODULE", "LOADEX", module::path()];
    empty.extend(args!["CONFIG", "mtime.index-key", ""]);
    assert!(client.call(&empty).is_error());
    assert_eq!(load(&mut client), ok());
    assert_eq!(client.run("MTSET k v 500"), ok());
    assert_eq!(client.run("MTGET k 500"), nil());
}

#[test]
fn config_rewrite_keeps_module_and_settings() {
    if has_no_index("a module that goes; keymeta.rs has its own") {
        return;
    }
    let mut server = Server::with(&["mtime.index-key {times}", "save 3600 1"]);
    let mut client = server.client();
    client.run("CONFIG SET mtime.invalidate-on-write no");
    client.run("CONFIG SET mtime.clock-unit s");
    client.run("MTSET k v 500");
    assert_eq!(client.run("CONFIG REWRITE"), ok());
    assert_eq!(client.run("SAVE"), ok());
    server.restart_as_rewritten();
    let mut client = server.client();
    for (name, value) in
        [("index-key", "{times}"), ("invalidate-on-write", "no"), ("clock-unit", "s"), ("storage", "hash")]
    {
        assert_eq!(
            call!(client, "CONFIG", "GET", format!("mtime.{name}")).into_items()[1],
            bulk(value),
            "{name}"
        );
    }
    assert_eq!(client.run("MTGET k 500 WITHMTIME"), not_modified("500"));
    client.run("SET k w");
    assert_eq!(client.run("MTGET k 500"), nil(), "still not watched after the restart");
    client.run("CONFIG SET mtime.invalidate-on-write yes");
    client.run("SET k w");
    assert_eq!(client.run("MTGET k 500"), bulk("w"), "watched again");
}

// The index under foreign hands. Untracked means: the value is sent.

#[test]
fn databases_have_indexes_of_their_own() {
    if has_no_index("the index as a key") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    for (database, mtime) in [(0, 500), (1, 600)] {
        call!(client, "SELECT", database);
        call!(client, "MTSET", "k", format!("v{database}"), mtime);
        assert_eq!(encoding(&mut client), "hashtable", "database {database}");
    }
    assert_eq!(client.run("MTTIME k"), bulk("600"));
    client.run("SET k w");
    client.run("SELECT 0");
    assert_eq!(client.run("MTTIME k"), bulk("500"), "a write in another database is none here");
    client.run("SELECT 1");
    assert_eq!(client.run("MTTIME k"), nil());
    client.run("MTSET k w 700");

    // A key that moves leaves its entry behind and meets none.
    client.run("SELECT 0");
    client.run("MTSET moving v 500");
    client.run("SELECT 1");
    client.run("HSET MY_KEYSMTIME moving 900");
    client.run("SELECT 0");
    assert_eq!(client.run("MOVE moving 1"), int(1));
    client.run("SELECT 0");
    assert_eq!(client.run("HEXISTS MY_KEYSMTIME moving"), int(0));
    client.run("SELECT 1");
    assert_eq!(client.run("MTGET moving 900 WITHMTIME"), untracked("v"));
    client.run("SELECT 0");
    client.run("MTSET copied v 500");
    assert_eq!(client.run("COPY copied k DB 1 REPLACE"), int(1));
    client.run("SELECT 0");
    assert_eq!(client.run("MTTIME copied"), bulk("500"));
    client.run("SELECT 1");
    assert_eq!(client.run("MTGET k 700 WITHMTIME"), untracked("v"));

    // SWAPDB takes keys and index together.
    client.run("FLUSHALL");
    client.run("SELECT 0");
    client.run("MTSET k zero 500");
    client.run("SELECT 1");
    client.run("MTSET k one 600");
    assert_eq!(client.run("SWAPDB 0 1"), ok());
    assert_eq!(client.run("MTGET k 500 WITHMTIME"), not_modified("500"));
    client.run("SELECT 0");
    assert_eq!(client.run("MTGET k 599"), bulk("one"));
    client.run("FLUSHDB");
    assert_eq!(client.run("MTGET k 0"), nil());
    assert_eq!(client.run("MTSET k again 1"), ok());
    assert_eq!(encoding(&mut client), "hashtable");
    client.run("SELECT 1");
    assert_eq!(client.run("MTTIME k"), bulk("500"));
}

#[test]
fn a_client_stays_in_its_database_whatever_the_module_hears() {
    if !clients_stay_in_their_database() {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    client.run("SELECT 2");
    for line in ["MTSET k v 500", "COPY k l DB 3", "MOVE k 3", "MTSET m v 500", "SWAPDB 3 4", "EXPIRE m 100"]
    {
        assert!(!client.run(line).is_error(), "{line}");
        assert!(client.run("CLIENT INFO").into_text().contains(" db=2 "), "{line}");
    }
}

/// After any of these no reader is told "not modified" unless an entry says so, and the next write makes a good index.
#[test]
fn an_index_that_vanishes_makes_everything_untracked() {
    if has_no_index("the index as a key") {
        return;
    }
    for line in [
        "DEL MY_KEYSMTIME",
        "UNLINK MY_KEYSMTIME",
        "RENAME MY_KEYSMTIME elsewhere",
        "RENAMENX MY_KEYSMTIME elsewhere",
        "MOVE MY_KEYSMTIME 1",
        "PEXPIREAT MY_KEYSMTIME 1",
        "HDEL MY_KEYSMTIME k l",
        "EVAL redis.call('DEL',KEYS[1]) 1 MY_KEYSMTIME",
    ] {
        let server = Server::start();
        let mut client = server.client();
        client.run("MTSET k v 500");
        client.run("MTSET l v 500");
        client.run(line);
        client.run("SELECT 0");
        assert_eq!(client.run("MTGET k 500 WITHMTIME"), untracked("v"), "{line}");
        assert_eq!(client.run("MTMGET k 500").into_items(), [untracked("v")], "{line}");
        assert_eq!(client.run("MTTIME k"), nil(), "{line}");
        assert_eq!(client.run("MTCLEAN 0").into_items()[1], int(0), "{line}");
        assert_eq!(client.run("MTTOUCH k 600 IFNEWER"), int(1), "{line}: untracked keys take any mtime");
        assert_eq!(encoding(&mut client), "hashtable", "{line}");
        assert_eq!(index_entries(&mut client).len(), 1, "{line}");
        assert_eq!(client.run("MTGET k 600"), nil(), "{line}");
    }
}

#[test]
fn an_index_that_is_replaced_is_believed() {
    if has_no_index("the index as a key") {
        return;
    }
    for (line, expected) in [
        ("RENAME other MY_KEYSMTIME", Some("700")),
        ("COPY other MY_KEYSMTIME REPLACE", Some("700")),
        ("HSET MY_KEYSMTIME k 700", Some("700")),
        ("HINCRBY MY_KEYSMTIME k 200", Some("700")),
        ("HSET MY_KEYSMTIME k garbage", None),
        ("HSET MY_KEYSMTIME k 7e2", Some("700")),
    ] {
        let server = Server::start();
        let mut client = server.client();
        client.run("MTSET k v 500");
        client.run("HSET other k 700");
        client.run(line);
        assert_eq!(client.run("MTTIME k"), expected.map_or_else(nil, bulk), "{line}");
        match expected {
            Some(mtime) => assert_eq!(client.run("MTGET k 700 WITHMTIME"), not_modified(mtime), "{line}"),
            None => assert_eq!(client.run("MTGET k 700 WITHMTIME"), untracked("v"), "{line}"),
        }
        // Whoever made it, it is a hash table.
        assert_eq!(encoding(&mut client), "hashtable", "{line}");
        client.run("SET k w");
        assert_eq!(client.run("MTGET k 700"), bulk("w"), "{line}");
    }
}

#[test]
fn an_index_that_comes_back_from_a_dump_is_believed() {
    if has_no_index("the index as a key") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 500");
    let dump = call!(client, "DUMP", INDEX).into_bytes();
    client.run("DEL MY_KEYSMTIME");
    assert_eq!(client.run("MTTIME k"), nil());
    assert_eq!(call!(client, "RESTORE", INDEX, 0, dump), ok());
    assert_eq!(client.run("MTTIME k"), bulk("500"));
    assert_eq!(encoding(&mut client), "hashtable");
    client.run("MTSET k v 600");
    assert_eq!(call!(client, "RESTORE", INDEX, 0, dump, "REPLACE"), ok());
    assert_eq!(client.run("MTGET k 500 WITHMTIME"), not_modified("500"));
    assert_eq!(encoding(&mut client), "hashtable");
}

#[test]
fn an_index_replaced_by_a_string_refuses_writes_until_it_is_gone() {
    if has_no_index("the index as a key") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 500");
    client.run("SET MY_KEYSMTIME oops");
    for line in ["MTSET k w 600", "MTTOUCH k 600", "MTDEL k", "MTCLEAN 0"] {
        assert_eq!(client.run(line), Reply::Error(NO_HASH.to_owned()), "{line}");
    }
    assert_eq!(client.run("MTGET k 500 WITHMTIME"), untracked("v"));
    for line in ["SET k w", "APPEND k x", "DEL k", "SET k v"] {
        assert!(!client.run(line).is_error(), "foreign writes go on: {line}");
    }
    client.run("DEL MY_KEYSMTIME");
    assert_eq!(client.run("MTSET k w 600"), ok());
    assert_eq!(encoding(&mut client), "hashtable");
    assert_eq!(client.run("MTGET k 600"), nil());
}

#[test]
fn an_index_with_a_ttl_keeps_it_and_then_is_gone() {
    if has_no_index("the index as a key") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 500");
    client.run("EXPIRE MY_KEYSMTIME 1000");
    client.run("MTSET l v 500");
    let left = client.run("TTL MY_KEYSMTIME").into_int();
    assert!((900..=1000).contains(&left), "our writes are HSETs, which keep a TTL: {left}");
    client.run("PEXPIRE MY_KEYSMTIME 1");
    wait::until("its end", || (client.run("EXISTS MY_KEYSMTIME") == int(0)).then_some(()));
    assert_eq!(client.run("MTGET l 500"), bulk("v"));
    assert_eq!(client.run("MTSET l v 600"), ok());
    assert_eq!(client.run("TTL MY_KEYSMTIME"), int(-1));
    assert_eq!(encoding(&mut client), "hashtable");
}

/// Newer servers give single fields a TTL.
#[test]
fn an_entry_with_a_ttl_of_its_own() {
    if has_no_index("the index as a key") {
        return;
    }
    let master = Server::builder().tcp().with(AOF).start();
    if !master.has("TTLs of hash fields", (7, 4), (9, 0)) {
        return;
    }
    let replica = Server::replica_of(&master, Server::builder());
    let without = Server::replica_of(&master, Server::builder().without_module());
    let mut client = master.client();
    for key in ["a", "b", "c", "d"] {
        call!(client, "MTSET", key, "v", 500);
    }
    client.run("HPEXPIRE MY_KEYSMTIME 1 FIELDS 2 a b");
    client.run("HEXPIRE MY_KEYSMTIME 1000 FIELDS 2 c d");
    let end = client.clock_us() + 5_000;
    wait::until("the fields to expire", || (client.clock_us() > end).then_some(()));
    assert_eq!(client.run("MTGET a 500 WITHMTIME"), untracked("v"));
    assert_eq!(client.run("MTTIME b"), nil());
    client.run("SET a w");
    assert_eq!(client.run("MTSET b w 600 IFNEWER"), ok());
    assert_eq!(client.run("MTGET b 600 WITHMTIME"), not_modified("600"));
    // As HSET: a new entry has no TTL.
    assert_eq!(client.run("MTSET c w 600"), ok());
    assert_eq!(client.run("HTTL MY_KEYSMTIME FIELDS 2 c d").into_items()[0], int(-1));
    client.run("SET d w");
    assert_eq!(client.run("MTGET d 500 WITHMTIME"), untracked("w"));
    let before = databases(&mut client);
    for replica in [&replica, &without] {
        replica.sync_with(&master);
        let after = databases(&mut replica.client());
        assert!(before == after, "{}", differences(&before, &after));
    }
    // The last field of all.
    for key in ["a", "b", "c", "d"] {
        call!(client, "DEL", key);
    }
    call!(client, "MTSET", "a", "v", 500);
    client.run("HPEXPIRE MY_KEYSMTIME 1 FIELDS 1 a");
    let end = client.clock_us() + 5_000;
    wait::until("the field to expire", || (client.clock_us() > end).then_some(()));
    for line in ["MTGET a 500", "MTTIME a", "MTMGET a 500", "SET a w", "MTCLEAN 0", "MTSET a v 500", "DEL a"]
    {
        assert!(!client.run(line).is_error(), "{line}");
    }
    replica.sync_with(&master);
    let (before, after) = (databases(&mut client), databases(&mut replica.client()));
    assert!(before == after, "{}", differences(&before, &after));
}

/// Somebody keeps a copy of the index, under a name that is itself tracked. A drop of that name's entry would come before
/// the COPY in the stream and after it here, so the entry stays, until something else happens to the key.
#[test]
fn a_copy_of_the_index_is_the_same_on_replicas_and_in_the_aof() {
    if has_no_index("the index as a key") {
        return;
    }
    let master = Server::builder().tcp().with(AOF).start();
    let with = Server::replica_of(&master, Server::builder());
    let without = Server::replica_of(&master, Server::builder().without_module());
    let mut client = master.client();
    let same = |client: &mut Client, when: &str| {
        let before = databases(client);
        for replica in [&with, &without] {
            replica.sync_with(&master);
            let after = databases(&mut replica.client());
            assert!(before == after, "a replica {when}:\n{}", differences(&before, &after));
        }
        assert_eq!(client.run("DEBUG LOADAOF"), ok());
        let after = databases(client);
        assert!(before == after, "the AOF {when}:\n{}", differences(&before, &after));
    };
    for line in
        ["SET backup w", "DEL backup", "MTSET backup w 600 IFNEWER", "UNLINK backup", "RENAME k backup"]
    {
        client.run("FLUSHALL");
        client.run("MTSET k v 500");
        client.run("MTSET backup v 500");
        assert_eq!(client.run("COPY MY_KEYSMTIME backup REPLACE"), int(1));
        assert_eq!(call!(client, "HLEN", "backup"), int(2), "as the index was");
        same(&mut client, "after the copy");
        // What is a hash is no answer.
        assert!(client.run("MTGET backup 500").is_error());
        assert_eq!(client.run("MTMGET backup 500").into_items(), [nil()]);
        assert!(!client.run(line).is_error(), "{line}");
        let tracked = line.starts_with("MTSET");
        assert_eq!(call!(client, "HEXISTS", INDEX, "backup"), int(i64::from(tracked)), "{line}");
        same(&mut client, &format!("after {line}"));
    }
    // A copy of something else is as any foreign write, and MTCLEAN removes what stayed.
    client.run("MTSET l v 500");
    client.run("MTSET backup v 500");
    assert_eq!(client.run("COPY l backup REPLACE"), int(1));
    assert_eq!(client.run("MTGET backup 500 WITHMTIME"), untracked("v"));
    client.run("MTSET backup v 500");
    assert_eq!(client.run("COPY MY_KEYSMTIME backup REPLACE"), int(1));
    assert_eq!(client.run("MTCLEAN 0 COUNT 1000").into_items()[1], int(1));
    same(&mut client, "after MTCLEAN");
}
