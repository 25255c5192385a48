//! Keys that go by themselves, because their time is up or memory is short, take their entries along.

use crate::support::aof::{AOF, Stream};
use crate::support::client::{
    Args, Client, Reply, args, array, bulk, call, int, modified, nil, not_modified, ok, untracked, words,
};
use crate::support::dataset::{INDEX, digest, index_entries, orphans};
use crate::support::server::Server;
use crate::support::storage::{has_no_index, index_keys, is_keymeta, spartan};
use crate::support::wait;

/// `k`, tracked, whose time is up, on a server that removes such keys only when somebody looks; and `other`.
fn run_out(client: &mut Client) {
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    client.run("MTSET other value 100");
    client.run("MTSET k value 100 PX 1");
    let end = client.clock_us() + 2_000;
    wait::until("the time of k to run out", || (client.clock_us() > end).then_some(()));
}

fn fields(client: &mut Client) -> Vec<String> {
    index_entries(client).into_keys().collect()
}

#[test]
fn whoever_meets_an_expired_key_drops_its_entry() {
    let mut master = Server::builder().with(AOF).tcp().start();
    let replicas =
        [Server::builder(), spartan(Server::builder())].map(|replica| Server::replica_of(&master, replica));
    let mut client = master.client();
    let mut stream = Stream::of(&master);
    for line in [
        "GET k",
        "EXISTS k",
        "TTL k",
        "TYPE k",
        "STRLEN k",
        "DEL k",
        "PERSIST k",
        "LPUSHX k a",
        "RENAMENX other k",
        "MTGET k 100",
        "MTGET k 100 WITHMTIME",
        "MTTIME k",
        "MTMGET k 100 other 100",
        "MTMGET other 100 k 100",
        "MTTOUCH k 500",
        "MTDEL k",
        "MTSET k v 500 XX",
        "MTSET k v 500 IFEQ 100",
        "EVAL return(redis.call('GET',KEYS[1])) 1 k",
        "EVAL return(redis.call('MTGET',KEYS[1],'100')) 1 k",
        "MTCLEAN 0",
    ] {
        client.run("FLUSHALL");
        run_out(&mut client);
        stream.take();
        client.run(line);
        let left = if line.starts_with("RENAMENX") { vec![] } else { vec!["other".to_owned()] };
        assert_eq!(fields(&mut client), left, "{line}");
        let drop = format!("HDEL {INDEX} k");
        let stream = stream.take();
        let drops = usize::from(!is_keymeta());
        assert_eq!(stream.iter().filter(|line| **line == drop).count(), drops, "{line}: {stream:#?}");
        assert!(
            is_keymeta() || stream[0] == "MULTI",
            "{line}: the removal of the key and of its entry: {stream:#?}"
        );
        client.run("SET k foreign");
        assert_eq!(client.run("MTGET k 500 WITHMTIME"), untracked("foreign"), "{line}");
        for replica in &replicas {
            replica.sync_with(&master);
            assert_eq!(digest(&mut replica.client()), digest(&mut client), "{line}");
        }
    }
    let before = digest(&mut client);
    master.restart();
    assert_eq!(digest(&mut master.client()), before);
}

#[test]
fn a_key_that_is_made_again_after_its_time_has_no_old_entry() {
    let server = Server::start();
    let mut client = server.client();
    for (line, expected) in [
        ("SET k v", untracked("v")),
        ("SET k v NX", untracked("v")),
        ("APPEND k v", untracked("v")),
        ("INCR k", untracked("1")),
        ("SETRANGE k 0 v", untracked("v")),
        ("GETSET k v", untracked("v")),
        ("RENAME src k", untracked("plain")),
        ("COPY src k", untracked("plain")),
        // A reader who holds 100 has another value than this one, whatever its time.
        ("MTSET k v 50 IFNEWER", modified("50", "v")),
        ("MTSET k v 50 NX", modified("50", "v")),
    ] {
        client.run("FLUSHALL");
        client.run("SET src plain");
        run_out(&mut client);
        assert!(!client.run(line).is_error(), "{line}");
        assert_eq!(client.run("MTGET k 49 WITHMTIME"), expected, "{line}");
    }
}

#[test]
fn a_key_that_expires_inside_a_unit_of_work() {
    let server = Server::start();
    let mut client = server.client();
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    for lines in [
        ["MTSET k value 100 PXAT 1", "MTGET k 100 WITHMTIME", "SET k w", "MTGET k 100"],
        ["MTSET k value 100", "PEXPIREAT k 1", "SET k w", "MTGET k 100"],
    ] {
        client.run("FLUSHALL");
        let mut commands = vec![args!["MULTI"]];
        commands.extend(lines.map(words));
        commands.push(args!["EXEC"]);
        let replies = client.pipeline(&commands).pop().expect("a reply").into_items();
        assert_eq!(replies.last(), Some(&bulk("w")), "{lines:?}: {replies:?}");
        assert_eq!(call!(client, "EXISTS", INDEX), int(0), "{lines:?}");
    }
}

/// What a server does not load because its time is up goes without an event.
#[test]
fn a_key_that_expired_before_a_snapshot_is_loaded_leaves_no_entry() {
    if has_no_index("entries without their key") {
        return;
    }
    for is_restart in [false, true] {
        let mut server = Server::start();
        let mut client = server.client();
        run_out(&mut client);
        if is_restart {
            client.run("SAVE");
            server.restart();
            client = server.client();
        } else {
            assert_eq!(client.run("DEBUG RELOAD"), ok());
        }
        client.run("DEBUG SET-ACTIVE-EXPIRE 1");
        assert_eq!(client.run("MTGET k 100 WITHMTIME"), nil());
        wait::until("the entry of the key that was not loaded to go", || {
            (fields(&mut client) == ["other"]).then_some(())
        });
        assert_eq!(client.run("MTGET other 100 WITHMTIME"), not_modified("100"));
    }
}

/// As the test before: an append-only file has all that was written, and the keys expire as usual after it is loaded.
#[test]
fn a_key_that_expired_before_an_append_only_file_is_loaded_leaves_no_entry() {
    if has_no_index("entries without their key") {
        return;
    }
    let mut server = Server::with(AOF);
    let mut client = server.client();
    run_out(&mut client);
    server.restart();
    let mut client = server.client();
    assert_eq!(client.run("MTGET k 100 WITHMTIME"), nil());
    wait::until("the entry to go", || (fields(&mut client) == ["other"]).then_some(()));
}

#[test]
fn the_expiry_in_the_background_drops_entries() {
    let mut master = Server::builder().with(AOF).with(&["hz 100"]).tcp().start();
    let replicas =
        [Server::builder(), spartan(Server::builder())].map(|replica| Server::replica_of(&master, replica));
    let mut client = master.client();
    let mut commands: Vec<Args> = Vec::new();
    for i in 0..500 {
        commands.push(args!["MTSET", format!("gone{i}"), "value", 100, "PX", 1 + i % 50]);
        commands.push(args!["MTSET", format!("stays{i}"), "value", 100]);
    }
    client.pipeline(&commands);
    // Nobody asks for a key, but with keymeta storage this look.
    wait::until("the index to have only what stays", || {
        (index_entries(&mut client).len() == 500 && call!(client, "DBSIZE") == int(500 + index_keys()))
            .then_some(())
    });
    assert!(fields(&mut client).iter().all(|field| field.starts_with("stays")));
    assert_eq!(client.run("DBSIZE"), int(500 + index_keys()));
    assert_eq!(client.info("mtime", "mtime_foreign_writes_dropped"), "500");
    let before = digest(&mut client);
    for replica in &replicas {
        replica.sync_with(&master);
        assert_eq!(digest(&mut replica.client()), before);
    }
    assert_eq!(replicas[0].client().info("mtime", "mtime_foreign_writes_dropped"), "0");
    master.restart();
    assert_eq!(digest(&mut master.client()), before);
}

#[test]
fn a_replica_hides_what_has_expired_and_drops_nothing_itself() {
    let master = Server::builder().tcp().start();
    let replica = Server::replica_of(&master, Server::builder());
    let mut client = master.client();
    run_out(&mut client);
    replica.sync_with(&master);
    let mut reader = replica.client();
    assert_eq!(reader.run("MTGET k 100 WITHMTIME"), nil());
    assert_eq!(reader.run("MTTIME k"), nil());
    assert_eq!(reader.run("MTMGET k 1 other 100"), array([nil(), not_modified("100")]));
    assert_eq!(digest(&mut reader), digest(&mut client), "both still hold the key and its entry");
    assert_eq!(client.run("EXISTS k"), int(0));
    replica.sync_with(&master);
    assert_eq!(fields(&mut reader), ["other"]);
    assert_eq!(digest(&mut reader), digest(&mut client));
}

/// While writes are paused, as during a failover, the server must propagate nothing: not even an expiry.
#[test]
fn reading_an_expired_key_while_writes_are_paused() {
    let server = Server::with(AOF);
    let mut client = server.client();
    run_out(&mut client);
    assert_eq!(client.run("CLIENT PAUSE 60000 WRITE"), ok());
    for _ in 0..2 {
        assert_eq!(client.run("MTGET k 100 WITHMTIME"), nil());
        assert_eq!(client.run("MTTIME k"), nil());
        assert_eq!(client.run("MTMGET k 1"), array([nil()]));
        assert_eq!(client.run("MTGET other 100 WITHMTIME"), not_modified("100"));
    }
    assert_eq!(client.run("CLIENT UNPAUSE"), ok());
    assert_eq!(client.run("MTGET k 100"), nil());
    assert_eq!(fields(&mut client), ["other"]);
}

const TRACKED: usize = 300;

/// Tracked keys with a time to live, and as much memory as they need.
fn fill(server: &Server, policy: &str) -> Client {
    let mut client = server.client();
    call!(client, "CONFIG", "SET", "maxmemory-policy", policy);
    let commands: Vec<Args> = (0..TRACKED)
        .map(|i| args!["MTSET", format!("key{i}"), "v".repeat(2_000), 100, "EX", 10_000 + i])
        .collect();
    assert!(client.pipeline(&commands).into_iter().all(|reply| reply == ok()));
    client
}

fn used_memory(client: &mut Client) -> i64 {
    client.info("memory", "used_memory").parse().expect("a number")
}

fn limit_memory(client: &mut Client, more: i64) {
    let limit = used_memory(client) + more;
    assert_eq!(call!(client, "CONFIG", "SET", "maxmemory", limit), ok());
}

fn evicted(client: &mut Client) -> i64 {
    client.info("stats", "evicted_keys").parse().expect("a number")
}

/// Writes untracked keys until tracked ones had to go.
fn press(client: &mut Client) {
    for round in 0..1000 {
        let commands: Vec<Args> = (0..20)
            .map(|i| args!["SET", format!("filler{round}:{i}"), "f".repeat(2_000), "EX", 20_000])
            .collect();
        client.pipeline(&commands);
        let left = (0..TRACKED).filter(|i| call!(client, "EXISTS", format!("key{i}")) == int(1)).count();
        if left < TRACKED - 50 && evicted(client) > 100 {
            return;
        }
    }
    panic!("nothing was evicted");
}

/// No entry without its key, and every key answers with its entry, if the index is still there.
fn check_survivors(client: &mut Client) {
    assert_eq!(orphans(client), Vec::<String>::new());
    let entries = index_entries(client);
    let mut survivors = 0;
    for i in 0..TRACKED {
        let key = format!("key{i}");
        let expected = match (call!(client, "GET", key), entries.contains_key(&key)) {
            (Reply::Nil, is_tracked) => {
                assert!(!is_tracked, "{key}");
                nil()
            }
            (_, true) => not_modified("100"),
            (value, false) => untracked(value.into_bytes()),
        };
        survivors += usize::from(expected != nil());
        assert_eq!(call!(client, "MTGET", key, 100, "WITHMTIME"), expected, "{key}");
    }
    if call!(client, "EXISTS", INDEX) == int(1) {
        assert!(entries.len() <= survivors, "{} entries for {survivors} keys", entries.len());
    }
}

#[test]
fn eviction_drops_entries_whatever_the_policy() {
    let builder = || Server::builder().with(&["maxmemory-samples 10"]);
    for policy in [
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
    ] {
        let mut master = builder().with(AOF).tcp().start();
        let replicas = [builder(), spartan(builder())].map(|replica| Server::replica_of(&master, replica));
        let mut client = fill(&master, policy);
        limit_memory(&mut client, 100_000);
        press(&mut client);
        assert_eq!(orphans(&mut client), Vec::<String>::new(), "{policy}");
        // So that nothing goes while the rest is looked at.
        client.run("CONFIG SET maxmemory 0");
        check_survivors(&mut client);
        if policy.starts_with("volatile") {
            // The index has no time to live: no policy of these may take it.
            let left = (0..TRACKED).filter(|i| call!(client, "EXISTS", format!("key{i}")) == int(1)).count();
            assert_eq!(index_entries(&mut client).len(), left, "{policy}");
            let dropped: usize =
                client.info("mtime", "mtime_foreign_writes_dropped").parse().expect("a counter is a number");
            assert_eq!(dropped, TRACKED - left, "{policy}");
        }
        for replica in &replicas {
            replica.sync_with(&master);
            assert_eq!(digest(&mut replica.client()), digest(&mut client), "{policy}");
        }
        let before = digest(&mut client);
        master.restart();
        assert_eq!(digest(&mut master.client()), before, "{policy}");
        check_survivors(&mut master.client());
    }
}

#[test]
fn without_eviction_a_refused_write_changes_nothing() {
    let server = Server::start();
    let mut client = fill(&server, "noeviction");
    limit_memory(&mut client, -100_000);
    let before = (digest(&mut client), index_entries(&mut client));
    for line in [
        "SET key0 v",
        "APPEND key0 v",
        "SETRANGE key0 5 x",
        "COPY key1 key0 REPLACE",
        "BITOP NOT key0 key1",
        "MTSET key0 v 500",
        "MTSET new v 500",
        "MTSET key0 v * XX",
        "MTTOUCH key0 500",
    ] {
        let reply = client.run(line);
        assert!(matches!(&reply, Reply::Error(text) if text.starts_with("OOM ")), "{line}: {reply:?}");
        assert_eq!((digest(&mut client), index_entries(&mut client)), before, "{line}");
    }
    assert_eq!(client.run("MTGET key0 100 WITHMTIME"), not_modified("100"));
    // What frees memory is allowed, and drops as ever.
    assert_eq!(client.run("DEL key0"), int(1));
    assert_eq!(client.run("MTDEL key1"), int(1));
    assert_eq!(client.run("GETDEL key2"), bulk("v".repeat(2_000)));
    assert_eq!(index_entries(&mut client).len(), TRACKED - 3);
    assert_eq!(orphans(&mut client), Vec::<String>::new());
}

/// The index is a key like others, and `allkeys-*` may take it: then every value is sent once more.
#[test]
fn an_evicted_index_hides_nothing_from_readers() {
    if has_no_index("entries without their key") {
        return;
    }
    let server = Server::with(&["maxmemory-samples 64", "maxmemory-policy allkeys-lru"]);
    let mut client = server.client();
    client.run("MTSET k value 100");
    call!(client, "MTSET", "big", "v".repeat(200_000), 100);
    // Looked at long ago.
    let dump = call!(client, "DUMP", INDEX).into_bytes();
    assert_eq!(call!(client, "RESTORE", INDEX, 0, dump, "REPLACE", "IDLETIME", 1_000_000), ok());
    limit_memory(&mut client, 20_000);
    for i in 0..1000 {
        call!(client, "SET", format!("filler{i}"), "f".repeat(2_000));
        if call!(client, "OBJECT", "IDLETIME", INDEX) == nil() {
            break;
        }
    }
    assert_eq!(call!(client, "EXISTS", INDEX), int(0), "evicted");
    client.run("CONFIG SET maxmemory 0");
    client.run("MTSET other value 100");
    assert_eq!(call!(client, "OBJECT", "ENCODING", INDEX), bulk("hashtable"));
    for key in ["k", "big"] {
        if let Reply::Bulk(value) = call!(client, "GET", key) {
            assert_eq!(call!(client, "MTGET", key, 100, "WITHMTIME"), untracked(&value), "{key}");
            assert_eq!(call!(client, "MTGET", key, 100), bulk(&value), "{key}");
        }
    }
    assert_eq!(client.run("MTGET other 100 WITHMTIME"), not_modified("100"));
}
