//! MTCLEAN in a cluster: a node at a time, over its own slots.

use crate::nodes::{Cluster, all, check_filing, entry, index_of, index_of_slot, single};
use crate::support::client::{Args, Client, args, bulk, call, error, int, nil, ok};
use std::process::Command;

/// A whole pass over a node: calls made and entries removed.
pub(crate) fn pass(client: &mut Client, count: usize) -> (usize, i64) {
    let (mut calls, mut removed) = (0, 0);
    let mut cursor = b"0".to_vec();
    loop {
        let reply = call!(client, "MTCLEAN", cursor, "COUNT", count).into_items();
        calls += 1;
        removed += reply[1].clone().into_int();
        cursor = reply[0].clone().into_bytes();
        if cursor == b"0" {
            return (calls, removed);
        }
    }
}

/// Entries of keys that never were.
fn orphans(client: &mut Client, number: usize) {
    let commands: Vec<Args> =
        (0..number).map(|i| format!("gone:{i}")).map(|key| args!["HSET", index_of(&key), key, 5]).collect();
    assert!(client.pipeline(&commands).into_iter().all(|reply| reply == int(1)));
}

#[test]
fn a_pass_goes_through_all_slots() {
    let server = single();
    let mut client = server.client();
    assert_eq!(pass(&mut client, 10).1, 0);
    orphans(&mut client, 1000);
    let live: Vec<Args> = (0..1000).map(|i| args!["MTSET", format!("live:{i}"), i, 5]).collect();
    client.pipeline(&live);
    // One big index, which takes several calls.
    let big: Vec<Args> =
        (0..1000).map(|i| args!["HSET", index_of("{big}"), format!("{{big}}gone{i}"), 5]).collect();
    client.pipeline(&big);
    let (calls, removed) = pass(&mut client, 100);
    assert_eq!(removed, 2000);
    assert!((100..5000).contains(&calls), "{calls} calls");
    assert_eq!(pass(&mut client, 1000).1, 0);
    for i in 0..1000 {
        assert_eq!(entry(&mut client, &format!("live:{i}")), bulk("5"));
    }
    check_filing(&server);
}

#[test]
fn one_call_writes_to_one_slot() {
    let server = crate::nodes::single_with(crate::support::aof::AOF);
    let mut client = server.client();
    orphans(&mut client, 300);
    let mut stream = crate::support::aof::Stream::of(&server);
    let mut cursor = b"0".to_vec();
    let mut slots = 0;
    loop {
        let reply = call!(client, "MTCLEAN", cursor, "COUNT", 1000).into_items();
        let lines = stream.take();
        let indexes: std::collections::BTreeSet<_> =
            lines.iter().filter_map(|line| line.strip_prefix("HDEL ")?.split(' ').next()).collect();
        assert!(indexes.len() <= 1, "{lines:?}");
        slots += indexes.len();
        cursor = reply[0].clone().into_bytes();
        if cursor == b"0" {
            break;
        }
    }
    assert!(slots > 100, "{slots} slots");
}

#[test]
fn entries_in_the_wrong_index_go_too() {
    let server = single();
    let mut client = server.client();
    client.run("MTSET foo v 5");
    client.run("SET other v");
    assert_eq!(call!(client, "HSET", index_of("foo"), "other", 5), int(1));
    assert_eq!(client.run("MTGET other 100"), bulk("v"));
    assert_eq!(pass(&mut client, 10).1, 1);
    assert_eq!(entry(&mut client, "foo"), bulk("5"));
    assert_eq!(call!(client, "HGET", index_of("foo"), "other"), nil());
}

#[test]
fn something_else_than_a_hash_is_passed_over() {
    let server = single();
    let mut client = server.client();
    orphans(&mut client, 20);
    call!(client, "SET", index_of_slot(0), "a string");
    call!(client, "SET", index_of("foo"), "a string");
    assert_eq!(pass(&mut client, 10).1, 20);
}

#[test]
fn not_in_transactions_and_scripts() {
    const REFUSED: &str = "ERR mtclean cannot be part of a transaction or a script in cluster mode";
    let server = single();
    let mut client = server.client();
    orphans(&mut client, 20);
    let replies = client.pipeline(&all(&["MULTI", "MTSET k v 5", "MTCLEAN 0 COUNT 1000", "EXEC"]));
    assert_eq!(replies.last().cloned().unwrap().into_items(), [ok(), error(REFUSED)]);
    let reply = call!(client, "EVAL", "return redis.pcall('MTCLEAN', 0)", 0);
    assert_eq!(reply, error(REFUSED));
    assert_eq!(pass(&mut client, 1000).1, 20);
    check_filing(&server);
}

#[test]
fn cursors_out_of_range_end_or_go_on() {
    let server = single();
    let mut client = server.client();
    orphans(&mut client, 20);
    for cursor in ["16383", "18446744073709551615", "16384", "99999999999"] {
        assert!(!call!(client, "MTCLEAN", cursor).is_error(), "{cursor}");
    }
    assert_eq!(call!(client, "MTCLEAN", "-1"), error("ERR invalid cursor"));
    pass(&mut client, 10);
    assert_eq!(client.run("DBSIZE"), int(0));
}

#[test]
fn other_nodes_and_slots_in_motion_are_left_alone() {
    let cluster = Cluster::of_masters(2);
    for number in 0..2 {
        let mut client = cluster.client(number);
        let own: Vec<Args> = (0..200)
            .map(|i| format!("gone:{i}"))
            .filter(|key| (crate::nodes::slot_of(key.as_bytes()) < 8192) == (number == 0))
            .map(|key| args!["HSET", index_of(&key), key, 5])
            .collect();
        assert!(client.pipeline(&own).into_iter().all(|reply| reply == int(1)));
    }
    let right = cluster.client(1).run("DBSIZE");
    let removed = pass(&mut cluster.client(0), 100).1;
    assert_eq!(cluster.client(0).run("DBSIZE"), int(0));
    assert_eq!(cluster.client(1).run("DBSIZE"), right);
    assert_eq!(removed + pass(&mut cluster.client(1), 100).1, 200);
}

#[test]
fn the_user_needs_permission_for_the_indexes() {
    let server = single();
    let mut client = server.client();
    orphans(&mut client, 5);
    client.run("ACL SETUSER cleaner on nopass +mtclean ~MY_KEYSMTIME{*}");
    client.run("ACL SETUSER nobody on nopass +mtclean ~other");
    let mut user = server.client();
    user.run("AUTH nobody x");
    assert_eq!(user.run("MTCLEAN 0"), error("NOPERM No permissions to access a key"));
    user.run("AUTH cleaner x");
    assert_eq!(pass(&mut user, 10).1, 5);
}

/// A block of docs/cluster.md.
fn block_of_the_page(language: &str) -> String {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cluster.md")).expect("the page");
    let (_, rest) = page.split_once(&format!("```{language}\n")).expect("a block");
    rest.split("```").next().expect("its end").to_owned()
}

fn run(program: &str, code: &str) -> String {
    let output = Command::new(program).args(["-c", code]).output().expect(program);
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && shown.is_empty(), "{program}: {shown}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_pass_of_the_page_cleans_every_node() {
    let cluster = Cluster::of_masters(3);
    let mut code = block_of_the_page("bash");
    for (number, node) in cluster.nodes.iter().enumerate() {
        let address = format!("127.0.0.1:{}", 7000 + number);
        assert!(code.contains(&address), "{code}");
        code = code.replace(&address, &format!("127.0.0.1:{}", node.port()));
    }
    let keys: Vec<String> = (0..300).map(|i| format!("gone:{i}")).collect();
    for key in &keys {
        let number = cluster
            .masters()
            .into_iter()
            .find(|number| call!(cluster.client(*number), "HSET", index_of(key), key, 5) == int(1));
        assert!(number.is_some(), "nobody takes {key}");
    }
    assert_eq!(run("bash", &code), "");
    for number in cluster.masters() {
        assert_eq!(cluster.client(number).run("DBSIZE"), int(0), "node {number}");
    }
}

#[test]
fn the_page_tells_the_name_of_an_index() {
    assert_eq!(run("python3", &block_of_the_page("python")), "MY_KEYSMTIME{foo}\n");
}
