//! `MTGET key since [EXACT] [WITHMTIME]`: what it answers.

use crate::support::client::{BOTH_PROTOCOLS, bulk, call, error, modified, nil, not_modified, untracked};
use crate::support::dataset::unchanged;
use crate::support::errors::{NOT_A_SINCE, RESERVED, SYNTAX, WRONG_TYPE, wrong_arity};
use crate::support::server::Server;
use crate::support::wire::Wire;

#[test]
fn sends_the_value_only_if_it_is_newer() {
    let server = Server::start();
    for protocol in BOTH_PROTOCOLS {
        let mut client = server.client_speaking(protocol);
        client.run("MTSET k v 100");
        assert_eq!(client.run("MTGET k 99"), bulk("v"));
        assert_eq!(client.run("MTGET k 99.999"), bulk("v"));
        assert_eq!(client.run("MTGET k 100"), nil(), "equal means not modified");
        assert_eq!(client.run("MTGET k 100.0"), nil());
        assert_eq!(client.run("MTGET k 1e2"), nil());
        assert_eq!(client.run("MTGET k 101"), nil());
        assert_eq!(client.run("MTGET k -100"), bulk("v"));
    }
}

#[test]
fn a_missing_key_is_null_in_every_form() {
    let server = Server::start();
    let mut client = server.client();
    for form in ["", " EXACT", " WITHMTIME", " EXACT WITHMTIME"] {
        assert_eq!(client.run(&format!("MTGET nokey 0{form}")), nil(), "{form}");
    }
}

#[test]
fn an_untracked_key_is_always_sent() {
    let server = Server::start();
    let mut client = server.client();
    client.run("SET k v");
    assert_eq!(client.run("MTGET k 9223372036854775807"), bulk("v"));
    assert_eq!(client.run("MTGET k 1e308 EXACT"), bulk("v"));
    assert_eq!(client.run("MTGET k 1e308 WITHMTIME"), untracked("v"));
    assert_eq!(client.run("MTGET k 1e308 EXACT WITHMTIME"), untracked("v"));
}

#[test]
fn withmtime_tells_the_four_cases_apart() {
    let server = Server::start();
    for protocol in BOTH_PROTOCOLS {
        let mut client = server.client_speaking(protocol);
        client.run("MTSET k v 100");
        client.run("SET plain p");
        assert_eq!(client.run("MTGET nokey 0 WITHMTIME"), nil());
        assert_eq!(client.run("MTGET k 100 WITHMTIME"), not_modified("100"));
        assert_eq!(client.run("MTGET k 99 WITHMTIME"), modified("100", "v"));
        assert_eq!(client.run("MTGET plain 0 WITHMTIME"), untracked("p"));
    }
}

#[test]
fn exact_sends_the_value_unless_the_times_are_equal() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    assert_eq!(client.run("MTGET k 99 EXACT"), bulk("v"));
    assert_eq!(client.run("MTGET k 101 EXACT"), bulk("v"), "a clock that went back is a change");
    assert_eq!(client.run("MTGET k 100 EXACT"), nil());
    assert_eq!(client.run("MTGET k 100.0 EXACT"), nil(), "numbers are compared, not texts");
    assert_eq!(client.run("MTGET k 101 EXACT WITHMTIME"), modified("100", "v"));
    assert_eq!(client.run("MTGET k 100 EXACT WITHMTIME"), not_modified("100"));
}

#[test]
fn options_come_in_any_order_and_case() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    for form in ["EXACT WITHMTIME", "WITHMTIME EXACT", "exact withmtime", "WithMtime eXaCt"] {
        assert_eq!(client.run(&format!("MTGET k 101 {form}")), modified("100", "v"), "{form}");
    }
    assert_eq!(client.run("mtget k 99"), bulk("v"));
}

#[test]
fn repeated_and_unknown_options_are_syntax_errors() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    for form in
        ["EXACT EXACT", "WITHMTIME WITHMTIME", "EXACT WITHMTIME EXACT", "NX", "WITHMTIMES", "EX 10", "*", "0"]
    {
        let reply = unchanged(&mut client, |client| client.run(&format!("MTGET k 1 {form}")));
        assert_eq!(reply, error(SYNTAX), "{form}");
    }
    let reply = call!(client, "MTGET", "k", 1, "");
    assert_eq!(reply, error(SYNTAX), "an empty option");
}

#[test]
fn too_few_arguments_are_the_servers_own_error() {
    let server = Server::start();
    let mut client = server.client();
    for line in ["MTGET", "MTGET k"] {
        assert_eq!(client.run(line), error(&wrong_arity("mtget")), "{line}");
    }
}

#[test]
fn option_names_are_ordinary_keys_and_values() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET EXACT WITHMTIME 5");
    assert_eq!(client.run("MTGET EXACT 4"), bulk("WITHMTIME"));
    assert_eq!(client.run("MTGET EXACT 4 WITHMTIME"), modified("5", "WITHMTIME"));
    assert_eq!(client.run("MTGET EXACT EXACT"), error(NOT_A_SINCE));
}

#[test]
fn a_since_that_is_no_number_is_an_error_even_for_a_missing_key() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    client.run("SET plain p");
    for key in ["k", "plain", "nokey"] {
        for since in ["abc", "*", "0x10", "1e400", "inf", "nan", "+1", ".5", "5.", "1e"] {
            let reply = unchanged(&mut client, |client| call!(client, "MTGET", key, since));
            assert_eq!(reply, error(NOT_A_SINCE), "{key} {since}");
        }
    }
}

#[test]
fn a_key_that_is_no_string_is_the_wrong_type() {
    let server = Server::start();
    let mut client = server.client();
    client.run("RPUSH list a");
    client.run("HSET hash f v");
    client.run("SADD set a");
    client.run("ZADD zset 1 a");
    client.run("XADD stream * f v");
    for key in ["list", "hash", "set", "zset", "stream"] {
        for form in ["", " EXACT", " WITHMTIME"] {
            assert_eq!(client.run(&format!("MTGET {key} 0{form}")), error(WRONG_TYPE), "{key}{form}");
        }
    }
}

#[test]
fn the_wrong_type_wins_over_an_index_entry_that_says_not_modified() {
    let server = Server::start();
    let mut client = server.client();
    client.run("RPUSH list a");
    client.run("HSET MY_KEYSMTIME list 5");
    assert_eq!(client.run("MTGET list 10"), error(WRONG_TYPE));
    assert_eq!(client.run("MTGET list 0"), error(WRONG_TYPE));
}

#[test]
fn an_entry_that_outlived_its_key_does_not_make_the_key_exist() {
    let server = Server::start();
    let mut client = server.client();
    client.run("HSET MY_KEYSMTIME gone 5");
    assert_eq!(client.run("MTGET gone 0"), nil());
    assert_eq!(client.run("MTGET gone 10"), nil());
    assert_eq!(client.run("MTGET gone 0 WITHMTIME"), nil());
    assert_eq!(client.run("MTGET gone 10 WITHMTIME"), nil());
    assert_eq!(client.run("MTGET gone 10 EXACT WITHMTIME"), nil());
}

#[test]
fn garbage_in_the_index_counts_as_untracked() {
    let server = Server::start();
    let mut client = server.client();
    client.run("SET k v");
    for garbage in ["", "abc", "0x10", " 5", "5 ", "inf", "nan", "1e400", "5\0", "--5", "\u{ff}"] {
        call!(client, "HSET", "MY_KEYSMTIME", "k", garbage);
        assert_eq!(client.run("MTGET k 100"), bulk("v"), "{garbage:?}");
        assert_eq!(client.run("MTGET k 100 WITHMTIME"), untracked("v"), "{garbage:?}");
    }
    call!(client, "HSET", "MY_KEYSMTIME", "k", "1".repeat(65));
    assert_eq!(client.run("MTGET k 100 WITHMTIME"), untracked("v"), "an entry that is too long");
    call!(client, "HSET", "MY_KEYSMTIME", "k", "x".repeat(100_000));
    assert_eq!(client.run("MTGET k 100 WITHMTIME"), untracked("v"), "a long entry");
}

#[test]
fn the_index_itself_cannot_be_read() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 1");
    assert_eq!(client.run("MTGET MY_KEYSMTIME 0"), error(RESERVED));
    assert_eq!(client.run("MTGET MY_KEYSMTIME 0 WITHMTIME"), error(RESERVED));
    assert_eq!(client.run("MTGET my_keysmtime 0"), nil(), "names are case-sensitive");
    assert_eq!(client.run("MTGET MY_KEYSMTIM 0"), nil());
    assert_eq!(client.run("MTGET MY_KEYSMTIMES 0"), nil());
}

#[test]
fn replies_have_the_bytes_of_get() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    client.run("SET plain p");
    client.run("MTSET number 42 100");

    let mut wire = Wire::resp2(&server);
    wire.expect("MTGET k 1", "$1\r\nv\r\n");
    wire.expect("MTGET number 1", "$2\r\n42\r\n");
    wire.expect("MTGET k 100", "$-1\r\n");
    wire.expect("MTGET nokey 1", "$-1\r\n");
    wire.expect("MTGET nokey 1 WITHMTIME", "$-1\r\n");
    wire.expect("MTGET k 1 WITHMTIME", "*2\r\n$3\r\n100\r\n$1\r\nv\r\n");
    wire.expect("MTGET number 1 WITHMTIME", "*2\r\n$3\r\n100\r\n$2\r\n42\r\n");
    wire.expect("MTGET k 100 WITHMTIME", "*2\r\n$3\r\n100\r\n$-1\r\n");
    wire.expect("MTGET plain 1 WITHMTIME", "*2\r\n$-1\r\n$1\r\np\r\n");

    let mut wire = Wire::resp3(&server);
    wire.expect("MTGET k 1", "$1\r\nv\r\n");
    wire.expect("MTGET k 100", "_\r\n");
    wire.expect("MTGET nokey 1", "_\r\n");
    wire.expect("MTGET nokey 1 WITHMTIME", "_\r\n");
    wire.expect("MTGET k 1 WITHMTIME", "*2\r\n$3\r\n100\r\n$1\r\nv\r\n");
    wire.expect("MTGET k 100 WITHMTIME", "*2\r\n$3\r\n100\r\n_\r\n");
    wire.expect("MTGET plain 1 WITHMTIME", "*2\r\n_\r\n$1\r\np\r\n");
}

#[test]
fn values_come_back_byte_for_byte_at_every_length() {
    let server = Server::start();
    let mut client = server.client();
    for length in [0, 1, 2, 10, 20, 43, 44, 45, 64, 100, 127, 128, 129, 200, 4096, 102_400] {
        let value: Vec<u8> = (0..length).map(|i: usize| u8::try_from(i % 256).unwrap()).collect();
        call!(client, "MTSET", "k", value, 7);
        assert_eq!(call!(client, "MTGET", "k", 6), bulk(&value), "{length}");
        assert_eq!(call!(client, "MTGET", "k", 6, "WITHMTIME"), modified("7", &value), "{length}");
        assert_eq!(call!(client, "GET", "k"), bulk(&value), "{length}");
    }
}
