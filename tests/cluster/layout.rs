//! Where mtimes live in a cluster: one index a slot, named by the tag of the slot.

use crate::nodes::{
    SLOTS, check_filing, index_of, index_of_slot, node, single, single_with, slot_of, tag_of,
};
use crate::support::client::{Args, Reply, args, bulk, call, error, int, nil, ok};
use crate::support::errors::RESERVED;
use crate::support::server::Server;
use crate::support::storage::has_no_index;
use std::time::{Duration, Instant};

#[test]
fn every_slot_has_the_tag_of_the_contract() {
    if has_no_index("the names of the indexes") {
        return;
    }
    let server = single();
    let mut client = server.client();
    // Known by heart, so that a fault in both implementations would show.
    assert_eq!((slot_of(b"foo"), tag_of(12182)), (12182, "foo"));
    let names: Vec<String> = (0..SLOTS).map(index_of_slot).collect();
    let commands: Vec<Args> = names.iter().map(|name| args!["CLUSTER", "KEYSLOT", name]).collect();
    for (slot, reply) in client.pipeline(&commands).into_iter().enumerate() {
        assert_eq!(reply, int(i64::try_from(slot).unwrap()), "{}", names[slot]);
    }
    let commands: Vec<Args> =
        (0..SLOTS).map(|slot| args!["MTSET", format!("k{{{}}}", tag_of(slot)), slot, slot]).collect();
    assert!(client.pipeline(&commands).into_iter().all(|reply| reply == ok()));
    let commands: Vec<Args> = names.iter().map(|name| args!["HLEN", name]).collect();
    assert!(client.pipeline(&commands).into_iter().all(|reply| reply == int(1)), "an index has another name");
    assert_eq!(client.run("DBSIZE"), int(2 * 16384));
    check_filing(&server);
}

#[test]
fn slots_of_any_bytes_are_those_of_the_server() {
    if has_no_index("the names of the indexes") {
        return;
    }
    let server = single();
    let mut client = server.client();
    for key in [
        &b"{user1000}.following"[..],
        b"foo{}{bar}",
        b"foo{{bar}}zap",
        b"foo{bar}{zap}",
        b"foo{bar",
        b"foo}bar{zap}",
        b"}{",
        b"{",
        b"",
        b"\0\xff\r\n{\0}x",
        b"%s {k}",
    ] {
        let slot = slot_of(key);
        assert_eq!(call!(client, "CLUSTER", "KEYSLOT", key), int(i64::try_from(slot).unwrap()));
        assert_eq!(call!(client, "MTSET", key, "v", 5), ok());
        assert_eq!(call!(client, "HGET", index_of_slot(slot), key), bulk("5"), "{}", key.escape_ascii());
    }
    check_filing(&server);
}

#[test]
fn only_the_index_of_its_own_slot_is_reserved() {
    let server = single();
    let mut client = server.client();
    let index = index_of("k");
    for line in ["MTGET {} 0", "MTSET {} v 1", "MTMGET {} 0", "MTTIME {}", "MTTOUCH {} 1", "MTDEL {}"] {
        assert_eq!(client.run(&line.replace("{}", &index)), error(RESERVED), "{line}");
    }
    // Ordinary keys: the name without a tag, one with another tag of the same slot, one with more after the tag.
    for key in
        ["MY_KEYSMTIME", "MY_KEYSMTIME{longer}", "MY_KEYSMTIME{}", &format!("{index}x"), "MY_KEYSMTIME{zzzz}"]
    {
        assert_ne!(key, index_of(key));
        assert_eq!(call!(client, "MTSET", key, "v", 7), ok(), "{key}");
        assert_eq!(call!(client, "MTTIME", key), bulk("7"), "{key}");
    }
}

#[test]
fn another_name_of_the_index_gets_the_tag_too() {
    if has_no_index("the names of the indexes") {
        return;
    }
    let server = single_with(&["mtime.index-key times"]);
    let mut client = server.client();
    assert_eq!(client.run("MTSET foo v 5"), ok());
    assert_eq!(client.run("HGET times{foo} foo"), bulk("5"));
    assert_eq!(client.run("CONFIG GET mtime.index-key").into_items()[1], bulk("times"));
}

#[test]
fn a_name_of_the_index_with_a_brace_is_refused_in_cluster_mode() {
    if has_no_index("the names of the indexes") {
        return;
    }
    let builder = Server::builder().node().with(&["mtime.index-key times{x}"]);
    let Err(log) = builder.try_start() else { panic!("the server started") };
    assert!(log.contains("mtime.index-key must not contain '{' in cluster mode"), "{log}");
    // Nowhere else.
    let server = Server::with(&["mtime.index-key times{x}"]);
    assert_eq!(server.client().run("MTSET k v 5"), ok());
    assert_eq!(server.client().run("HGET times{x} k"), bulk("5"));
}

#[test]
fn all_indexes_are_hash_tables_also_after_a_reload() {
    if has_no_index("the names of the indexes") {
        return;
    }
    let server = single();
    let mut client = server.client();
    let keys: Vec<String> = (0..200).map(|i| format!("key:{i}")).collect();
    let commands: Vec<Args> = keys.iter().map(|key| args!["MTSET", key, "v", 5]).collect();
    client.pipeline(&commands);
    // One by a script, in a slot of its own.
    assert_eq!(call!(client, "HSET", index_of("seed"), "seed", 5), int(1));
    let encodings = |client: &mut crate::support::client::Client| {
        for key in keys.iter().map(String::as_str).chain(["seed"]) {
            let encoding = call!(client, "OBJECT", "ENCODING", index_of(key));
            assert_eq!(encoding, bulk("hashtable"), "{}", index_of(key));
            assert!(call!(client, "HLEN", index_of(key)).into_int() >= 1);
        }
    };
    encodings(&mut client);
    assert_eq!(client.run("DEBUG RELOAD"), ok());
    encodings(&mut client);
}

#[test]
fn without_slots_commands_answer_as_core_commands_do() {
    let server = node(&[]);
    let mut client = server.client();
    for line in ["MTGET k 0", "MTSET k v 1", "MTMGET k 0", "MTTIME k", "MTTOUCH k 1", "MTDEL k"] {
        let Reply::Error(core) = client.run("GET k") else { panic!("served") };
        assert_eq!(client.run(line), error(&core), "{line}");
    }
}

#[test]
fn the_index_of_a_slot_does_not_look_idle() {
    if has_no_index("an index") {
        return;
    }
    let server = single();
    let mut client = server.client();
    assert_eq!(call!(client, "MTSET", "{foo}k", "v".repeat(500), 100), ok());
    // Reads are answered without the index for two seconds, and the server counts idleness by a clock of its own.
    let end = Instant::now() + Duration::from_secs(7);
    while Instant::now() < end {
        assert_eq!(client.run("MTGET {foo}k 100"), nil());
        assert!(call!(client, "OBJECT", "IDLETIME", index_of("{foo}k")).into_int() <= 4);
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_ne!(client.info("mtime", "mtime_index_lookups_saved"), "0");
}
