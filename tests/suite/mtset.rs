//! `MTSET key value mtime`: the plain form, its errors and the order in which they are found.

use crate::support::client::{BOTH_PROTOCOLS, bulk, call, error, int, nil, ok, untracked};
use crate::support::dataset::{INDEX, index_entries, stored, unchanged};
use crate::support::errors::{INVALID_EXPIRE, NOT_AN_INTEGER, NOT_AN_MTIME, RESERVED, SYNTAX, wrong_arity};
use crate::support::model::Number;
use crate::support::server::Server;
use crate::support::storage::{OUT_OF_RANGE, fits, has_no_index, index_keys, is_keymeta, with_key};

#[test]
fn stores_value_and_mtime_together() {
    for protocol in BOTH_PROTOCOLS {
        let server = Server::start();
        let mut client = server.client_speaking(protocol);
        assert_eq!(client.run("MTSET k v 100"), ok());
        assert_eq!(client.run("GET k"), bulk("v"));
        assert_eq!(stored(&mut client, "k"), bulk("100"));
        assert_eq!(client.run("MTSET k w 50"), ok(), "without a condition the last write wins");
        assert_eq!(client.run("GET k"), bulk("w"));
        assert_eq!(index_entries(&mut client), [("k".to_owned(), "50".to_owned())].into());
        assert_eq!(client.run("DBSIZE"), int(1 + index_keys()));
    }
}

#[test]
fn the_stored_text_is_canonical() {
    let server = Server::start();
    let mut client = server.client();
    for (given, text) in [
        ("0", "0"),
        ("007", "7"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("-7", "-7"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("1e+3", "1000"),
        ("1000e-3", "1"),
        ("1.0", "1"),
        ("1.50", "1.5"),
        ("-1.50", "-1.5"),
        ("0.1", "0.1"),
        ("1700000000.1234", "1700000000.1234"),
        ("1700000000.1233999729156494", "1700000000.1234"),
        ("9007199254740993", "9007199254740993"),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775808", "9223372036854775808"),
        ("-9223372036854775809", "-9223372036854775808"),
        ("18446744073709551616", "18446744073709551616"),
        ("18446744073709551615", "18446744073709551616"),
        ("1e18", "1000000000000000000"),
        ("1e20", "100000000000000000000"),
        ("1e21", "1e21"),
        ("1e300", "1e300"),
        ("1e-7", "0.0000001"),
        ("1.5e-9", "1.5e-9"),
        ("1e-400", "0"),
        ("0.0000000000000000000000000000000000000000000000000000000000001", "1e-61"),
    ] {
        let reply = call!(client, "MTSET", "k", "v", given);
        if !fits(Number::parse(given.as_bytes()).expect("a number")) {
            assert_eq!(reply, error(OUT_OF_RANGE), "{given}");
            continue;
        }
        assert_eq!(reply, ok(), "{given}");
        assert_eq!(stored(&mut client, "k"), bulk(text), "{given}");
        assert_eq!(call!(client, "MTTIME", "k"), bulk(text), "{given}");
        assert_eq!(call!(client, "MTGET", "k", given), nil(), "{given} is not newer than itself");
        assert_eq!(call!(client, "MTGET", "k", text, "EXACT"), nil(), "{given} is what it prints as");
    }
}

#[test]
fn integers_beyond_two_to_the_53_are_told_apart() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 9007199254740993");
    assert_eq!(client.run("MTGET k 9007199254740992"), bulk("v"));
    assert_eq!(client.run("MTGET k 9007199254740993"), nil());
    if !is_keymeta() {
        client.run("MTSET k v 9223372036854775807");
        assert_eq!(client.run("MTGET k 9223372036854775806"), bulk("v"));
    }
    assert_eq!(
        client.run("MTGET k 9223372036854775808"),
        nil(),
        "2^63 as a fraction is above the largest integer"
    );
    assert_eq!(client.run("MTGET k 9223372036854775808 EXACT"), bulk("v"));
    client.run("MTSET k v 9007199254740992.5");
    assert_eq!(client.run("MTTIME k"), bulk("9007199254740992"), "no f64 lies between");
}

#[test]
fn drops_the_ttl_as_set_does() {
    let server = Server::start();
    let mut client = server.client();
    client.run("SET k v EX 1000");
    client.run("MTSET k w 5");
    assert_eq!(client.run("TTL k"), int(-1));
}

#[test]
fn overwrites_a_key_of_any_type() {
    let server = Server::start();
    let mut client = server.client();
    for make in ["RPUSH k a", "HSET k f v", "SADD k a", "ZADD k 1 a", "XADD k * f v"] {
        client.run("DEL k");
        client.run(make);
        client.run("EXPIRE k 1000");
        assert_eq!(client.run("MTSET k v 5"), ok(), "{make}");
        assert_eq!(client.run("GET k"), bulk("v"), "{make}");
        assert_eq!(client.run("TTL k"), int(-1), "{make}");
        assert_eq!(client.run("MTGET k 5"), nil(), "{make}");
    }
}

#[test]
fn value_encodings_are_those_of_set() {
    let server = Server::start();
    let mut client = server.client();
    for value in ["", "short", "007", &"x".repeat(44), &"x".repeat(45), &"x".repeat(200)] {
        call!(client, "MTSET", "mt", value, 5);
        call!(client, "SET", "re", value);
        assert_eq!(client.run("OBJECT ENCODING mt"), client.run("OBJECT ENCODING re"), "{value}");
        let memory = ["MEMORY USAGE mt", "MEMORY USAGE re"].map(|line| client.run(line).into_int());
        assert!((memory[1]..=memory[1] + with_key()).contains(&memory[0]), "{memory:?} bytes, {value}");
    }
}

/// No call of the module API makes an integer-encoded string, and SET from within would cost twice the time.
#[test]
fn an_integer_is_text_until_the_next_load_or_arithmetic() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.run("MTSET k 42 5"), ok());
    assert_eq!(client.run("OBJECT ENCODING k"), bulk("embstr"));
    client.run("DEBUG RELOAD");
    assert_eq!(client.run("OBJECT ENCODING k"), bulk("int"));
    assert_eq!(client.run("MTGET k 4"), bulk("42"));
    assert_eq!(client.run("MTSET k 42 5"), ok());
    assert_eq!(client.run("INCR k"), int(43));
    assert_eq!(client.run("OBJECT ENCODING k"), bulk("int"));
}

#[test]
fn binary_keys_and_values_are_kept() {
    let server = Server::start();
    let mut client = server.client();
    let key = b"\0k\xff\r\n\"";
    let value = b"\0v\xfe\r\n";
    assert_eq!(call!(client, "MTSET", key, value, 5), ok());
    assert_eq!(call!(client, "GET", key), bulk(value));
    assert_eq!(call!(client, "MTGET", key, 4), bulk(value));
    assert_eq!(stored(&mut client, key), bulk("5"));
    assert_eq!(call!(client, "MTSET", b"\0k", "other", 9), ok(), "a NUL does not end a key");
    assert_eq!(call!(client, "MTTIME", key), bulk("5"));
    assert_eq!(call!(client, "MTSET", "", "", 1), ok(), "the empty key is a key");
    assert_eq!(call!(client, "MTGET", "", 0), bulk(""));
}

#[test]
fn a_bad_mtime_changes_nothing() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    for mtime in [
        "abc", "", " 1", "1 ", "+1", "0x10", "1e400", "-1e400", "inf", "nan", "**", "1,5", ".5", "5.", "1e",
        "1_0",
    ] {
        for key in ["k", "new"] {
            let reply = unchanged(&mut client, |client| call!(client, "MTSET", key, "w", mtime));
            assert_eq!(reply, error(NOT_AN_MTIME), "{key} {mtime:?}");
        }
    }
}

#[test]
fn the_longest_literal_has_64_bytes() {
    let server = Server::start();
    let mut client = server.client();
    let longest = format!("0.{}", "1".repeat(62));
    assert_eq!(call!(client, "MTSET", "k", "v", longest), ok());
    assert_eq!(call!(client, "MTSET", "k", "v", format!("{}5", "0".repeat(63))), ok());
    assert_eq!(call!(client, "MTTIME", "k"), bulk("5"));
    let too_long = format!("{longest}1");
    assert_eq!(
        unchanged(&mut client, |client| call!(client, "MTSET", "k", "v", too_long)),
        error(NOT_AN_MTIME)
    );
}

#[test]
fn wrong_argument_counts_are_the_servers_own_error() {
    let server = Server::start();
    let mut client = server.client();
    for line in ["MTSET", "MTSET k", "MTSET k v"] {
        let reply = unchanged(&mut client, |client| client.run(line));
        assert_eq!(reply, error(&wrong_arity("mtset")), "{line}");
    }
}

#[test]
fn unknown_repeated_and_contradictory_options_are_syntax_errors() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    for options in [
        "FOO",
        "GET",
        "EXACT",
        "EX",
        "PX",
        "EXAT",
        "PXAT",
        "IFEQ",
        "NX NX",
        "XX XX",
        "NX XX",
        "XX NX",
        "IFNEWER IFNEWER",
        "IFNEWER NX",
        "IFNEWER XX",
        "IFNEWER IFEQ 1",
        "IFEQ 1 IFNEWER",
        "IFEQ 1 IFEQ 1",
        "IFEQ 1 NX",
        "NX IFEQ 1",
        "EX 10 EX 10",
        "EX 10 PX 10",
        "PX 10 EXAT 99999999999",
        "EXAT 99999999999 PXAT 99999999999999",
        "KEEPTTL KEEPTTL",
        "KEEPTTL EX 10",
        "EX 10 KEEPTTL",
        "EX 10 NX EX 10",
        "5",
        "NX 5",
    ] {
        for key in ["k", "new"] {
            let reply = unchanged(&mut client, |client| client.run(&format!("MTSET {key} w 200 {options}")));
            assert_eq!(reply, error(SYNTAX), "{key} {options}");
        }
    }
    assert_eq!(call!(client, "MTSET", "k", "w", 200, ""), error(SYNTAX), "an empty option");
    assert_eq!(call!(client, "MTSET", "k", "w", 200, b"NX\0"), error(SYNTAX), "a NUL does not end an option");
}

#[test]
fn option_names_are_ordinary_keys_and_values() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.run("MTSET NX EX 5 NX"), ok());
    assert_eq!(client.run("MTGET NX 4"), bulk("EX"));
    assert_eq!(client.run("MTSET IFNEWER KEEPTTL 6 XX"), nil());
    assert_eq!(client.run("MTSET k IFEQ IFEQ"), error(NOT_AN_MTIME));
    assert_eq!(client.run("MTSET k v 5 IFEQ NX"), error(NOT_AN_MTIME));
    assert_eq!(client.run("MTSET k v 5 EX NX"), error(NOT_AN_INTEGER));
}

#[test]
fn the_index_itself_cannot_be_written() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 1");
    for line in ["MTSET MY_KEYSMTIME v 5", "MTSET MY_KEYSMTIME v * NX", "MTSET MY_KEYSMTIME v 5 EX 10"] {
        assert_eq!(unchanged(&mut client, |client| client.run(line)), error(RESERVED), "{line}");
    }
    assert_eq!(client.run("MTSET my_keysmtime v 5"), ok(), "names are case-sensitive");
    assert_eq!(client.run("MTSET MY_KEYSMTIMES v 5"), ok());
}

#[test]
fn errors_are_found_in_a_fixed_order() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    for (line, expected) in [
        ("MTSET MY_KEYSMTIME v abc FOO EX 0", RESERVED),
        ("MTSET k v abc FOO EX 0", NOT_AN_MTIME),
        ("MTSET k v 5 FOO EX 0", SYNTAX),
        ("MTSET k v 5 EX 0 FOO", SYNTAX),
        ("MTSET k v 5 EX 0 NX", INVALID_EXPIRE),
        ("MTSET k v 5 NX EX abc", NOT_AN_INTEGER),
    ] {
        assert_eq!(unchanged(&mut client, |client| client.run(line)), error(expected), "{line}");
    }
}

#[test]
fn lua_written_entries_are_read_and_replaced() {
    if has_no_index("entries of others") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    client.run("SET k v");
    for (entry, canonical) in [
        ("1700000000.1233999729156494", "1700000000.1234"),
        ("1.7000000000000002e+18", "1700000000000000256"),
        ("1e+20", "100000000000000000000"),
        ("-0", "0"),
        ("0.10000000000000001", "0.1"),
    ] {
        call!(client, "HSET", INDEX, "k", entry);
        assert_eq!(client.run("MTTIME k"), bulk(canonical), "{entry}");
        assert_eq!(call!(client, "MTGET", "k", entry), nil(), "{entry}");
        assert_eq!(call!(client, "MTGET", "k", entry, "EXACT"), nil(), "{entry}");
    }
    assert_eq!(client.run("MTSET k w 5"), ok());
    assert_eq!(
        index_entries(&mut client).into_iter().collect::<Vec<_>>(),
        [("k".to_owned(), "5".to_owned())]
    );
}

#[test]
fn a_full_server_refuses_the_write_but_not_the_reads() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    client.run("SET plain p");
    client.run("CONFIG SET maxmemory 1");
    let reply = unchanged(&mut client, |client| client.run("MTSET k w 200"));
    assert!(format!("{reply:?}").contains("OOM command not allowed"), "{reply:?}");
    assert_eq!(client.run("MTGET k 99"), bulk("v"));
    assert_eq!(client.run("MTGET plain 99 WITHMTIME"), untracked("p"));
    assert_eq!(client.run("MTTIME k"), bulk("100"));
    assert_eq!(client.run("MTDEL k"), int(1), "what frees memory is allowed");
}

/// One of the same length is copied over the old one, where the server keeps it raw.
#[test]
fn a_value_is_replaced_as_set_does_whatever_its_length() {
    let (server, plain) = (Server::start(), Server::plain());
    let (mut ours, mut theirs) = (server.client(), plain.client());
    let lengths = [1, 20, 44, 45, 64, 100, 116, 117, 128, 200, 255, 256, 4095, 4096, 4097, 100_000];
    for length in lengths {
        for (old_length, old_options) in
            [(length, ""), (length, " EX 1000"), (length + 1, ""), (length - 1, " EX 1000")]
        {
            let old = "o".repeat(old_length);
            let new = format!("{}\0", "n".repeat(length - 1)).into_bytes();
            ours.run("FLUSHALL");
            theirs.run("FLUSHALL");
            if old_length > 0 {
                assert_eq!(ours.run(&format!("MTSET key {old} 1{old_options}")), ok());
                assert_eq!(theirs.run(&format!("SET key {old}{old_options}")), ok());
            }
            assert_eq!(call!(ours, "MTSET", "key", &new, 2), ok());
            assert_eq!(call!(theirs, "SET", "key", &new), ok());
            let what = format!("{old_length} to {length} bytes{old_options}");
            for line in ["GET key", "TTL key", "OBJECT ENCODING key", "OBJECT REFCOUNT key", "STRLEN key"] {
                assert_eq!(ours.run(line), theirs.run(line), "{line}, {what}");
            }
            // Newer servers keep room for a TTL that the old value had.
            let memory = [&mut ours, &mut theirs].map(|client| client.run("MEMORY USAGE key").into_int());
            assert!(memory[0] <= memory[1] + with_key(), "{memory:?} bytes, {what}");
            assert_eq!(call!(ours, "MTSET", "key", &new, 3, "PXAT", "9999999999999"), ok());
            assert_eq!(call!(ours, "MTSET", "key", &new, 4, "KEEPTTL"), ok());
            assert_eq!(ours.run("PEXPIRETIME key"), int(9_999_999_999_999), "{what}");
            assert_eq!(ours.run("MTTIME key"), bulk("4"));
        }
    }
}
