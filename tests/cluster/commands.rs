//! The commands in a cluster: as alone.

use crate::nodes::{Cluster, all, check_filing, entry, single};
use crate::support::client::{
    Reply, array, bulk, call, error, int, modified, nil, not_modified, ok, untracked,
};

#[test]
fn they_reply_as_alone() {
    let server = single();
    let mut client = server.client();
    let replies = client.pipeline(&all(&[
        "MTGET k 0",
        "MTSET k v 100",
        "MTGET k 99",
        "MTGET k 100",
        "MTGET k 100 WITHMTIME",
        "MTTIME k",
        "MTSET k w 100 IFNEWER",
        "MTSET k w 101 IFNEWER PX 100000",
        "MTTOUCH k 102 IFEQ 101",
        "MTMGET k 0 {k}other 0",
        "MTDEL k IFNEWER 102",
        "MTDEL k IFEQ 102",
        "MTTIME k",
    ]));
    let expected = [
        nil(),
        ok(),
        bulk("v"),
        nil(),
        not_modified("100"),
        bulk("100"),
        nil(),
        ok(),
        int(1),
        array([modified("102", "w"), nil()]),
        int(0),
        int(1),
        nil(),
    ];
    assert_eq!(replies, expected);
    assert_eq!(client.run("DBSIZE"), int(0));
}

#[test]
fn they_work_in_transactions_and_scripts() {
    let server = single();
    let mut client = server.client();
    let replies =
        client.pipeline(&all(&["MULTI", "MTSET k v 5", "SET {k}2 w", "MTTOUCH {k}2 6", "MTGET k 4", "EXEC"]));
    assert_eq!(replies.last(), Some(&array([ok(), ok(), int(1), bulk("v")])));
    let script = "redis.call('MTSET', KEYS[1], 's', 7) return redis.call('MTGET', KEYS[1], 6)";
    assert_eq!(call!(client, "EVAL", script, 1, "k"), bulk("s"));
    assert_eq!(entry(&mut client, "k"), bulk("7"));
    // A script that may go to any slot of this node.
    let script = "#!lua flags=allow-cross-slot-keys
        for i = 1, 50 do redis.call('MTSET', 'key:' .. i, i, i) end
        for i = 1, 50, 2 do redis.call('SET', 'key:' .. i, 'plain') end
        return redis.call('MTMGET', 'key:7', 0)[1]";
    assert_eq!(call!(client, "EVAL", script, 0), untracked("plain"));
    for i in 1..=50 {
        let key = format!("key:{i}");
        let expected = if i % 2 == 0 { bulk(i.to_string()) } else { nil() };
        assert_eq!(entry(&mut client, &key), expected, "{key}");
    }
    check_filing(&server);
}

#[test]
fn keys_of_several_slots_in_one_command_are_refused_by_the_server() {
    let server = single();
    let mut client = server.client();
    let reply = client.run("MTMGET a 0 b 0");
    assert!(matches!(&reply, Reply::Error(line) if line.starts_with("CROSSSLOT")), "{reply:?}");
}

#[test]
fn a_key_of_another_node_is_moved() {
    let cluster = Cluster::of_masters(2);
    // foo is in slot 12182, a in 15495, both in the upper half.
    let mut client = cluster.client(0);
    let moved = client.run("GET foo");
    assert!(matches!(&moved, Reply::Error(line) if line.starts_with("MOVED 12182 ")), "{moved:?}");
    for line in ["MTGET foo 0", "MTSET foo v 1", "MTMGET foo 0", "MTTIME foo", "MTTOUCH foo 1", "MTDEL foo"] {
        assert_eq!(client.run(line), moved, "{line}");
    }
    // The other index is there, too, and nobody may use it by its name.
    assert_eq!(cluster.client(1).run("MTSET foo v 1"), ok());
    assert_eq!(cluster.client(1).run("MTGET MY_KEYSMTIME{foo} 0"), error(crate::support::errors::RESERVED));
}

#[test]
fn replicas_serve_reads_to_readonly_clients() {
    let cluster = Cluster::new(1, 1, &[]);
    assert_eq!(cluster.client(0).run("MTSET foo v 100"), ok());
    assert_eq!(
        cluster.client(0).run("MTSET long vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv 5"),
        ok()
    );
    cluster.nodes[1].sync_with(&cluster.nodes[0]);
    let mut replica = cluster.client(1);
    assert!(matches!(replica.run("MTGET foo 0"), Reply::Error(line) if line.starts_with("MOVED")));
    assert_eq!(replica.run("READONLY"), ok());
    assert_eq!(replica.run("MTGET foo 99"), bulk("v"));
    assert_eq!(replica.run("MTGET foo 100"), nil());
    assert_eq!(replica.run("MTMGET foo 99 {foo}x 0"), array([modified("100", "v"), nil()]));
    assert_eq!(replica.run("MTTIME long"), bulk("5"));
    assert_eq!(replica.run("MTGET long 5 WITHMTIME"), not_modified("5"));
    for line in ["MTSET foo w 101", "MTTOUCH foo 101", "MTDEL foo"] {
        assert!(matches!(replica.run(line), Reply::Error(line) if line.starts_with("MOVED")), "{line}");
    }
    assert_eq!(entry(&mut replica, "foo"), bulk("100"));
}
