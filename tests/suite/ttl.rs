//! TTL options of MTSET: the results, the errors and the arithmetic are SET's.

use crate::support::client::{Client, Reply, bulk, call, error, int, nil, ok};
use crate::support::dataset::unchanged;
use crate::support::errors::{INVALID_EXPIRE, NOT_AN_INTEGER, SYNTAX};
use crate::support::server::Server;
use crate::support::storage::index_keys;
use crate::support::wait;

const FAR_SECONDS: i64 = 4_102_444_800;
const FAR: i64 = FAR_SECONDS * 1000;

#[test]
fn absolute_times_are_kept_to_the_millisecond() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(call!(client, "MTSET", "k", "v", 5, "PXAT", FAR + 123), ok());
    assert_eq!(client.run("PEXPIRETIME k"), int(FAR + 123));
    assert_eq!(call!(client, "MTSET", "k", "v", 5, "EXAT", FAR_SECONDS), ok());
    assert_eq!(client.run("PEXPIRETIME k"), int(FAR));
    assert_eq!(call!(client, "MTSET", "k", "v", 5, "exat", FAR_SECONDS + 1, "xx"), ok());
    assert_eq!(client.run("PEXPIRETIME k"), int(FAR + 1000));
}

#[test]
fn relative_times_count_from_the_servers_clock() {
    let server = Server::start();
    let mut client = server.client();
    for (option, amount, milliseconds) in [("EX", 1000_i64, 1_000_000), ("PX", 1_234_567, 1_234_567)] {
        // The server may use the time of its last event-loop turn.
        let before = client.clock_us() / 1000 - 1;
        assert_eq!(call!(client, "MTSET", "k", "v", 5, option, amount), ok());
        let after = client.clock_us() / 1000;
        let expiry = client.run("PEXPIRETIME k").into_int();
        assert!((before + milliseconds..=after + milliseconds).contains(&expiry), "{option}: {expiry}");
    }
}

#[test]
fn keepttl_keeps_what_there_is() {
    let server = Server::start();
    let mut client = server.client();
    call!(client, "MTSET", "k", "v", 5, "PXAT", FAR);
    assert_eq!(client.run("MTSET k w 6 KEEPTTL"), ok());
    assert_eq!(client.run("PEXPIRETIME k"), int(FAR));
    assert_eq!(client.run("MTSET k w 7 IFNEWER KEEPTTL"), ok());
    assert_eq!(client.run("PEXPIRETIME k"), int(FAR));
    assert_eq!(client.run("MTSET k w 8"), ok());
    assert_eq!(client.run("PEXPIRETIME k"), int(-1));
    assert_eq!(client.run("MTSET k w 9 KEEPTTL"), ok());
    assert_eq!(client.run("PEXPIRETIME k"), int(-1));
    assert_eq!(client.run("MTSET new w 9 KEEPTTL"), ok());
    assert_eq!(client.run("PEXPIRETIME new"), int(-1));
    client.run("RPUSH list a");
    call!(client, "PEXPIREAT", "list", FAR);
    assert_eq!(client.run("MTSET list w 9 KEEPTTL"), ok());
    assert_eq!(client.run("PEXPIRETIME list"), int(FAR), "also over another type, as SET");
}

#[test]
fn bad_times_are_refused_as_set_refuses_them() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    let amounts = [
        "0",
        "-1",
        "-9223372036854775808",
        "9223372036854775807",
        "9223372036854775",
        "9223372036854776",
        "92233720368547758",
        "9223372036854775808",
        "99999999999999999999",
        "abc",
        "",
        "1.5",
        "1e3",
        " 1",
        "1 ",
        "+1",
        "0x10",
        "01",
        "--1",
    ];
    for option in ["EX", "PX", "EXAT", "PXAT"] {
        for amount in amounts {
            let ours = |c: &mut Client| call!(c, "MTSET", "k", "w", 200, option, amount);
            let theirs = call!(client, "SET", "other", "w", option, amount);
            match &theirs {
                Reply::Error(line) => {
                    let expected = line.replace("'set'", "'mtset'");
                    assert!([INVALID_EXPIRE, NOT_AN_INTEGER].contains(&expected.as_str()), "{expected}");
                    assert_eq!(unchanged(&mut client, ours), error(&expected), "{option} {amount:?}");
                }
                _ => {
                    assert_eq!(ours(&mut client), theirs, "{option} {amount:?}");
                    client.run("MTSET k v 100");
                }
            }
            client.run("DEL other");
        }
    }
}

#[test]
fn a_condition_does_not_hide_a_bad_time() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    for (line, expected) in [
        ("MTSET k w 5 NX EX 0", INVALID_EXPIRE),
        ("MTSET k w 5 IFNEWER PX -5", INVALID_EXPIRE),
        ("MTSET k w 5 EXAT 9223372036854775807 IFEQ 7", INVALID_EXPIRE),
        ("MTSET k w * NX PX abc", NOT_AN_INTEGER),
        ("MTSET k w 5 KEEPTTL PX 5", SYNTAX),
    ] {
        assert_eq!(unchanged(&mut client, |c| c.run(line)), error(expected), "{line}");
    }
}

#[test]
fn a_time_in_the_past_does_what_it_does_to_set() {
    let server = Server::start();
    let mut client = server.client();
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    for option in ["EXAT", "PXAT"] {
        for exists in [false, true] {
            client.run("FLUSHALL");
            if exists {
                client.run("MTSET mt v 5");
                client.run("SET re v");
            }
            let theirs = call!(client, "SET", "re", "w", option, 1);
            let ours = call!(client, "MTSET", "mt", "w", 6, option, 1);
            assert_eq!(ours, theirs, "{option} {exists}");
            for look in ["GET", "TTL", "EXISTS"] {
                assert_eq!(call!(client, look, "mt"), call!(client, look, "re"), "{option} {exists} {look}");
            }
            assert_eq!(client.run("MTGET mt 0"), nil());
            assert_eq!(client.run("MTGET mt 0 WITHMTIME"), nil());
            assert_eq!(client.run("MTTIME mt"), nil());
            assert_eq!(client.run("MTMGET mt 0").into_items(), [nil()]);
        }
    }
}

/// Lets a key's time run out without letting the server notice: active expiry is off and nobody touches the key.
fn expire_unnoticed(client: &mut Client, key: &str) {
    let expiry = call!(client, "PEXPIRETIME", key).into_int();
    wait::until("the key's time to run out", || (client.clock_us() / 1000 > expiry).then_some(()));
}

#[test]
fn an_expired_key_that_is_not_yet_reaped_is_missing() {
    let server = Server::start();
    let mut client = server.client();
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    let fresh = |client: &mut Client| {
        client.run("MTSET k v 100");
        client.run("PEXPIRE k 20");
        expire_unnoticed(client, "k");
    };
    for (line, expected) in [
        ("MTGET k 0", nil()),
        ("MTGET k 500", nil()),
        ("MTGET k 0 WITHMTIME", nil()),
        ("MTGET k 500 EXACT WITHMTIME", nil()),
        ("MTTIME k", nil()),
        ("MTTOUCH k 5", int(0)),
        ("MTDEL k", int(0)),
        ("MTDEL k IFEQ 100", int(0)),
        ("MTSET k w 5 XX", nil()),
        ("MTSET k w 5 IFEQ 100", nil()),
        ("MTSET k w 5 NX", ok()),
        ("MTSET k w 5 IFNEWER", ok()),
        ("MTSET k w 5 KEEPTTL", ok()),
    ] {
        fresh(&mut client);
        assert_eq!(client.run(line), expected, "{line}");
        if expected == ok() {
            assert_eq!(client.run("MTGET k 0"), bulk("w"), "{line}");
            assert_eq!(client.run("TTL k"), int(-1), "{line}: nothing is left of the old TTL");
        } else {
            assert_eq!(client.run("EXISTS k"), int(0), "{line}");
        }
    }
    fresh(&mut client);
    assert_eq!(client.run("MTMGET k 0 k 500").into_items(), [nil(), nil()]);
}

#[test]
fn an_expired_key_is_missing_on_a_replica_too() {
    let master = Server::builder().tcp().start();
    let replica = Server::replica_of(&master, Server::builder());
    let (mut writer, mut reader) = (master.client(), replica.client());
    writer.run("DEBUG SET-ACTIVE-EXPIRE 0");
    writer.run("MTSET k v 100 PX 20");
    writer.run("MTSET lives v 100");
    replica.sync_with(&master);
    let expiry = reader.run("PEXPIRETIME k").into_int();
    wait::until("the key's time to run out", || (reader.clock_us() / 1000 > expiry.max(0)).then_some(()));
    // The replica may not remove it: that is the master's business.
    assert_eq!(reader.run("DBSIZE"), int(2 + index_keys()));
    for line in ["MTGET k 0", "MTGET k 0 WITHMTIME", "MTGET k 500 WITHMTIME", "MTTIME k"] {
        assert_eq!(reader.run(line), nil(), "{line}");
    }
    assert_eq!(reader.run("MTMGET k 0 lives 500").into_items()[0], nil());
    assert_eq!(reader.run("MTGET lives 0"), bulk("v"));
    assert_eq!(reader.run("DBSIZE"), int(2 + index_keys()));
    assert_eq!(reader.run("PING").into_text(), "PONG");
}

#[test]
fn an_expired_key_under_a_write_pause_is_missing_and_nothing_is_propagated() {
    let server = Server::start();
    let mut client = server.client();
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    client.run("MTSET k v 100 PX 20");
    client.run("MTSET lives v 100");
    expire_unnoticed(&mut client, "k");
    client.run("CLIENT PAUSE 60000 WRITE");
    assert_eq!(client.run("MTGET k 0"), nil());
    assert_eq!(client.run("MTGET k 500 WITHMTIME"), nil());
    assert_eq!(client.run("MTTIME k"), nil());
    assert_eq!(client.run("MTMGET k 0 lives 0").into_items()[0], nil());
    assert_eq!(client.run("MTGET lives 0"), bulk("v"));
    client.run("CLIENT UNPAUSE");
    assert_eq!(client.run("EXISTS k"), int(0));
}
