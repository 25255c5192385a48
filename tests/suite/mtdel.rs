//! `MTDEL key [IFNEWER m | IFEQ m]`.

use crate::support::client::{BOTH_PROTOCOLS, bulk, error, int, nil};
use crate::support::dataset::{index_entries, unchanged};
use crate::support::errors::{NOT_AN_MTIME, RESERVED, SYNTAX, WRONG_TYPE, wrong_arity};
use crate::support::server::Server;

#[test]
fn removes_key_and_entry() {
    let server = Server::start();
    for protocol in BOTH_PROTOCOLS {
        let mut client = server.client_speaking(protocol);
        client.run("MTSET k v 100");
        client.run("MTSET other v 5");
        assert_eq!(client.run("MTDEL k"), int(1));
        assert_eq!(client.run("EXISTS k"), int(0));
        assert_eq!(client.run("HEXISTS MY_KEYSMTIME k"), int(0));
        assert_eq!(client.run("MTTIME other"), bulk("5"));
        assert_eq!(unchanged(&mut client, |c| c.run("MTDEL k")), int(0));
    }
}

#[test]
fn the_last_entry_takes_the_index_with_it() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    assert_eq!(client.run("MTDEL k"), int(1));
    assert_eq!(client.run("DBSIZE"), int(0));
    assert!(index_entries(&mut client).is_empty());
    assert_eq!(client.run("MTGET k 0"), nil());
}

#[test]
fn removes_an_untracked_key_too() {
    let server = Server::start();
    let mut client = server.client();
    client.run("SET k v");
    assert_eq!(client.run("MTDEL k"), int(1));
    assert_eq!(client.run("DBSIZE"), int(0));
    client.run("SET k v");
    assert_eq!(unchanged(&mut client, |c| c.run("MTDEL k IFEQ 5")), int(0));
    assert_eq!(client.run("MTDEL k IFNEWER -5"), int(1), "untracked is older than everything");
}

#[test]
fn ifnewer_removes_what_is_older() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    assert_eq!(unchanged(&mut client, |c| c.run("MTDEL k IFNEWER 99")), int(0));
    assert_eq!(unchanged(&mut client, |c| c.run("MTDEL k IFNEWER 100")), int(0), "equal is not older");
    assert_eq!(client.run("MTDEL k ifnewer 100.5"), int(1));
    assert_eq!(client.run("EXISTS k"), int(0));
}

#[test]
fn ifeq_removes_only_that_version() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    assert_eq!(unchanged(&mut client, |c| c.run("MTDEL k IFEQ 99")), int(0));
    assert_eq!(client.run("MTDEL k ifeq 1e2"), int(1));
    client.run("HSET MY_KEYSMTIME k 5");
    assert_eq!(client.run("MTDEL k IFEQ 5"), int(0), "an entry that outlived its key");
}

#[test]
fn errors_change_nothing() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    client.run("RPUSH list a");
    for (line, expected) in [
        ("MTDEL list", WRONG_TYPE),
        ("MTDEL list IFEQ 5", WRONG_TYPE),
        ("MTDEL MY_KEYSMTIME", RESERVED),
        ("MTDEL MY_KEYSMTIME IFEQ 5", RESERVED),
        ("MTDEL k IFEQ abc", NOT_AN_MTIME),
        ("MTDEL k IFNEWER abc", NOT_AN_MTIME),
        ("MTDEL k FOO", SYNTAX),
        ("MTDEL k 5", SYNTAX),
        ("MTDEL k other", SYNTAX),
        ("MTDEL k NX", SYNTAX),
        ("MTDEL k IFEQ 100 IFEQ 100", SYNTAX),
        ("MTDEL k IFEQ 100 IFNEWER 200", SYNTAX),
        ("MTDEL k IFNEWER 200 IFNEWER 200", SYNTAX),
    ] {
        assert_eq!(unchanged(&mut client, |c| c.run(line)), error(expected), "{line}");
    }
    assert_eq!(client.run("MTDEL"), error(&wrong_arity("mtdel")));
}
