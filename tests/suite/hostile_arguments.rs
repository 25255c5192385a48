//! No bytes a client can send take the server down or leave half a write behind.

use crate::support::client::{Args, Client, Reply, args, bulk, call, error, modified, nil, ok, show};
use crate::support::dataset::{Dataset, dataset, digest, stored};
use crate::support::errors::{NOT_A_SINCE, NOT_AN_MTIME, wrong_arity};
use crate::support::server::Server;
use crate::support::storage::{OUT_OF_RANGE, fits};

const COMMANDS: [&str; 6] = ["MTGET", "MTSET", "MTMGET", "MTTIME", "MTTOUCH", "MTDEL"];

fn bytes_that_hurt() -> Vec<Vec<u8>> {
    vec![
        b"".to_vec(),
        b"\0".to_vec(),
        b"\0\0\0\0".to_vec(),
        b"k\0".to_vec(),
        b"\xff".to_vec(),
        b"\xff\xfe\xfd".to_vec(),
        b"\xc3\x28".to_vec(),
        b"\r\n".to_vec(),
        b"*1\r\n$4\r\nPING\r\n".to_vec(),
        b"\n".to_vec(),
        b" ".to_vec(),
        b"%s%n%d".to_vec(),
        b"{".to_vec(),
        b"{}".to_vec(),
        b"'; redis.call('FLUSHALL') --".to_vec(),
        b"NX".to_vec(),
        b"EX".to_vec(),
        b"IFEQ".to_vec(),
        b"WITHMTIME".to_vec(),
        b"*".to_vec(),
        "\u{1F600}".as_bytes().to_vec(),
        vec![b'k'; 65_536],
        (0..=255).collect(),
    ]
}

fn hostile_numbers() -> Vec<Vec<u8>> {
    let mut texts: Vec<Vec<u8>> = [
        "1e400",
        "-1e400",
        "0x10",
        " 1",
        "1 ",
        "\t1",
        "1\n",
        "9223372036854775808",
        "-9223372036854775809",
        "-0",
        "1.50",
        "+1",
        "",
        "-",
        ".",
        "-.",
        "e",
        "1e",
        "1e+",
        "1e-",
        "e5",
        ".5",
        "5.",
        "1.e5",
        "--1",
        "1..2",
        "1e5e5",
        "1e5.5",
        "inf",
        "-inf",
        "Infinity",
        "nan",
        "NaN",
        "nan(1)",
        "0b1",
        "0o7",
        "1_000",
        "1,000",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "\u{661}",
        "\u{ff11}",
        "1f",
        "1d",
        "1.0f64",
        "0e0",
        "-0e-0",
        "00000000000000000000000000000000000000000000000000000000000000001",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    texts.extend([
        b"1\0".to_vec(),
        b"\x001".to_vec(),
        b"5\xff".to_vec(),
        vec![b'1'; 64],
        vec![b'1'; 65],
        vec![b'9'; 65_536],
        [b"0.".to_vec(), vec![b'1'; 100_000]].concat(),
    ]);
    texts
}

/// A server with something to lose.
fn furnished() -> (Server, Client, Dataset) {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    client.run("MTSET ttl v 100 PXAT 4102444800000");
    client.run("SET plain p");
    client.run("RPUSH list a");
    let everything = dataset(&mut client);
    (server, client, everything)
}

/// Sends a command; an error must have changed nothing, and the server must live.
fn survive(client: &mut Client, everything: &Dataset, command: &Args) -> Reply {
    let before = digest(client);
    let reply = client.call(command);
    if reply.is_error() {
        assert_eq!(digest(client), before, "{} answered {reply:?} and changed something", show(command));
        assert_eq!(dataset(client), *everything, "{}", show(command));
    }
    assert_eq!(client.run("PING").into_text(), "PONG", "{}", show(command));
    reply
}

#[test]
fn hostile_numbers_where_a_number_is_expected() {
    use crate::support::model::Number;
    let (_server, mut client, everything) = furnished();
    for text in hostile_numbers() {
        let number = Number::parse(&text);
        let reply = survive(&mut client, &everything, &args!["MTGET", "k", text]);
        match number {
            None => assert_eq!(reply, error(NOT_A_SINCE), "{}", text.escape_ascii()),
            Some(_) => assert!(!reply.is_error(), "{}", text.escape_ascii()),
        }
        let reply = survive(&mut client, &everything, &args!["MTMGET", "k", 1, "k", text]);
        assert_eq!(reply.is_error(), number.is_none(), "{}", text.escape_ascii());
        for command in [
            args!["MTSET", "new", "v", text],
            args!["MTSET", "new", "v", 5, "IFEQ", text],
            args!["MTTOUCH", "new", text],
            args!["MTTOUCH", "new", 5, "IFEQ", text],
            args!["MTDEL", "new", "IFNEWER", text],
            args!["MTDEL", "new", "IFEQ", text],
        ] {
            let reply = survive(&mut client, &everything, &command);
            match number {
                None => assert_eq!(reply, error(NOT_AN_MTIME), "{}", show(&command)),
                // The argument of a condition may be out of the storage's range, what is to be stored may not.
                Some(number) if reply.is_error() => {
                    assert!(!fits(number) && command.len() < 5, "{}", show(&command));
                    assert_eq!(reply, error(OUT_OF_RANGE), "{}", show(&command));
                }
                Some(_) => {}
            }
            if reply == ok() {
                let canonical = number.expect("a number").canonical();
                assert_eq!(client.run("MTTIME new"), bulk(&canonical), "{}", show(&command));
                client.run("MTDEL new");
            }
        }
        for option in ["EX", "PX", "EXAT", "PXAT"] {
            let command = args!["MTSET", "new", "v", 5, option, text];
            if !survive(&mut client, &everything, &command).is_error() {
                client.run("MTDEL new");
                client.run("HDEL MY_KEYSMTIME new");
            }
        }
    }
}

#[test]
fn any_bytes_as_a_key() {
    let (_server, mut client, everything) = furnished();
    for key in bytes_that_hurt() {
        let shown = show(std::slice::from_ref(&key));
        assert_eq!(call!(client, "MTSET", key, "value", 5), ok(), "{shown}");
        assert_eq!(call!(client, "GET", key), bulk("value"), "{shown}");
        assert_eq!(call!(client, "MTGET", key, 4), bulk("value"), "{shown}");
        assert_eq!(call!(client, "MTGET", key, 5), nil(), "{shown}");
        assert_eq!(call!(client, "MTGET", key, 4, "WITHMTIME"), modified("5", "value"), "{shown}");
        assert_eq!(
            call!(client, "MTMGET", key, 4, key, 5).into_items()[0],
            modified("5", "value"),
            "{shown}"
        );
        assert_eq!(call!(client, "MTTIME", key), bulk("5"), "{shown}");
        assert_eq!(call!(client, "MTTOUCH", key, 6).into_int(), 1, "{shown}");
        assert_eq!(stored(&mut client, &key), bulk("6"), "{shown}");
        assert_eq!(
            call!(client, "MTSET", key, "", 7, "IFEQ", 6, "PXAT", 4_102_444_800_000_i64),
            ok(),
            "{shown}"
        );
        assert_eq!(call!(client, "MTGET", key, 6), bulk(""), "{shown}");
        assert_eq!(call!(client, "MTDEL", key, "IFEQ", 7).into_int(), 1, "{shown}");
        assert_eq!(dataset(&mut client), everything, "{shown}");
        assert_eq!(client.run("PING").into_text(), "PONG", "{shown}");
    }
}

#[test]
fn any_bytes_as_a_value() {
    let (_server, mut client, everything) = furnished();
    for value in bytes_that_hurt() {
        let shown = show(std::slice::from_ref(&value));
        assert_eq!(call!(client, "MTSET", "new", value, 5), ok(), "{shown}");
        assert_eq!(call!(client, "GET", "new"), bulk(&value), "{shown}");
        assert_eq!(call!(client, "MTGET", "new", 4), bulk(&value), "{shown}");
        assert_eq!(call!(client, "MTGET", "new", 4, "WITHMTIME"), modified("5", &value), "{shown}");
        assert_eq!(call!(client, "MTMGET", "new", 4).into_items()[0], modified("5", &value), "{shown}");
        assert_eq!(call!(client, "MTSET", "new", value, 6, "IFNEWER", "EX", 100), ok(), "{shown}");
        assert_eq!(call!(client, "MTDEL", "new").into_int(), 1, "{shown}");
        assert_eq!(dataset(&mut client), everything, "{shown}");
        assert_eq!(client.run("PING").into_text(), "PONG", "{shown}");
    }
}

#[test]
fn a_value_of_16_mib() {
    let (_server, mut client, _) = furnished();
    let value: Vec<u8> =
        (0..16 * 1024 * 1024).map(|i: u32| i.to_le_bytes()[0] ^ i.to_le_bytes()[2]).collect();
    assert_eq!(call!(client, "MTSET", "big", value, 5), ok());
    assert!(call!(client, "MTGET", "big", 4) == bulk(&value), "the value came back changed");
    assert_eq!(call!(client, "MTGET", "big", 5), nil());
    assert!(
        call!(client, "MTGET", "big", 4, "WITHMTIME") == modified("5", &value),
        "the value came back changed"
    );
    assert!(
        call!(client, "MTMGET", "big", 4).into_items()[0] == modified("5", &value),
        "the value came back changed"
    );
    assert_eq!(call!(client, "MTSET", "big", value, 5, "IFNEWER"), nil());
    assert_eq!(call!(client, "MTDEL", "big").into_int(), 1);
    assert_eq!(client.run("PING").into_text(), "PONG");
}

#[test]
fn any_bytes_as_an_option_or_anything_else() {
    let (_server, mut client, everything) = furnished();
    for garbage in bytes_that_hurt() {
        for command in [
            args!["MTGET", "k", garbage],
            args!["MTGET", "k", 1, garbage, garbage],
            args!["MTSET", "k", "w", garbage, garbage],
            args!["MTSET", "k", "w", 5, garbage, garbage],
            args!["MTSET", "k", "w", 5, "EX", garbage],
            args!["MTSET", "k", "w", 5, "IFEQ", garbage],
            args!["MTMGET", "k", garbage],
            args!["MTMGET", "k", 1, garbage],
            args!["MTTIME", "k", garbage],
            args!["MTTOUCH", "k", garbage, garbage],
            args!["MTTOUCH", "k", 5, garbage, garbage],
            args!["MTDEL", "k", garbage],
            args!["MTDEL", "k", garbage, garbage],
        ] {
            // The two pairs that are sound by chance: everything else has to be an error.
            let by_chance = command.iter().filter(|argument| argument.as_slice() == b"*").count() > 0;
            let reply = survive(&mut client, &everything, &command);
            assert!(reply.is_error() || by_chance, "{} answered {reply:?}", show(&command));
        }
    }
}

#[test]
fn a_thousand_arguments() {
    let (_server, mut client, everything) = furnished();
    for command in COMMANDS {
        for (filler, count) in [("k", 1000), ("1", 1000), ("NX", 1000), ("", 1001), ("EX", 999)] {
            let mut command: Args = args![command];
            command.extend((0..count).map(|_| filler.as_bytes().to_vec()));
            let reply = survive(&mut client, &everything, &command);
            let is_sound = command[0] == b"MTMGET" && filler == "1";
            assert_eq!(reply.is_error(), !is_sound, "{} answered {reply:?}", show(&command));
        }
    }
}

#[test]
fn every_argument_count_from_none() {
    let (_server, mut client, everything) = furnished();
    for name in COMMANDS {
        let shortest = match name {
            "MTTIME" | "MTDEL" => 1,
            "MTSET" => 3,
            _ => 2,
        };
        for count in 0..12 {
            let mut command: Args = args![name];
            command.extend((0..count).map(|_| b"nothing".to_vec()));
            let reply = survive(&mut client, &everything, &command);
            if count < shortest || (name == "MTTIME" && count > 1) || (name == "MTMGET" && count % 2 == 1) {
                assert_eq!(reply, error(&wrong_arity(&name.to_lowercase())), "{}", show(&command));
            }
        }
    }
}

#[test]
fn hostile_bytes_in_the_index_hurt_no_reader() {
    let (_server, mut client, _) = furnished();
    let mut entries = bytes_that_hurt();
    entries.extend(hostile_numbers());
    for entry in entries {
        call!(client, "HSET", "MY_KEYSMTIME", "plain", entry);
        let shown = show(std::slice::from_ref(&entry));
        for command in [
            args!["MTGET", "plain", 1],
            args!["MTGET", "plain", 1, "WITHMTIME"],
            args!["MTTIME", "plain"],
            args!["MTMGET", "plain", 1],
            args!["MTTOUCH", "plain", 5, "IFEQ", -12_345],
            args!["MTDEL", "plain", "IFEQ", -12_345],
            args!["MTSET", "plain", "q", 5, "IFEQ", -12_345],
        ] {
            assert!(!client.call(&command).is_error(), "{} with the entry {shown}", show(&command));
            assert_eq!(client.run("PING").into_text(), "PONG");
        }
        assert_eq!(client.run("GET plain"), bulk("p"), "{shown}");
    }
}
