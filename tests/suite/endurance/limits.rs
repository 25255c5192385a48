//! At the limits of the server: no memory, no writes, no disk, no time, no end of the value.

use crate::support::client::{Client, Reply, args, bulk, call, int, nil, not_modified, ok, untracked, words};
use crate::support::dataset::{INDEX, digest, unchanged};
use crate::support::server::Server;
use crate::support::wait;
use std::fs;

#[track_caller]
fn refused_with(reply: &Reply, code: &str) {
    let refused = matches!(reply, Reply::Error(text) if text.starts_with(code));
    assert!(refused, "expected {code}, got {reply:?}");
}

/// Refuses memory to whoever asks for it, and evicts nothing.
fn exhaust_memory(client: &mut Client) {
    client.run("CONFIG SET maxmemory-policy noeviction");
    client.run("CONFIG SET maxmemory 1");
}

#[test]
fn without_memory_writes_are_refused_and_change_nothing() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 500 EX 1000");
    client.run("SET plain p");
    exhaust_memory(&mut client);
    for line in [
        "MTSET k w 600",
        "MTSET new w 600",
        "MTSET k w * KEEPTTL",
        "MTSET k w 600 IFNEWER EX 5",
        "MTTOUCH k 600",
        "MTTOUCH plain 600",
    ] {
        refused_with(&unchanged(&mut client, |c| c.run(line)), "OOM");
    }
    for line in ["MTSET k w 600", "MTTOUCH k 600"] {
        let script = "return redis.pcall(unpack(ARGV))";
        let mut eval = args!["EVAL", script, 1, "k"];
        eval.extend(words(line));
        refused_with(&unchanged(&mut client, |c| c.call(&eval)), "OOM");
        let replies = unchanged(&mut client, |c| c.pipeline(&[words("MULTI"), words(line), words("EXEC")]));
        assert!(replies[1].is_error() && replies[2].is_error(), "{replies:?}");
    }
    // Reading goes on, and so does what gives memory back.
    assert_eq!(client.run("MTGET k 499"), bulk("v"));
    assert_eq!(client.run("MTGET k 500 WITHMTIME"), not_modified("500"));
    assert_eq!(client.run("MTGET plain 0 WITHMTIME"), untracked("p"));
    assert_eq!(client.run("MTMGET k 500 plain 5").into_items().len(), 2);
    assert_eq!(client.run("MTTIME k"), bulk("500"));
    assert_eq!(client.run("MTCLEAN 0 COUNT 100").into_items()[1], int(0));
    assert_eq!(client.run("MTDEL k IFNEWER 400"), int(0));
    assert_eq!(client.run("MTDEL k"), int(1));
    assert_eq!(client.run("MTGET k 0"), nil());
    client.run("CONFIG SET maxmemory 0");
    assert_eq!(client.run("MTSET k w 600"), ok());
}

#[test]
fn eviction_never_leaves_an_entry_that_lies() {
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-random"] {
        let server = Server::with(&["maxmemory-samples 3"]);
        let mut client = server.client();
        call!(client, "CONFIG", "SET", "maxmemory-policy", policy);
        for i in 0..2000 {
            call!(client, "MTSET", format!("k{i}"), "x".repeat(500), 500, "EX", 1000);
        }
        let used: u64 = client.info("memory", "used_memory").parse().expect("a number");
        call!(client, "CONFIG", "SET", "maxmemory", used - 300_000);
        for i in 2000..3000 {
            call!(client, "MTSET", format!("k{i}"), "x".repeat(500), 500, "EX", 1000);
        }
        assert_ne!(client.info("stats", "evicted_keys"), "0", "{policy}");
        call!(client, "CONFIG", "SET", "maxmemory", 0);
        let exists: Vec<_> = (0..3000).map(|i| args!["EXISTS", format!("k{i}")]).collect();
        let tracked: Vec<_> = (0..3000).map(|i| args!["HEXISTS", INDEX, format!("k{i}")]).collect();
        let (exists, tracked) = (client.pipeline(&exists), client.pipeline(&tracked));
        // If the index itself was evicted everything is untracked, which is allowed: values are sent once more.
        let lies =
            exists.iter().zip(&tracked).filter(|(exists, tracked)| **exists == int(0) && **tracked == int(1));
        assert_eq!(lies.count(), 0, "{policy}");
    }
}

#[test]
fn a_write_pause_stops_writes_and_nothing_else() {
    let server = Server::start();
    let mut client = server.client();
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    client.run("MTSET k v 500");
    client.run("MTSET brief v 500 PX 1");
    let end = client.clock_us() + 5_000;
    wait::until("the key to expire", || (client.clock_us() > end).then_some(()));
    assert_eq!(client.run("CLIENT PAUSE 60000 WRITE"), ok());
    let before = digest(&mut client);
    // Reads answer, of what has expired too; nothing is deleted or propagated meanwhile (the server would assert).
    assert_eq!(client.run("MTGET k 499"), bulk("v"));
    assert_eq!(client.run("MTGET k 500"), nil());
    assert_eq!(client.run("MTGET brief 0"), nil());
    assert_eq!(client.run("MTMGET brief 0 k 500").into_items(), [nil(), not_modified("500")]);
    assert_eq!(client.run("MTTIME brief"), nil());
    assert_eq!(digest(&mut client), before);

    let waiting: Vec<_> = ["MTSET k w 501", "MTTOUCH k 502", "MTCLEAN 0", "MTDEL brief"]
        .into_iter()
        .map(|line| {
            let mut blocked = server.client();
            std::thread::spawn(move || blocked.run(line))
        })
        .collect();
    wait::until("four clients to be held up", || {
        let list = client.run("CLIENT LIST").into_text();
        (list.lines().filter(|line| line.contains(" flags=b")).count() == 4).then_some(())
    });
    assert_eq!(client.run("MTGET k 500"), nil());
    assert_eq!(digest(&mut client), before);
    assert_eq!(client.run("CLIENT UNPAUSE"), ok());
    let replies: Vec<Reply> = waiting.into_iter().map(|thread| thread.join().expect("a client")).collect();
    assert_eq!(replies[0], ok());
    assert_eq!((&replies[1], &replies[3]), (&int(1), &int(0)));
    assert_eq!(client.run("MTGET k 500"), bulk("w"));
}

#[test]
fn while_a_script_is_busy_our_commands_are_too() {
    let server = Server::with(&["busy-reply-threshold 50"]);
    let mut client = server.client();
    client.run("MTSET k v 500");
    let mut busy = server.client();
    let script = std::thread::spawn(move || {
        call!(busy, "EVAL", "redis.call('MTGET', KEYS[1], 0) while true do end", 1, "k")
    });
    wait::until("the script to be busy", || {
        matches!(client.run("PING"), Reply::Error(text) if text.starts_with("BUSY")).then_some(())
    });
    for line in
        ["MTGET k 0", "MTSET k w 600", "MTTOUCH k 600", "MTDEL k", "MTMGET k 0", "MTTIME k", "MTCLEAN 0"]
    {
        refused_with(&client.run(line), "BUSY");
    }
    assert_eq!(client.run("SCRIPT KILL"), ok());
    assert!(script.join().expect("the script's client").is_error());
    assert_eq!(client.run("MTGET k 500 WITHMTIME"), not_modified("500"));
    // One that has written cannot be killed: a command of ours counts as a write.
    let mut busy = server.client();
    let script = std::thread::spawn(move || {
        let script = "redis.call('MTSET', KEYS[1], 'w', 600) while true do end";
        let eval = args!["EVAL", script, 1, "k"];
        busy.try_call(&eval)
    });
    wait::until("the script to be busy", || {
        matches!(client.run("PING"), Reply::Error(text) if text.starts_with("BUSY")).then_some(())
    });
    refused_with(&client.run("SCRIPT KILL"), "UNKILLABLE");
    drop(server);
    assert!(script.join().expect("the script's client").is_err());
}

#[test]
fn when_saving_fails_writes_are_refused_and_reads_are_not() {
    let server = Server::with(&["save 3600 1", "dbfilename taken"]);
    let mut client = server.client();
    client.run("MTSET k v 500");
    // Where the snapshot should go there is a directory: that fails even for root.
    fs::create_dir_all(server.directory().join("taken/full")).expect("a directory");
    client.run("BGSAVE");
    wait::until("the save to fail", || {
        (client.info("persistence", "rdb_last_bgsave_status") == "err").then_some(())
    });
    for line in ["MTSET k w 600", "MTTOUCH k 600", "MTDEL k", "MTCLEAN 0"] {
        refused_with(&unchanged(&mut client, |c| c.run(line)), "MISCONF");
    }
    assert_eq!(client.run("MTGET k 499"), bulk("v"));
    assert_eq!(client.run("MTGET k 500"), nil());
    assert_eq!(client.run("MTTIME k"), bulk("500"));
    fs::remove_dir_all(server.directory().join("taken")).expect("to remove it");
    client.run("BGSAVE");
    wait::until("the save to work", || {
        (client.info("persistence", "rdb_last_bgsave_status") == "ok").then_some(())
    });
    assert_eq!(client.run("MTSET k w 600"), ok());
}

/// A disk that is full: the append-only file is a link to a device that always is.
#[test]
fn when_the_aof_cannot_be_written_writes_are_refused_and_reads_are_not() {
    let mut server = Server::with(&["appendonly yes", "appendfsync everysec"]);
    let directory = server.directory().join("appendonlydir");
    let file = fs::read_dir(&directory)
        .expect("append-only files")
        .map(|entry| entry.expect("a file").path())
        .find(|path| path.to_string_lossy().ends_with(".incr.aof"))
        .expect("an incremental file");
    fs::remove_file(&file).expect("to remove it");
    std::os::unix::fs::symlink("/dev/full", &file).expect("a link");
    server.restart();
    let mut client = server.client();
    client.run("MTSET k v 500");
    wait::until("the write to fail", || {
        (client.info("persistence", "aof_last_write_status") == "err").then_some(())
    });
    for line in ["MTSET k w 600", "MTTOUCH k 600", "MTDEL k", "MTCLEAN 0"] {
        refused_with(&unchanged(&mut client, |c| c.run(line)), "MISCONF");
    }
    assert_eq!(client.run("MTGET k 499"), bulk("v"));
    assert_eq!(client.run("MTGET k 500"), nil());
    // Memory was first, as with SET: what the file lacks is in the next rewrite.
    fs::remove_file(&file).expect("to remove the link");
    client.run("BGREWRITEAOF");
    client.wait_for_children();
    wait::until("the write to work", || {
        (client.info("persistence", "aof_last_write_status") == "ok").then_some(())
    });
    assert_eq!(client.run("MTSET k w 600"), ok());
    client.run("CONFIG SET appendfsync always");
    server.restart();
    assert_eq!(server.client().run("MTTIME k"), bulk("600"));
}

/// 100 MB, or as many as `REDIS_MTIME_VALUE_MB` says: the server's limit is 512, which `make test-endurance` takes.
#[test]
fn huge_values_go_through_whole() {
    let megabytes = crate::support::dice::number_of("REDIS_MTIME_VALUE_MB", || 100);
    let length = usize::try_from(megabytes << 20).expect("a length");
    let server = Server::start();
    let mut client = server.client();
    let mut value = vec![b'x'; length];
    value[length - 1] = b'!';
    assert_eq!(call!(client, "MTSET", "big", value, 500), ok());
    assert_eq!(call!(client, "STRLEN", "big"), int(i64::try_from(length).expect("a length")));
    assert_eq!(client.run("MTGET big 500"), nil());
    let saved: usize = client.info("mtime", "mtime_bytes_saved").parse().expect("a number");
    assert_eq!(saved, length);
    assert!(client.run("MTGET big 499").into_bytes() == value);
    let item = client.run("MTMGET big 499").into_items().remove(0).into_items().remove(1);
    assert!(item.into_bytes() == value);
    assert_eq!(client.run("MTTOUCH big 600"), int(1));
    // At the server's limit nothing can be appended, and the mtime stays.
    let appended = client.run("APPEND big x");
    let expected = if appended.is_error() { bulk("600") } else { nil() };
    assert_eq!(client.run("MTTIME big"), expected, "{appended:?}");
    assert_eq!(client.run("MTDEL big"), int(1));
}

#[test]
fn a_value_beyond_the_protocol_limit_costs_the_connection_and_nothing_else() {
    let server = Server::with(&["proto-max-bulk-len 1mb"]);
    let mut client = server.client();
    client.run("MTSET k v 500");
    let mut other = server.client();
    let too_long = args!["MTSET", "k", "x".repeat(2 << 20), 600];
    let refused = other.try_call(&too_long);
    assert!(!matches!(refused, Ok(Reply::Status(_))), "{refused:?}");
    assert_eq!(client.run("MTGET k 500 WITHMTIME"), not_modified("500"));
    // A value that grew past the limit by other means is read as GET reads it.
    call!(client, "MTSET", "k", "x".repeat(1 << 20), 600);
    let appended = client.run("APPEND k xyz");
    assert!(appended.is_error(), "{appended:?}");
    assert_eq!(client.run("MTGET k 600"), nil(), "an error has changed nothing");
}
