//! `MTTOUCH key mtime [IFNEWER | IFEQ m]`.

use crate::support::client::{BOTH_PROTOCOLS, bulk, call, error, int, nil};
use crate::support::dataset::{stored, unchanged};
use crate::support::errors::{NOT_AN_MTIME, RESERVED, SYNTAX, WRONG_TYPE, wrong_arity};
use crate::support::server::Server;
use crate::support::storage::is_keymeta;

#[test]
fn sets_the_mtime_and_leaves_value_and_ttl() {
    let server = Server::start();
    for protocol in BOTH_PROTOCOLS {
        let mut client = server.client_speaking(protocol);
        client.run("MTSET k v 100 PXAT 4102444800000");
        assert_eq!(client.run("MTTOUCH k 50"), int(1), "without a condition it may go back");
        assert_eq!(client.run("MTTIME k"), bulk("50"));
        assert_eq!(client.run("GET k"), bulk("v"));
        assert_eq!(client.run("PEXPIRETIME k"), int(4_102_444_800_000));
        assert_eq!(client.run("MTGET k 50"), nil());
        assert_eq!(client.run("MTGET k 49"), bulk("v"));
    }
}

#[test]
fn begins_to_track_an_untracked_key() {
    let server = Server::start();
    let mut client = server.client();
    client.run("SET k v");
    assert_eq!(client.run("MTTOUCH k 5"), int(1));
    assert_eq!(client.run("MTTIME k"), bulk("5"));
    client.run("SET other v");
    assert_eq!(client.run("MTTOUCH other 5 IFNEWER"), int(1));
    assert_eq!(client.run("MTTIME other"), bulk("5"));
    if is_keymeta() {
        client.run("SETRANGE k 0 v");
    } else {
        call!(client, "HSET", "MY_KEYSMTIME", "k", "garbage");
    }
    assert_eq!(client.run("MTTOUCH k 1 IFNEWER"), int(1));
    assert_eq!(client.run("MTTIME k"), bulk("1"));
}

#[test]
fn stores_canonical_text() {
    let server = Server::start();
    let mut client = server.client();
    client.run("SET k v");
    assert_eq!(client.run("MTTOUCH k 1e3"), int(1));
    assert_eq!(stored(&mut client, "k"), bulk("1000"));
}

#[test]
fn keeps_the_encoding_of_the_value() {
    let server = Server::start();
    let mut client = server.client();
    for value in ["42", "short", &"x".repeat(44), &"x".repeat(200)] {
        call!(client, "MTSET", "k", value, 5);
        let before = (client.run("OBJECT ENCODING k"), client.run("MEMORY USAGE k"));
        assert_eq!(client.run("MTTOUCH k 6"), int(1));
        assert_eq!((client.run("OBJECT ENCODING k"), client.run("MEMORY USAGE k")), before, "{value}");
    }
}

#[test]
fn a_missing_key_is_not_created() {
    let server = Server::start();
    let mut client = server.client();
    for line in ["MTTOUCH k 5", "MTTOUCH k 5 IFNEWER", "MTTOUCH k 5 IFEQ 4"] {
        assert_eq!(unchanged(&mut client, |c| c.run(line)), int(0), "{line}");
    }
    client.run("HSET MY_KEYSMTIME k 4");
    for line in ["MTTOUCH k 5", "MTTOUCH k 5 IFNEWER", "MTTOUCH k 5 IFEQ 4"] {
        assert_eq!(unchanged(&mut client, |c| c.run(line)), int(0), "{line} with an entry left behind");
    }
}

#[test]
fn conditions_refuse_with_0() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    for line in ["MTTOUCH k 99 IFNEWER", "MTTOUCH k 100 IFNEWER", "MTTOUCH k 200 IFEQ 99"] {
        assert_eq!(unchanged(&mut client, |c| c.run(line)), int(0), "{line}");
    }
    assert_eq!(client.run("MTTOUCH k 101 ifnewer"), int(1));
    assert_eq!(client.run("MTTOUCH k 5 IfEq 101.0"), int(1));
    assert_eq!(client.run("MTTIME k"), bulk("5"));
    client.run("SET plain p");
    assert_eq!(unchanged(&mut client, |c| c.run("MTTOUCH plain 5 IFEQ 5")), int(0));
}

#[test]
fn errors_change_nothing() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    client.run("RPUSH list a");
    for (line, expected) in [
        ("MTTOUCH k abc", NOT_AN_MTIME),
        ("MTTOUCH nokey abc", NOT_AN_MTIME),
        ("MTTOUCH list 5", WRONG_TYPE),
        ("MTTOUCH list 5 IFEQ 4", WRONG_TYPE),
        ("MTTOUCH MY_KEYSMTIME 5", RESERVED),
        ("MTTOUCH k 5 NX", SYNTAX),
        ("MTTOUCH k 5 XX", SYNTAX),
        ("MTTOUCH k 5 EX 10", SYNTAX),
        ("MTTOUCH k 5 IFNEWER IFNEWER", SYNTAX),
        ("MTTOUCH k 5 IFNEWER IFEQ 5", SYNTAX),
        ("MTTOUCH k 5 IFEQ 5 IFEQ 5", SYNTAX),
        ("MTTOUCH k 5 IFNEWER 5", SYNTAX),
    ] {
        assert_eq!(unchanged(&mut client, |c| c.run(line)), error(expected), "{line}");
    }
    for line in ["MTTOUCH", "MTTOUCH k"] {
        assert_eq!(client.run(line), error(&wrong_arity("mttouch")), "{line}");
    }
}
