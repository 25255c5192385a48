//! Coming and going: where the module loads, where it refuses and says why, and what it leaves behind.

use crate::support::client::{Reply, bulk, call, int, nil, ok};
use crate::support::module;
use crate::support::server::{Builder, Server};
use crate::support::storage::has_no_index;

/// The log of a server that must not start.
#[track_caller]
fn refusal(builder: Builder) -> String {
    match builder.try_start() {
        Ok(_) => panic!("the server started"),
        Err(log) => log,
    }
}

#[test]
fn nonsense_in_the_configuration_file_stops_the_start() {
    for line in [
        "mtime.clock-unit ns",
        "mtime.storage disk",
        "mtime.invalidate-on-write perhaps",
        "mtime.no-such-setting yes",
    ] {
        let log = refusal(Server::builder().with(&[line]));
        assert!(log.contains("mtime"), "{line}: the log does not name the culprit:\n{log}");
    }
}

/// Every server either has keymeta storage or says in one line of its log what it lacks.
#[test]
fn keymeta_storage_loads_or_says_what_is_missing() {
    let plain = Server::plain();
    let is_new = plain.has("keymeta storage", (8, 6), (u32::MAX, 0));
    match Server::builder().with(&["mtime.storage keymeta"]).try_start() {
        Ok(server) => {
            assert!(is_new);
            assert_eq!(server.client().run("MTSET k v 5"), ok());
        }
        Err(log) => {
            assert!(!is_new, "{log}");
            let ours: Vec<&str> =
                log.lines().filter(|line| line.contains("module mtime not loaded")).collect();
            assert_eq!(ours.len(), 1, "{log}");
            assert!(ours[0].contains("mtime.storage keymeta needs"), "{log}");
            assert!(ours[0].contains("RedisModule_CreateKeyMetaClass"), "{log}");
        }
    }
}

#[test]
fn arguments_of_loadmodule_are_refused_or_ignored_without_harm() {
    if let Ok(server) = Server::builder().module_arguments("nonsense 5").try_start() {
        assert_eq!(server.client().run("MTSET k v 5"), ok());
    }
}

#[test]
fn module_load_works_at_run_time() {
    let server = Server::plain();
    let mut client = server.client();
    client.run("SET k v");
    client.run("HSET MY_KEYSMTIME k 100");
    assert_eq!(call!(client, "MODULE", "LOAD", module::path()), ok());
    assert_eq!(client.run("MTGET k 99"), bulk("v"));
    assert_eq!(client.run("MTGET k 100"), nil());
    assert!(call!(client, "MODULE", "LOAD", module::path()).is_error(), "only once");
    assert_eq!(client.run("MTGET k 99"), bulk("v"));
}

#[test]
fn unloading_leaves_plain_data() {
    if has_no_index("data without the module; keymeta.rs has its own") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 100");
    assert_eq!(client.run("MODULE UNLOAD mtime"), ok());
    assert!(client.run("MTGET k 99").is_error());
    assert_eq!(client.run("GET k"), bulk("v"));
    assert_eq!(client.run("HGET MY_KEYSMTIME k"), bulk("100"));
    for line in ["SET k w", "DEL k", "MTGET k 1", "SET k v"] {
        client.run(line);
    }
    client.run("DEL MY_KEYSMTIME");
    for _ in 0..3 {
        assert_eq!(call!(client, "MODULE", "LOAD", module::path()), ok());
        assert_eq!(client.run("MTSET k v 100"), ok());
        assert_eq!(client.run("MTGET k 99"), bulk("v"));
        assert_eq!(client.run("MODULE UNLOAD mtime"), ok());
    }
    assert_eq!(client.run("DBSIZE"), int(2));
}

/// The reply `OK` is made once, by a core command that may be missing.
#[test]
fn mtset_answers_ok_where_unwatch_was_renamed_away() {
    for lines in [&[][..], &["rename-command UNWATCH \"\""]] {
        let server = Server::builder().with(lines).start();
        let mut client = server.client();
        for _ in 0..3 {
            assert_eq!(client.run("MTSET k v 5"), ok(), "{lines:?}");
        }
        assert_eq!(client.run("MULTI"), ok());
        client.run("MTSET k v 6");
        client.run("MTSET k v 7");
        assert_eq!(client.run("EXEC"), Reply::Array(vec![ok(), ok()]), "{lines:?}");
        assert_eq!(call!(client, "EVAL", "return redis.call('MTSET', KEYS[1], 'v', '8')", 1, "k"), ok());
    }
}

#[test]
fn the_log_of_a_good_start_has_no_warning_of_ours() {
    let server = Server::start();
    let log = server.log();
    assert!(!log.lines().any(|line| line.contains("<mtime>") && line.contains(" # ")), "{log}");
}

#[test]
fn the_module_tells_its_version() {
    let server = Server::start();
    let modules = server.client().run("MODULE LIST").into_items();
    let ours = modules.iter().find(|module| module.field("name") == Some(bulk("mtime"))).expect("our module");
    let version = ours.field("ver").map(Reply::into_int).expect("a version");
    assert!(version > 0, "{version}");
}
