//! IFNEWER, IFEQ, NX, XX and the server-given mtime `*`, on every command that takes them.

use crate::support::client::{BOTH_PROTOCOLS, bulk, call, error, int, nil, ok};
use crate::support::dataset::{stored, unchanged};
use crate::support::errors::{NOT_AN_MTIME, SYNTAX};
use crate::support::server::Server;
use crate::support::storage::has_no_index;

#[test]
fn ifnewer_lets_the_last_writer_win() {
    let server = Server::start();
    for protocol in BOTH_PROTOCOLS {
        let mut client = server.client_speaking(protocol);
        client.run("FLUSHALL");
        assert_eq!(client.run("MTSET k a 100 IFNEWER"), ok(), "a missing key is written");
        assert_eq!(unchanged(&mut client, |c| c.run("MTSET k b 99 IFNEWER")), nil());
        assert_eq!(unchanged(&mut client, |c| c.run("MTSET k b 100 IFNEWER")), nil(), "equal loses");
        assert_eq!(unchanged(&mut client, |c| c.run("MTSET k b 100.0 IFNEWER")), nil());
        assert_eq!(client.run("MTSET k b 100.5 ifnewer"), ok());
        assert_eq!(client.run("MTGET k 0"), bulk("b"));
        client.run("SET plain p");
        assert_eq!(client.run("MTSET plain q -5 IFNEWER"), ok(), "an untracked key is written");
        assert_eq!(client.run("MTTIME plain"), bulk("-5"));
    }
}

#[test]
fn ifnewer_ignores_an_entry_whose_key_is_gone() {
    let server = Server::start();
    let mut client = server.client();
    client.run("HSET MY_KEYSMTIME gone 100");
    assert_eq!(client.run("MTSET gone v 5 IFNEWER"), ok());
    assert_eq!(client.run("MTTIME gone"), bulk("5"));
}

#[test]
fn ifeq_writes_only_over_that_mtime_and_never_creates() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(unchanged(&mut client, |c| c.run("MTSET k v 5 IFEQ 0")), nil());
    client.run("SET plain p");
    assert_eq!(
        unchanged(&mut client, |c| c.run("MTSET plain v 5 IFEQ 0")),
        nil(),
        "untracked equals nothing"
    );
    client.run("MTSET k v 100");
    assert_eq!(unchanged(&mut client, |c| c.run("MTSET k w 5 IFEQ 99")), nil());
    assert_eq!(client.run("MTSET k w 5 IFEQ 1e2"), ok(), "numbers are compared, not texts");
    assert_eq!(client.run("MTTIME k"), bulk("5"), "IFEQ may go back");
    client.run("MTDEL k");
    assert_eq!(unchanged(&mut client, |c| c.run("MTSET k v 6 IFEQ 5")), nil(), "no resurrection");
    client.run("HSET MY_KEYSMTIME k 5");
    assert_eq!(
        unchanged(&mut client, |c| c.run("MTSET k v 6 IFEQ 5")),
        nil(),
        "not even with an entry left behind"
    );
}

#[test]
fn nx_and_xx_are_those_of_set() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(unchanged(&mut client, |c| c.run("MTSET k v 5 XX")), nil());
    assert_eq!(client.run("MTSET k v 5 NX"), ok());
    assert_eq!(unchanged(&mut client, |c| c.run("MTSET k w 6 NX")), nil());
    assert_eq!(client.run("MTSET k w 4 XX"), ok(), "XX does not look at the mtime");
    client.run("RPUSH list a");
    assert_eq!(unchanged(&mut client, |c| c.run("MTSET list v 5 NX")), nil(), "a list exists too");
    assert_eq!(client.run("MTSET list v 5 XX"), ok());
    client.run("HSET MY_KEYSMTIME gone 5");
    assert_eq!(unchanged(&mut client, |c| c.run("MTSET gone v 6 XX")), nil());
    assert_eq!(client.run("MTSET gone v 4 NX"), ok());
}

#[test]
fn a_refused_write_leaves_the_ttl_alone() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100 PXAT 4102444800000");
    for options in ["IFNEWER", "IFNEWER EX 10", "IFEQ 1 PX 5", "NX EXAT 4102444801", "NX"] {
        let reply = unchanged(&mut client, |c| c.run(&format!("MTSET k w 50 {options}")));
        assert_eq!(reply, nil(), "{options}");
    }
    assert_eq!(client.run("PEXPIRETIME k"), int(4_102_444_800_000));
}

#[test]
fn a_condition_with_a_bad_number_changes_nothing() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    for line in [
        "MTSET k w 200 IFEQ abc",
        "MTTOUCH k 200 IFEQ abc",
        "MTDEL k IFEQ abc",
        "MTDEL k IFNEWER abc",
        "MTDEL k IFNEWER *",
        "MTSET k w 5 IFEQ *",
    ] {
        assert_eq!(unchanged(&mut client, |c| c.run(line)), error(NOT_AN_MTIME), "{line}");
    }
    for line in ["MTTOUCH k 200 IFEQ", "MTDEL k IFEQ", "MTDEL k IFNEWER"] {
        assert_eq!(unchanged(&mut client, |c| c.run(line)), error(SYNTAX), "{line}");
    }
}

#[test]
fn a_star_is_the_servers_clock_in_the_configured_unit() {
    let server = Server::start();
    let mut client = server.client();
    for (unit, divisor) in [("ms", 1_000), ("s", 1_000_000), ("us", 1)] {
        if unit != "ms" {
            assert_eq!(call!(client, "CONFIG", "SET", "mtime.clock-unit", unit), ok());
        }
        client.run("DEL k");
        client.run("HDEL MY_KEYSMTIME k");
        let before = client.clock_us() / divisor;
        let assigned = client.run("MTSET k v *").into_text();
        let after = client.clock_us() / divisor;
        let number: i64 = assigned.parse().expect("an integer");
        assert!((before..=after).contains(&number), "{unit}: {before} <= {number} <= {after}");
        assert_eq!(client.run("MTTIME k"), bulk(&assigned));
        assert_eq!(stored(&mut client, "k"), bulk(&assigned));
    }
}

#[test]
fn a_star_always_goes_forward() {
    let server = Server::start();
    let mut client = server.client();
    // As after a clock that went back: the stored time is years ahead.
    client.run("MTSET k v 4102444800000");
    assert_eq!(client.run("MTSET k w *"), bulk("4102444800001"));
    assert_eq!(client.run("MTSET k w *"), bulk("4102444800002"));
    client.run("MTSET k v 4102444800000.5");
    assert_eq!(client.run("MTSET k w *"), bulk("4102444800001.5"));
    // Many within one tick.
    client.run("CONFIG SET mtime.clock-unit s");
    let mut last: i64 = client.run("MTSET fast v *").into_text().parse().unwrap();
    for _ in 0..100 {
        let next: i64 = client.run("MTSET fast v *").into_text().parse().unwrap();
        assert!(next > last, "{next} after {last}");
        last = next;
    }
}

#[test]
fn a_star_over_an_untracked_or_garbled_key_is_the_clock() {
    let server = Server::start();
    let mut client = server.client();
    client.run("SET k v");
    call!(client, "HSET", "MY_KEYSMTIME", "k", "garbage");
    let before = client.clock_us() / 1000;
    let assigned: i64 = client.run("MTSET k v *").into_text().parse().unwrap();
    assert!(assigned >= before);
}

#[test]
fn a_star_over_the_largest_mtime_does_not_wrap() {
    if has_no_index("numbers up to the end of the range; keymeta.rs has its own") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    for stored in ["9223372036854775807", "1e300", "1.7976931348623157e308"] {
        client.run(&format!("MTSET k v {stored}"));
        let reply = client.run("MTSET k w *");
        if reply.is_error() {
            assert_eq!(client.run("GET k"), bulk("v"), "all or nothing");
        } else {
            let assigned = reply.into_text();
            assert_eq!(client.run("MTTIME k"), bulk(&assigned));
            assert!(
                assigned.parse::<f64>().unwrap() >= stored.parse::<f64>().unwrap(),
                "{assigned} after {stored}"
            );
        }
        assert_eq!(client.run("PING").into_text(), "PONG");
    }
}

#[test]
fn a_refused_star_is_null_even_over_the_largest_mtime() {
    if has_no_index("numbers up to the end of the range; keymeta.rs has its own") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 9223372036854775807");
    for options in ["NX", "IFEQ 5"] {
        let reply = unchanged(&mut client, |c| c.run(&format!("MTSET k w * {options}")));
        assert_eq!(reply, nil(), "refusals are replies, never errors: {options}");
    }
}

#[test]
fn a_star_works_with_every_condition() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.run("MTSET k v * XX"), nil());
    assert_eq!(client.run("MTSET k v * IFEQ 1"), nil());
    let first: i64 = client.run("MTSET k v * NX").into_text().parse().unwrap();
    assert_eq!(unchanged(&mut client, |c| c.run("MTSET k w * NX")), nil());
    let second: i64 = client.run("MTSET k w * IFNEWER").into_text().parse().unwrap();
    assert!(second > first);
    assert_eq!(unchanged(&mut client, |c| call!(c, "MTSET", "k", "x", "*", "IFEQ", first)), nil());
    let third: i64 = call!(client, "MTSET", "k", "x", "*", "IFEQ", second).into_text().parse().unwrap();
    assert!(third > second);
    let fourth: i64 = call!(client, "MTSET", "k", "y", "*", "XX", "EX", 100).into_text().parse().unwrap();
    assert!(fourth > third);
    assert_eq!(client.run("GET k"), bulk("y"));
}

#[test]
fn conditions_of_large_and_mixed_numbers_are_exact() {
    if has_no_index("numbers up to the end of the range; keymeta.rs has its own") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 9007199254740992");
    assert_eq!(client.run("MTSET k v 9007199254740993 IFNEWER"), ok());
    assert_eq!(client.run("MTSET k v 9007199254740992 IFEQ 9007199254740992"), nil());
    assert_eq!(client.run("MTSET k v 9223372036854775807 IFNEWER"), ok());
    assert_eq!(client.run("MTSET k v 9223372036854775808 IFNEWER"), ok());
    assert_eq!(client.run("MTSET k v 9223372036854775807 IFNEWER"), nil());
    assert_eq!(client.run("MTTOUCH k 9223372036854775807 IFEQ 9223372036854775807"), int(0));
    assert_eq!(client.run("MTDEL k IFNEWER 9223372036854775807"), int(0));
    assert_eq!(client.run("MTDEL k IFNEWER 1e19"), int(1));
}
