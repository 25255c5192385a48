//! What the server can tell about each command: flags, key specs, keys of a call, documentation.

use crate::support::client::{BOTH_PROTOCOLS, Client, Reply, array, bulk, call, words};
use crate::support::server::Server;
use std::collections::BTreeSet;

struct Expected {
    name: &'static str,
    /// Flags that must be there, and flags that must not.
    flags: &'static [&'static str],
    not_flags: &'static [&'static str],
    /// One set for each allowed spelling of the key's access.
    access: &'static [&'static [&'static str]],
    /// First key, last key, step.
    keys: (i64, i64, i64),
    arguments: &'static [&'static str],
    tokens: &'static [&'static str],
}

const COMMANDS: [Expected; 6] = [
    Expected {
        name: "mtget",
        flags: &["readonly", "fast", "module"],
        not_flags: &["write", "denyoom", "movablekeys"],
        access: &[&["RO", "access"]],
        keys: (1, 1, 1),
        arguments: &["key", "since"],
        tokens: &["EXACT", "WITHMTIME"],
    },
    Expected {
        name: "mtset",
        flags: &["write", "denyoom", "fast", "module"],
        not_flags: &["readonly", "movablekeys"],
        access: &[&["OW", "update"]],
        keys: (1, 1, 1),
        arguments: &["key", "value", "mtime"],
        tokens: &["IFNEWER", "IFEQ", "NX", "XX", "EX", "PX", "EXAT", "PXAT", "KEEPTTL"],
    },
    Expected {
        name: "mtmget",
        flags: &["readonly", "fast", "module"],
        not_flags: &["write", "denyoom", "movablekeys"],
        access: &[&["RO", "access"]],
        keys: (1, -1, 2),
        arguments: &["key", "since"],
        tokens: &[],
    },
    Expected {
        name: "mttime",
        flags: &["readonly", "fast", "module"],
        not_flags: &["write", "denyoom", "movablekeys"],
        access: &[&["RO", "access"]],
        keys: (1, 1, 1),
        arguments: &["key"],
        tokens: &[],
    },
    Expected {
        name: "mttouch",
        flags: &["write", "fast", "module"],
        not_flags: &["readonly", "movablekeys"],
        access: &[&["RW", "update"], &["OW", "update"]],
        keys: (1, 1, 1),
        arguments: &["key", "mtime"],
        tokens: &["IFNEWER", "IFEQ"],
    },
    Expected {
        name: "mtdel",
        flags: &["write", "fast", "module"],
        not_flags: &["readonly", "denyoom", "movablekeys"],
        access: &[&["RM", "delete"], &["RW", "delete"], &["RW", "access", "delete"]],
        keys: (1, 1, 1),
        arguments: &["key"],
        tokens: &["IFNEWER", "IFEQ"],
    },
];

fn texts(reply: Reply) -> BTreeSet<String> {
    reply.into_items().into_iter().map(Reply::into_text).collect()
}

fn text_set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn command_info_tells_flags_and_keys() {
    let server = Server::start();
    for protocol in BOTH_PROTOCOLS {
        let mut client = server.client_speaking(protocol);
        for expected in &COMMANDS {
            let info = call!(client, "COMMAND", "INFO", expected.name).into_items().remove(0).into_items();
            assert_eq!(info[0], bulk(expected.name));
            let flags = texts(info[2].clone());
            for flag in expected.flags {
                assert!(flags.contains(*flag), "{}: {flag} is missing in {flags:?}", expected.name);
            }
            for flag in expected.not_flags {
                assert!(!flags.contains(*flag), "{}: {flag} is in {flags:?}", expected.name);
            }
            let (first, last, step) = expected.keys;
            // The legacy triple has no room for "every second argument to the end but one".
            assert_eq!(info[3], Reply::Int(first), "{}: first key", expected.name);
            assert_eq!(info[5], Reply::Int(step), "{}: key step", expected.name);
            if step == 1 {
                assert_eq!(info[4], Reply::Int(last), "{}: last key", expected.name);
            }
            let specs = info[8].clone().into_items();
            assert_eq!(specs.len(), 1, "{}: one key spec", expected.name);
            let access = key_access(specs[0].field("flags").expect("flags of a key spec"));
            assert!(allowed(expected, &access), "{}: the key is {access:?}", expected.name);
        }
    }
}

/// Only what says who may do what; servers add marks of their own.
fn key_access(flags: Reply) -> BTreeSet<String> {
    texts(flags).into_iter().filter(|flag| flag != "variable_flags").collect()
}

fn allowed(expected: &Expected, access: &BTreeSet<String>) -> bool {
    expected.access.iter().any(|wanted| text_set(wanted) == *access)
}

#[test]
fn getkeys_finds_the_keys_of_a_call() {
    let server = Server::start();
    let mut client = server.client();
    for (line, keys) in [
        ("MTGET k 5", vec!["k"]),
        ("MTGET k 5 EXACT WITHMTIME", vec!["k"]),
        ("MTSET k v 5", vec!["k"]),
        ("MTSET NX v 5 IFEQ 4 EX 10", vec!["NX"]),
        ("MTMGET a 1", vec!["a"]),
        ("MTMGET a 1 b 2 c 3", vec!["a", "b", "c"]),
        ("MTTIME k", vec!["k"]),
        ("MTTOUCH k 5 IFEQ 4", vec!["k"]),
        ("MTDEL k IFEQ 4", vec!["k"]),
    ] {
        let reply = client.call(&words(&format!("COMMAND GETKEYS {line}")));
        assert_eq!(reply, array(keys.into_iter().map(bulk)), "{line}");
    }
}

#[test]
fn getkeysandflags_tells_the_access() {
    let server = Server::start();
    let mut client = server.client();
    for (line, keys, name) in [
        ("MTGET k 5", vec!["k"], "mtget"),
        ("MTSET k v 5", vec!["k"], "mtset"),
        ("MTMGET a 1 b 2", vec!["a", "b"], "mtmget"),
        ("MTTIME k", vec!["k"], "mttime"),
        ("MTTOUCH k 5", vec!["k"], "mttouch"),
        ("MTDEL k", vec!["k"], "mtdel"),
    ] {
        let expected = COMMANDS.iter().find(|command| command.name == name).expect("a known command");
        let found = client.call(&words(&format!("COMMAND GETKEYSANDFLAGS {line}"))).into_items();
        assert_eq!(found.len(), keys.len(), "{line}");
        for (found, key) in found.into_iter().zip(keys) {
            let parts = found.into_items();
            assert_eq!(parts[0], bulk(key), "{line}");
            let access = key_access(parts[1].clone());
            assert!(allowed(expected, &access), "{line}: {access:?}");
        }
    }
}

/// The names and tokens of arguments, nested ones included.
fn collect_arguments(arguments: Reply, names: &mut BTreeSet<String>, tokens: &mut BTreeSet<String>) {
    for argument in arguments.into_items() {
        let text = |field: &str| argument.field(field).map(Reply::into_text);
        names.extend(text("name"));
        tokens.extend(text("token"));
        if let Some(nested) = argument.field("arguments") {
            collect_arguments(nested, names, tokens);
        }
    }
}

fn docs(client: &mut Client, name: &str) -> Reply {
    let reply = call!(client, "COMMAND", "DOCS", name);
    reply.field(name).unwrap_or_else(|| panic!("no documentation of {name}"))
}

#[test]
fn command_docs_describe_every_command() {
    let server = Server::start();
    for protocol in BOTH_PROTOCOLS {
        let mut client = server.client_speaking(protocol);
        for expected in &COMMANDS {
            let docs = docs(&mut client, expected.name);
            for field in ["summary", "since", "group", "complexity"] {
                let text = docs.field(field).unwrap_or_else(|| panic!("{}: no {field}", expected.name));
                assert!(!text.into_text().is_empty(), "{}: {field} is empty", expected.name);
            }
            assert_eq!(docs.field("module"), Some(bulk("mtime")), "{}", expected.name);
            assert!(
                docs.field("complexity").expect("checked").into_text().contains("O("),
                "{}",
                expected.name
            );
            let (mut names, mut tokens) = (BTreeSet::new(), BTreeSet::new());
            let arguments =
                docs.field("arguments").unwrap_or_else(|| panic!("{}: no arguments", expected.name));
            collect_arguments(arguments, &mut names, &mut tokens);
            for argument in expected.arguments {
                assert!(names.contains(*argument), "{}: no argument {argument} in {names:?}", expected.name);
            }
            assert_eq!(tokens, text_set(expected.tokens), "{}: tokens", expected.name);
        }
    }
}

#[test]
fn command_docs_say_which_arguments_are_optional_and_repeated() {
    let server = Server::start();
    let mut client = server.client();
    let flags = |argument: &Reply| argument.field("flags").map(texts).unwrap_or_default();
    for expected in &COMMANDS {
        let arguments = docs(&mut client, expected.name).field("arguments").expect("arguments").into_items();
        for argument in &arguments {
            let name = argument.field("name").expect("a name").into_text();
            let is_required = expected.arguments.contains(&name.as_str()) || expected.name == "mtmget";
            assert_eq!(!flags(argument).contains("optional"), is_required, "{}: {name}", expected.name);
        }
    }
    let pairs = docs(&mut client, "mtmget").field("arguments").expect("arguments").into_items();
    assert_eq!(pairs.len(), 1, "one block of key and since");
    assert_eq!(pairs[0].field("type"), Some(bulk("block")));
    assert!(flags(&pairs[0]).contains("multiple"), "the block repeats");
}

#[test]
fn the_module_is_listed_with_its_name() {
    let server = Server::start();
    let mut client = server.client();
    let modules = client.run("MODULE LIST").into_items();
    assert!(modules.iter().any(|module| module.field("name") == Some(bulk("mtime"))), "{modules:?}");
    for expected in &COMMANDS {
        assert!(
            call!(client, "COMMAND", "LIST", "FILTERBY", "MODULE", "mtime")
                .into_items()
                .contains(&bulk(expected.name)),
            "{}",
            expected.name
        );
    }
}
