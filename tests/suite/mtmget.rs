//! `MTMGET key since [key since ...]`.

use crate::support::client::{
    Args, BOTH_PROTOCOLS, array, bulk, call, error, modified, nil, not_modified, untracked,
};
use crate::support::dataset::unchanged;
use crate::support::errors::{NOT_A_SINCE, RESERVED, wrong_arity};
use crate::support::server::Server;
use crate::support::wire::Wire;

#[test]
fn each_key_answers_for_itself() {
    let server = Server::start();
    for protocol in BOTH_PROTOCOLS {
        let mut client = server.client_speaking(protocol);
        client.run("MTSET a 1 100");
        client.run("MTSET b 2 200");
        client.run("SET plain p");
        client.run("RPUSH list x");
        client.run("HSET MY_KEYSMTIME gone 5");
        client.run("HSET MY_KEYSMTIME list 5");
        assert_eq!(
            client.run("MTMGET a 99 b 200 plain 1e308 list 0 nokey 0 gone 0"),
            array([modified("100", "1"), not_modified("200"), untracked("p"), nil(), nil(), nil()])
        );
        assert_eq!(client.run("mtmget b 0"), array([modified("200", "2")]));
    }
}

#[test]
fn one_key_may_come_twice() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    assert_eq!(
        client.run("MTMGET k 100 k 99 k 100"),
        array([not_modified("100"), modified("100", "v"), not_modified("100")])
    );
}

#[test]
fn nothing_is_tracked_when_there_is_no_index() {
    let server = Server::start();
    let mut client = server.client();
    client.run("SET a 1");
    assert_eq!(client.run("MTMGET a 5 nokey 5"), array([untracked("1"), nil()]));
    assert_eq!(client.run("DBSIZE").into_int(), 1, "reading makes no index");
}

#[test]
fn odd_counts_are_the_servers_own_error() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET a 1 100");
    for line in ["MTMGET", "MTMGET a", "MTMGET a 1 b", "MTMGET a 1 b 2 c"] {
        assert_eq!(client.run(line), error(&wrong_arity("mtmget")), "{line}");
    }
}

#[test]
fn one_bad_pair_fails_the_whole_command() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET a 1 100");
    for line in ["MTMGET a abc", "MTMGET a 1 nokey abc", "MTMGET a 1 a EXACT", "MTMGET a 1 b *"] {
        assert_eq!(unchanged(&mut client, |c| c.run(line)), error(NOT_A_SINCE), "{line}");
    }
    for line in ["MTMGET MY_KEYSMTIME 0", "MTMGET a 1 MY_KEYSMTIME 1", "MTMGET a 1 MY_KEYSMTIME 0 b 1"] {
        assert_eq!(unchanged(&mut client, |c| c.run(line)), error(RESERVED), "{line}");
    }
}

#[test]
fn option_names_are_ordinary_keys() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET WITHMTIME v 5");
    assert_eq!(client.run("MTMGET WITHMTIME 4 EXACT 4"), array([modified("5", "v"), nil()]));
}

#[test]
fn batches_of_1_1000_and_100000_keys() {
    let server = Server::start();
    let mut client = server.client();
    let existing = 1000;
    let writes: Vec<Args> = (0..existing)
        .map(|i| vec![b"MTSET".to_vec(), key(i), value(i), i.to_string().into_bytes()])
        .collect();
    client.pipeline(&writes);
    for count in [1_usize, 1000, 100_000] {
        let mut command: Args = vec![b"MTMGET".to_vec()];
        for i in 0..count {
            command.push(key(i));
            command.push(b"499".to_vec());
        }
        let items = client.call(&command).into_items();
        assert_eq!(items.len(), count);
        for (i, item) in items.into_iter().enumerate() {
            let expected = match i {
                0..500 => not_modified(&i.to_string()),
                _ if i < existing => modified(&i.to_string(), value(i)),
                _ => nil(),
            };
            assert_eq!(item, expected, "key {i} of {count}");
        }
    }
}

fn key(i: usize) -> Vec<u8> {
    format!("key:{i}").into_bytes()
}

/// Values of every encoding and of many lengths.
fn value(i: usize) -> Vec<u8> {
    match i % 3 {
        0 => i.to_string().into_bytes(),
        1 => vec![b'x'; i % 60],
        _ => vec![b'y'; i],
    }
}

#[test]
fn replies_have_fixed_bytes() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    client.run("SET plain p");
    Wire::resp2(&server).expect(
        "MTMGET k 99 k 100 plain 1 nokey 1",
        "*4\r\n*2\r\n$3\r\n100\r\n$1\r\nv\r\n*2\r\n$3\r\n100\r\n$-1\r\n*2\r\n$-1\r\n$1\r\np\r\n$-1\r\n",
    );
    Wire::resp3(&server).expect(
        "MTMGET k 99 k 100 plain 1 nokey 1",
        "*4\r\n*2\r\n$3\r\n100\r\n$1\r\nv\r\n*2\r\n$3\r\n100\r\n_\r\n*2\r\n_\r\n$1\r\np\r\n_\r\n",
    );
}

#[test]
fn values_are_those_of_mget() {
    let server = Server::start();
    let mut client = server.client();
    for (name, content) in
        [("int", "12345".to_owned()), ("short", "abc".to_owned()), ("long", "x".repeat(5000))]
    {
        call!(client, "SET", name, content);
    }
    let theirs = client.run("MGET int short long nokey").into_items();
    let ours = client.run("MTMGET int 0 short 0 long 0 nokey 0").into_items();
    for (ours, theirs) in ours.into_iter().zip(theirs) {
        match theirs {
            theirs if theirs == nil() => assert_eq!(ours, nil()),
            theirs => assert_eq!(ours, array([nil(), bulk(theirs.into_bytes())])),
        }
    }
}
