//! What watchers see: keyspace events, WATCH, client-side caching.

use crate::support::client::{Client, Reply, call, int, nil, ok, words};
use crate::support::dataset::dirty;
use crate::support::module;
use crate::support::server::Server;

/// The keyspace events of one command as `event key` lines.
struct Listener {
    client: Client,
}

impl Listener {
    fn on(server: &Server) -> Self {
        let mut client = server.resp3();
        client.send("PSUBSCRIBE __keyevent@*__:*");
        client.pushes();
        Self { client }
    }

    fn take(&mut self) -> Vec<String> {
        self.client
            .pushes()
            .into_iter()
            .map(|(_, data)| {
                let channel = data[1].clone().into_text();
                let (_, event) = channel.split_once(':').expect("a keyevent channel");
                format!("{event} {}", data[2].clone().into_text())
            })
            .collect()
    }
}

/// Events about the application's keys; what the index's own hash does is told apart.
fn about_keys(events: Vec<String>) -> Vec<String> {
    events.into_iter().filter(|line| !line.ends_with(" MY_KEYSMTIME")).collect()
}

#[test]
fn writes_fire_the_events_of_the_core_commands() {
    let server = Server::with(&["notify-keyspace-events EA"]);
    let mut listener = Listener::on(&server);
    let mut client = server.client();
    for (line, expected) in [
        ("MTSET k v 5", vec!["set k"]),
        ("MTSET k v 6 IFNEWER", vec!["set k"]),
        ("MTSET k v * XX", vec!["set k"]),
        ("MTSET k v 6 EX 100", vec!["set k", "expire k"]),
        ("MTSET k v 6 PX 100000", vec!["set k", "expire k"]),
        ("MTSET k v 6 EXAT 4102444800", vec!["set k", "expire k"]),
        ("MTSET k v 6 PXAT 4102444800000", vec!["set k", "expire k"]),
        ("MTSET k v 7 KEEPTTL", vec!["set k"]),
        ("MTTOUCH k 8", vec![]),
        ("MTDEL k", vec!["del k"]),
    ] {
        client.run(line);
        assert_eq!(about_keys(listener.take()), expected, "{line}");
    }
}

#[test]
fn set_and_mtset_fire_the_same_events() {
    let server = Server::with(&["notify-keyspace-events EA"]);
    let mut listener = Listener::on(&server);
    let mut client = server.client();
    for options in ["", "EX 100", "PX 100000", "EXAT 4102444800", "PXAT 4102444800000", "KEEPTTL", "NX", "XX"]
    {
        for prepare in ["DEL k", "SET k v", "SET k v EX 50", "RPUSH k a"] {
            client.run("FLUSHALL");
            client.run(prepare);
            listener.take();
            client.run(&format!("SET k w {options}"));
            let theirs = listener.take();
            client.run("FLUSHALL");
            client.run(prepare);
            listener.take();
            client.run(&format!("MTSET k w 5 {options}"));
            assert_eq!(about_keys(listener.take()), theirs, "{prepare}, then with {options:?}");
        }
    }
}

#[test]
fn what_is_refused_fires_nothing_and_dirties_nothing() {
    let server = Server::with(&["notify-keyspace-events EA"]);
    let mut client = server.client();
    client.run("MTSET k v 100 EX 1000");
    client.run("RPUSH list a");
    let mut listener = Listener::on(&server);
    let before = dirty(&mut client);
    for line in [
        "MTSET k w 100 IFNEWER",
        "MTSET k w 200 IFEQ 5",
        "MTSET k w 200 NX EX 5",
        "MTSET nokey w 200 XX",
        "MTSET nokey w 200 IFEQ 5",
        "MTSET k w abc",
        "MTSET k w 5 EX 0",
        "MTTOUCH k 100 IFNEWER",
        "MTTOUCH nokey 100",
        "MTTOUCH list 100",
        "MTDEL k IFEQ 5",
        "MTDEL nokey",
        "MTDEL list",
    ] {
        client.run(line);
        assert_eq!(listener.take(), Vec::<String>::new(), "{line}");
        assert_eq!(dirty(&mut client), before, "{line}");
    }
}

#[test]
fn every_write_moves_the_dirty_counter() {
    let server = Server::start();
    let mut client = server.client();
    for line in ["MTSET k v 5", "MTSET k v 5", "MTSET k v 6 EX 100 XX", "MTTOUCH k 7", "MTDEL k"] {
        let before = dirty(&mut client);
        client.run(line);
        assert!(dirty(&mut client) > before, "{line}");
    }
}

/// Whether a transaction that watches `k` still runs after `line` from somebody else.
fn transaction_survives(watcher: &mut Client, other: &mut Client, line: &str) -> bool {
    assert_eq!(watcher.run("WATCH k"), ok());
    other.run(line);
    watcher.run("MULTI");
    watcher.run("PING");
    let outcome = watcher.run("EXEC");
    if outcome == nil() {
        return false;
    }
    assert_eq!(outcome.into_items().len(), 1);
    true
}

#[test]
fn a_write_breaks_watch() {
    let server = Server::start();
    let (mut watcher, mut other) = (server.client(), server.client());
    for line in [
        "MTSET k v 5",
        "MTSET k v 5",
        "MTSET k v 6 IFNEWER EX 100",
        "MTSET k v 7 KEEPTTL",
        "MTSET k v *",
        "MTTOUCH k 8",
        "MTTOUCH k 7 IFEQ 8",
        "MTDEL k",
        "MTSET k v 5 NX",
        "MTDEL k IFEQ 5",
    ] {
        assert!(!transaction_survives(&mut watcher, &mut other, line), "{line}");
    }
}

#[test]
fn reads_refusals_and_other_keys_do_not_break_watch() {
    let server = Server::start();
    let (mut watcher, mut other) = (server.client(), server.client());
    for value in ["7", "short", &"x".repeat(200)] {
        call!(other, "MTSET", "k", value, 100);
        for line in [
            "MTGET k 1",
            "MTGET k 100",
            "MTGET k 1 EXACT WITHMTIME",
            "MTMGET k 1 k 100",
            "MTTIME k",
            "MTSET k w 100 IFNEWER",
            "MTSET k w 100 IFEQ 5",
            "MTSET k w 100 NX",
            "MTSET k w abc",
            "MTTOUCH k 100 IFNEWER",
            "MTTOUCH k 100 IFEQ 5",
            "MTDEL k IFNEWER 100",
            "MTDEL k IFEQ 5",
            "MTSET other w 5",
            "MTDEL other",
        ] {
            assert!(transaction_survives(&mut watcher, &mut other, line), "{line} of {value}");
        }
    }
}

#[test]
fn a_write_to_a_missing_key_breaks_the_watch_of_its_absence() {
    let server = Server::start();
    let (mut watcher, mut other) = (server.client(), server.client());
    assert!(transaction_survives(&mut watcher, &mut other, "MTGET k 5"));
    assert!(transaction_survives(&mut watcher, &mut other, "MTTOUCH k 5"));
    assert!(!transaction_survives(&mut watcher, &mut other, "MTSET k v 5"));
}

#[test]
fn reads_are_tracked_for_client_side_caching() {
    let server = Server::start();
    let mut other = server.client();
    for value in ["7", "short", &"x".repeat(200)] {
        for read in [
            "GET k",
            "MTGET k 1",
            "MTGET k 100",
            "MTGET k 100 WITHMTIME",
            "MTGET k 1 EXACT",
            "MTMGET k 100",
            "MTMGET other 1 k 1",
            "MTTIME k",
        ] {
            call!(other, "MTSET", "k", value, 100);
            let mut caching = server.resp3();
            assert_eq!(caching.run("CLIENT TRACKING ON"), ok());
            caching.run(read);
            assert_eq!(caching.invalidated(), Vec::<String>::new(), "{read}: too early");
            other.run("SET k changed");
            assert_eq!(caching.invalidated(), ["k"], "{read} of {value}");
        }
    }
}

#[test]
fn every_key_of_mtmget_is_tracked() {
    let server = Server::start();
    let mut other = server.client();
    let mut caching = server.resp3();
    caching.run("CLIENT TRACKING ON");
    caching.run("MTMGET a 1 b 2 c 3");
    for key in ["a", "b", "c"] {
        call!(other, "SET", key, "v");
        assert_eq!(caching.invalidated(), [key]);
    }
    // The sinces are no keys.
    call!(other, "SET", "1", "v");
    assert_eq!(caching.invalidated(), Vec::<String>::new());
}

#[test]
fn writes_invalidate_caches() {
    let server = Server::start();
    let mut other = server.client();
    other.run("MTSET k v 1");
    for line in [
        "MTSET k v 5",
        "MTSET k v 6 IFNEWER EX 100",
        "MTSET k v *",
        "MTTOUCH k 8",
        "MTTOUCH k 9 IFEQ 8",
        "MTDEL k",
        "MTSET k v 5 NX",
        "MTDEL k IFEQ 5",
    ] {
        for read in ["GET k", "MTGET k 0"] {
            let mut caching = server.resp3();
            caching.run("CLIENT TRACKING ON");
            caching.run(read);
            // The second round finds the state the first one left; what matters is what is told.
            let outcome = other.run(line);
            let told = caching.invalidated();
            if outcome != nil() && outcome != int(0) {
                assert_eq!(told, ["k"], "{line} after {read}");
            }
        }
    }
}

#[test]
fn refusals_invalidate_no_cache() {
    let server = Server::start();
    let mut other = server.client();
    other.run("MTSET k v 100");
    let mut caching = server.resp3();
    caching.run("CLIENT TRACKING ON");
    caching.run("MTGET k 0");
    for line in [
        "MTSET k w 100 IFNEWER",
        "MTSET k w 100 IFEQ 5",
        "MTSET k w 100 NX",
        "MTSET k w abc",
        "MTTOUCH k 100 IFNEWER",
        "MTDEL k IFEQ 5",
        "MTGET k 5",
    ] {
        other.run(line);
        assert_eq!(caching.invalidated(), Vec::<String>::new(), "{line}");
    }
}

#[test]
fn broadcasting_tells_of_mt_writes() {
    let server = Server::start();
    let mut other = server.client();
    let mut caching = server.resp3();
    caching.run("CLIENT TRACKING ON BCAST PREFIX k");
    for line in ["MTSET k1 v 5", "MTTOUCH k1 6", "MTDEL k1"] {
        other.run(line);
        // Broadcasts are sent once per turn of the event loop, after the replies.
        let mut told = caching.invalidated();
        told.extend(caching.invalidated());
        assert_eq!(told, ["k1"], "{line}");
    }
}

#[test]
fn events_come_after_both_changes_are_there() {
    let server = Server::with(&["notify-keyspace-events EA"]);
    let mut client = server.client();
    let mut listener = Listener::on(&server);
    let replies = client.pipeline(&["MULTI", "MTSET k v 5", "MTGET k 4", "EXEC"].map(words));
    assert_eq!(replies[3], Reply::Array(vec![ok(), Reply::Bulk(b"v".to_vec())]));
    assert_eq!(about_keys(listener.take()), ["set k"]);
}

#[test]
fn events_come_as_soon_as_the_setting_lets_them_out() {
    let server = Server::start();
    let mut listener = Listener::on(&server);
    let mut client = server.client();
    client.run("MTSET k v 5");
    assert_eq!(listener.take(), Vec::<String>::new());
    client.run("CONFIG SET notify-keyspace-events EA");
    client.run("MTSET k v 6 EX 100");
    client.run("MTDEL k");
    assert_eq!(about_keys(listener.take()), ["set k", "expire k", "del k"]);
    // In one transaction with the writes.
    assert_eq!(call!(client, "CONFIG", "SET", "notify-keyspace-events", ""), ok());
    for line in ["MULTI", "MTSET k v 5", "CONFIG SET notify-keyspace-events EA", "MTSET k v 6", "EXEC"] {
        assert!(!client.run(line).is_error(), "{line}");
    }
    assert_eq!(about_keys(listener.take()), ["set k"]);
}

#[test]
fn another_module_hears_our_events() {
    let loadmodule = format!("loadmodule {}", module::listener());
    let earlier = Server::with(&[&loadmodule]);
    let later = Server::start();
    let mut client = later.client();
    client.run("MTSET k v 5");
    assert_eq!(client.run(&format!("MODULE LOAD {}", module::listener())), ok());
    for server in [earlier, later] {
        let mut client = server.client();
        for (line, heard) in [("MTSET k v 6", 1), ("MTSET k v 7 EX 100", 3), ("MTDEL k", 4)] {
            client.run(line);
            assert_eq!(client.run("LISTENER.COUNT"), int(heard), "{line}");
        }
    }
}
