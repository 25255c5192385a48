//! The configuration: in redis.conf, by CONFIG GET, SET and REWRITE, and by MODULE LOADEX.

use crate::support::client::{Client, Reply, bulk, call, error, nil, ok};
use crate::support::module;
use crate::support::server::Server;
use crate::support::storage::{has_no_index, is_keymeta};
use std::fs;

fn get(client: &mut Client, name: &str) -> Option<String> {
    call!(client, "CONFIG", "GET", name).field(name).map(Reply::into_text)
}

#[test]
fn defaults() {
    let server = Server::start();
    let mut client = server.client();
    for (name, value) in [
        ("mtime.index-key", "MY_KEYSMTIME"),
        ("mtime.clock-unit", "ms"),
        ("mtime.invalidate-on-write", "yes"),
        ("mtime.storage", if is_keymeta() { "keymeta" } else { "hash" }),
    ] {
        assert_eq!(get(&mut client, name).as_deref(), Some(value), "{name}");
    }
}

#[test]
fn values_from_the_configuration_file() {
    let server = Server::with(&[
        "mtime.index-key times",
        "mtime.clock-unit us",
        "mtime.invalidate-on-write no",
        "mtime.storage hash",
    ]);
    let mut client = server.client();
    for (name, value) in [
        ("mtime.index-key", "times"),
        ("mtime.clock-unit", "us"),
        ("mtime.invalidate-on-write", "no"),
        ("mtime.storage", "hash"),
    ] {
        assert_eq!(get(&mut client, name).as_deref(), Some(value), "{name}");
    }
    client.run("MTSET k v 5");
    assert_eq!(client.run("HGET times k"), bulk("5"));
}

#[test]
fn what_is_immutable_stays() {
    let server = Server::start();
    let mut client = server.client();
    for (name, value) in [("mtime.index-key", "other"), ("mtime.storage", "keymeta")] {
        let before = get(&mut client, name);
        let reply = call!(client, "CONFIG", "SET", name, value);
        assert!(format!("{reply:?}").contains("immutable"), "{name}: {reply:?}");
        assert_eq!(get(&mut client, name), before, "{name}");
    }
}

#[test]
fn what_is_mutable_changes_and_refuses_nonsense() {
    let server = Server::start();
    let mut client = server.client();
    for (name, good, bad) in [
        ("mtime.clock-unit", vec!["s", "us", "ms"], vec!["ns", "", "0"]),
        ("mtime.invalidate-on-write", vec!["no", "yes"], vec!["maybe", "2", ""]),
    ] {
        for value in good {
            assert_eq!(call!(client, "CONFIG", "SET", name, value), ok(), "{name} {value}");
            assert_eq!(get(&mut client, name).as_deref(), Some(value));
        }
        let before = get(&mut client, name);
        for value in bad {
            let reply = call!(client, "CONFIG", "SET", name, value);
            assert!(reply.is_error(), "{name} {value:?}: {reply:?}");
            assert_eq!(get(&mut client, name), before);
        }
    }
}

#[test]
fn rewrite_survives_a_restart() {
    let mut server = Server::with(&["mtime.index-key times"]);
    let mut client = server.client();
    client.run("CONFIG SET mtime.clock-unit s");
    assert_eq!(client.run("CONFIG REWRITE"), ok());
    let written = fs::read_to_string(server.directory().join("redis.conf")).expect("a configuration file");
    assert!(written.contains("mtime.clock-unit s"), "{written}");
    assert!(written.contains("mtime.index-key"), "{written}");
    server.restart_as_rewritten();
    let mut client = server.client();
    assert_eq!(get(&mut client, "mtime.clock-unit").as_deref(), Some("s"));
    assert_eq!(get(&mut client, "mtime.index-key").as_deref(), Some("times"));
}

#[test]
fn values_from_loadex() {
    let server = Server::plain();
    let mut client = server.client();
    let path = module::path();
    assert_eq!(
        call!(
            client,
            "MODULE",
            "LOADEX",
            path,
            "CONFIG",
            "mtime.index-key",
            "times",
            "CONFIG",
            "mtime.clock-unit",
            "s"
        ),
        ok()
    );
    assert_eq!(get(&mut client, "mtime.index-key").as_deref(), Some("times"));
    assert_eq!(client.run("MTSET k v 5"), ok());
    assert_eq!(client.run("HGET times k"), bulk("5"));
}

#[test]
fn loadex_with_nonsense_is_refused_and_the_server_lives() {
    let path = module::path();
    for (name, value) in [("mtime.clock-unit", "ns"), ("mtime.storage", "disk"), ("mtime.nonsense", "1")] {
        let server = Server::plain();
        let mut client = server.client();
        let reply = call!(client, "MODULE", "LOADEX", path, "CONFIG", name, value);
        assert!(reply.is_error(), "{name} {value}: {reply:?}");
        assert_eq!(client.run("PING").into_text(), "PONG");
        assert!(client.run("MTGET k 1").is_error(), "the module is not there");
        assert_eq!(call!(client, "MODULE", "LOADEX", path), ok(), "and can still be loaded");
        assert_eq!(client.run("MTGET k 1"), nil());
    }
}

#[test]
fn an_index_key_of_odd_bytes_works() {
    if has_no_index("the name of the index") {
        return;
    }
    let server = Server::with(&[r#"mtime.index-key "a b\xff""#]);
    let mut client = server.client();
    assert_eq!(client.run("MTSET k v 5"), ok());
    assert_eq!(client.run("MTGET k 4"), bulk("v"));
    assert_eq!(call!(client, "HGET", b"a b\xff", "k"), bulk("5"));
    assert_eq!(call!(client, "MTGET", b"a b\xff", 4), error(crate::support::errors::RESERVED));
}
