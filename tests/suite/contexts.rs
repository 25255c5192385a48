//! The commands inside everything that can run a command: MULTI, EVAL, FCALL, pipelines, both protocols, any
//! database.

use crate::support::client::{
    BOTH_PROTOCOLS, args, array, bulk, call, error, int, modified, nil, not_modified, ok, words,
};
use crate::support::errors::{NOT_AN_MTIME, WRONG_TYPE};
use crate::support::server::Server;
use crate::support::storage::index_keys;

#[test]
fn in_a_transaction() {
    let server = Server::start();
    for protocol in BOTH_PROTOCOLS {
        let mut client = server.client_speaking(protocol);
        client.run("FLUSHALL");
        client.run("RPUSH list a");
        let replies = client.pipeline(
            &[
                "MULTI",
                "MTSET k v 100",
                "MTGET k 99",
                "MTGET k 100",
                "MTGET k 99 WITHMTIME",
                "MTSET k w 50 IFNEWER",
                "MTTIME k",
                "MTGET list 1",
                "MTSET k w abc",
                "MTTOUCH k 101",
                "MTMGET k 100 nokey 1",
                "MTDEL k",
                "MTGET k 0",
                "EXEC",
            ]
            .map(words),
        );
        assert_eq!(
            replies[13],
            array([
                ok(),
                bulk("v"),
                nil(),
                modified("100", "v"),
                nil(),
                bulk("100"),
                error(WRONG_TYPE),
                error(NOT_AN_MTIME),
                int(1),
                array([modified("101", "v"), nil()]),
                int(1),
                nil(),
            ]),
            "{protocol:?}"
        );
    }
}

#[test]
fn a_discarded_transaction_changes_nothing() {
    let server = Server::start();
    let mut client = server.client();
    client.pipeline(&["MULTI", "MTSET k v 100", "DISCARD"].map(words));
    assert_eq!(client.run("DBSIZE"), int(0));
}

#[test]
fn in_a_script() {
    let server = Server::start();
    for protocol in BOTH_PROTOCOLS {
        let mut client = server.client_speaking(protocol);
        client.run("FLUSHALL");
        let script = "\
            local written = redis.call('MTSET', KEYS[1], 'v', '100')
            return {written, redis.call('MTGET', KEYS[1], '99'), redis.call('MTGET', KEYS[1], '100'),
                    redis.call('MTGET', KEYS[1], '100', 'WITHMTIME'), redis.call('MTTIME', KEYS[1]),
                    redis.call('MTMGET', KEYS[1], 1, 'nokey', 1), redis.call('MTTOUCH', KEYS[1], 5),
                    redis.call('MTDEL', KEYS[1]), redis.call('EXISTS', KEYS[1])}";
        assert_eq!(
            call!(client, "EVAL", script, 1, "k"),
            array([
                ok(),
                bulk("v"),
                nil(),
                not_modified("100"),
                bulk("100"),
                array([modified("100", "v"), nil()]),
                int(1),
                int(1),
                int(0)
            ]),
            "{protocol:?}"
        );
    }
}

#[test]
fn nulls_in_a_script_are_those_of_get() {
    let server = Server::start();
    let mut client = server.client();
    let same = "return {tostring(redis.call('GET', 'nokey')), tostring(redis.call('MTGET', 'nokey', '1')),
                        tostring(redis.call('MTGET', 'nokey', '1', 'WITHMTIME')), tostring(redis.call('MTTIME', 'nokey')),
                        tostring(redis.call('MTSET', 'nokey', 'v', '1', 'XX'))}";
    assert_eq!(call!(client, "EVAL", same, 0), array([const { "false" }; 5].map(bulk)));
    let resp3 = format!("redis.setresp(3) {same}");
    assert_eq!(call!(client, "EVAL", resp3, 0), array([const { "nil" }; 5].map(bulk)));
    client.run("MTSET k v 5");
    let values =
        "redis.setresp(3) return {redis.call('MTGET', 'k', '4'), redis.call('MTGET', 'k', '4', 'WITHMTIME')}";
    assert_eq!(call!(client, "EVAL", values, 0), array([bulk("v"), modified("5", "v")]));
}

#[test]
fn errors_in_a_script_can_be_caught() {
    let server = Server::start();
    let mut client = server.client();
    client.run("RPUSH list a");
    let script =
        "return {redis.pcall('MTGET', 'list', '1')['err'], redis.pcall('MTSET', 'k', 'v', 'abc')['err']}";
    assert_eq!(call!(client, "EVAL", script, 0), array([bulk(WRONG_TYPE), bulk(NOT_AN_MTIME)]));
    assert_eq!(client.run("EXISTS k"), int(0));
}

#[test]
fn a_read_only_script_may_read_and_not_write() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    let read = "return {redis.call('MTGET', KEYS[1], '1'), redis.call('MTTIME', KEYS[1]), redis.call('MTMGET', KEYS[1], '1')}";
    assert_eq!(
        call!(client, "EVAL_RO", read, 1, "k"),
        array([bulk("v"), bulk("100"), array([modified("100", "v")])])
    );
    for write in ["'MTSET', KEYS[1], 'w', '5'", "'MTTOUCH', KEYS[1], '5'", "'MTDEL', KEYS[1]"] {
        let reply = call!(client, "EVAL_RO", format!("return redis.call({write})"), 1, "k");
        assert!(format!("{reply:?}").contains("read-only"), "{write}: {reply:?}");
    }
    assert_eq!(client.run("MTGET k 99 WITHMTIME"), modified("100", "v"));
}

#[test]
fn in_a_function() {
    let server = Server::start();
    let mut client = server.client();
    let library = "#!lua name=cache
redis.register_function('put', function(keys, args) return redis.call('MTSET', keys[1], args[1], args[2]) end)
redis.register_function{function_name='get', flags={'no-writes'},
    callback=function(keys, args) return redis.call('MTGET', keys[1], args[1], 'WITHMTIME') end}";
    assert_eq!(call!(client, "FUNCTION", "LOAD", library), bulk("cache"));
    assert_eq!(client.run("FCALL put 1 k v 100"), ok());
    assert_eq!(client.run("FCALL get 1 k 99"), modified("100", "v"));
    assert_eq!(client.run("FCALL_RO get 1 k 100"), not_modified("100"));
    assert_eq!(client.run("FCALL_RO get 1 nokey 100"), nil());
    assert!(client.run("FCALL put 1 k v abc").is_error());
    assert_eq!(client.run("MTTIME k"), bulk("100"));
}

#[test]
fn in_any_database() {
    let server = Server::start();
    let mut client = server.client();
    for database in [0, 1, 15] {
        call!(client, "SELECT", database);
        assert_eq!(client.run("MTGET k 0"), nil(), "{database}");
        assert_eq!(call!(client, "MTSET", "k", database, database), ok());
    }
    for database in [0, 1, 15] {
        call!(client, "SELECT", database);
        assert_eq!(call!(client, "MTGET", "k", -1, "WITHMTIME"), modified(&database.to_string(), database));
        assert_eq!(client.run("DBSIZE"), int(1 + index_keys()));
    }
    client.run("MTDEL k");
    client.run("SELECT 1");
    assert_eq!(client.run("MTTIME k"), bulk("1"));
}

#[test]
fn a_swapped_database_takes_its_index_along() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 5");
    client.run("SWAPDB 0 1");
    assert_eq!(client.run("MTGET k 0 WITHMTIME"), nil());
    client.run("SELECT 1");
    assert_eq!(client.run("MTGET k 0 WITHMTIME"), modified("5", "v"));
    client.run("FLUSHDB");
    assert_eq!(client.run("MTGET k 0 WITHMTIME"), nil());
}

#[test]
fn in_a_long_pipeline() {
    let server = Server::start();
    for protocol in BOTH_PROTOCOLS {
        let mut client = server.client_speaking(protocol);
        client.run("FLUSHALL");
        let mut commands = Vec::new();
        for i in 0..1000 {
            commands.push(args!["MTSET", format!("k{}", i % 7), i, i]);
            commands.push(args!["MTGET", format!("k{}", i % 7), i - 1]);
            commands.push(args!["MTGET", format!("k{}", i % 7), i]);
            commands.push(args!["MTGET", format!("k{}", i % 7), "abc"]);
        }
        let replies = client.pipeline(&commands);
        for (i, replies) in replies.chunks_exact(4).enumerate() {
            assert_eq!(replies[..3], [ok(), bulk(i), nil()], "{protocol:?} {i}");
            assert!(replies[3].is_error());
        }
    }
}

#[test]
fn clients_at_the_same_time_see_whole_writes() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k 0 0");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = server.client();
                for i in 1..=500 {
                    call!(client, "MTSET", "k", i, i, "IFNEWER");
                }
            });
        }
        scope.spawn(|| {
            let mut client = server.client();
            for _ in 0..1000 {
                let pair = call!(client, "MTGET", "k", -1, "WITHMTIME").into_items();
                assert_eq!(pair[0], pair[1], "value and mtime belong together");
            }
        });
    });
    assert_eq!(client.run("MTGET k 0 WITHMTIME"), modified("500", "500"));
}
