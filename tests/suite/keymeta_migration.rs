//! From hash storage to keymeta storage and back, as docs/migration.md has it.

use crate::keymeta::{KEYMETA, builder, is_offered, restart_on};
use crate::support::client::{Client, bulk, call, int, nil, not_modified, ok, untracked};
use crate::support::dataset::INDEX;
use crate::support::lua::Scripts;
use crate::support::server::Server;
use crate::support::wait;
use std::fs;
use std::path::Path;

const HASH: &str = "mtime.storage hash";
const SNAPSHOT: &[&str] = &["save 1000000 1000000"];

fn import(client: &mut Client) {
    let mut cursor = bulk("0");
    loop {
        cursor = call!(client, "MTIMPORT", cursor.into_bytes()).into_items().swap_remove(0);
        if cursor == bulk("0") {
            return;
        }
    }
}

/// The Lua text of the script in the documentation.
fn export_script() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migration.md");
    let page = fs::read_to_string(page).expect("docs/migration.md");
    let (_, rest) = page.split_once("redis-cli EVAL \"").expect("the script");
    rest.split_once("\" 0 \"$cursor\"").expect("its end").0.to_owned()
}

#[test]
fn from_the_scripts_to_hash_to_keymeta_and_back() {
    if !is_offered() {
        return;
    }
    // The scripts alone.
    let server = Server::builder().with(SNAPSHOT).without_module().start();
    let mut client = server.client();
    let scripts = Scripts::load(&mut client);
    for i in 0..300 {
        client.call(&scripts.write(
            format!("lua:{i}").as_bytes(),
            b"v",
            format!("{}.5", 1000 + i).as_bytes(),
        ));
    }
    client.run_all(&["SAVE"]);

    // Hash storage reads them.
    let server = restart_on(server, &[&[HASH], SNAPSHOT].concat(), true);
    let mut client = server.client();
    assert_eq!(client.run("MTGET lua:7 1007.5 WITHMTIME"), not_modified("1007.5"));
    client.run_all(&["MTSET hash v 5000 EX 100000", "SET plain v", "SET lua:0 overwritten", "SAVE"]);

    // Keymeta storage takes them over.
    let server = restart_on(server, &[&[KEYMETA], SNAPSHOT].concat(), true);
    let mut client = server.client();
    assert_eq!(client.run("MTGET hash 5000 WITHMTIME"), untracked("v"));
    client.run_all(&["SET lua:1 overwritten"]);
    import(&mut client);
    assert_eq!(call!(client, "EXISTS", INDEX), int(0));
    let check = |client: &mut Client, what: &str| {
        assert_eq!(client.run("MTTIME lua:0"), nil(), "{what}");
        assert_eq!(client.run("MTTIME lua:1"), nil(), "{what}");
        for i in 2..300 {
            assert_eq!(
                call!(client, "MTTIME", format!("lua:{i}")),
                bulk(format!("{}.5", 1000 + i)),
                "{what}"
            );
        }
        assert_eq!(client.run("MTGET hash 5000 WITHMTIME"), not_modified("5000"), "{what}");
        assert_eq!(client.run("MTTIME plain"), nil(), "{what}");
        assert!(client.run("TTL hash").into_int() > 90_000, "{what}");
    };
    check(&mut client, "imported");
    client.run_all(&["SAVE"]);

    // Back, by the script.
    let script = export_script();
    let mut cursor = "0".to_owned();
    loop {
        cursor = call!(client, "EVAL", script, 0, cursor).into_text();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(call!(client, "HLEN", INDEX), int(299));
    // While the hash is there, what is overwritten loses its entry.
    client.run_all(&["MTSET late v 5", "SAVE"]);
    let server = restart_on(server, &[&[HASH], SNAPSHOT].concat(), true);
    check(&mut server.client(), "exported by the script");
    assert_eq!(server.client().run("MTTIME late"), nil(), "written after the export");
    let server = restart_on(server, SNAPSHOT, false);
    assert_eq!(server.client().run("HGET MY_KEYSMTIME hash"), bulk("5000"));
}

#[test]
fn back_to_hash_storage_by_the_append_only_file() {
    if !is_offered() {
        return;
    }
    let server = builder().start();
    let mut client = server.client();
    for database in [0, 5] {
        call!(client, "SELECT", database);
        client.run_all(&[
            "MTSET a v 100",
            "MTSET b v 0.5 EX 100000",
            "SET plain v",
            "MTSET overwritten v 100",
            "SET overwritten w",
        ]);
    }
    client.run_all(&["CONFIG SET aof-use-rdb-preamble no", "CONFIG SET appendonly yes"]);
    client.wait_for_rewrite();
    // What comes after the rewrite is in the file as it was sent.
    client.run_all(&[
        "MTSET later v 7",
        "SET b w",
        "MTSET edited v 7",
        "APPEND edited x",
        "SELECT 0",
        "MTTOUCH plain 9",
    ]);
    wait::until("the file to be written", || {
        (client.info("persistence", "aof_pending_bio_fsync") == "0").then_some(())
    });
    let aof = ["appendonly yes", "aof-use-rdb-preamble no"];
    let mut server = restart_on(server, &[&[HASH][..], &aof].concat(), true);
    for _ in 0..2 {
        let mut client = server.client();
        for (database, key, mtime) in [
            (0, "a", bulk("100")),
            (0, "b", bulk("0.5")),
            (0, "plain", bulk("9")),
            (0, "overwritten", nil()),
            (5, "a", bulk("100")),
            (5, "b", nil()),
            (5, "plain", nil()),
            (5, "later", bulk("7")),
            (5, "edited", nil()),
        ] {
            call!(client, "SELECT", database);
            assert_eq!(call!(client, "MTTIME", key), mtime, "{key} in {database}");
        }
        call!(client, "SELECT", 0);
        assert_eq!(call!(client, "HGET", INDEX, "a"), bulk("100"));
        client.rewrite_aof();
        server.restart();
    }
    let server = restart_on(server, &aof, false);
    assert_eq!(server.client().run("GET a"), bulk("v"), "the file needs no module any more");
}

/// While the storage is changed, a replica may have the other one: it may know less, but never anything wrong.
#[test]
fn a_replica_with_the_other_storage_is_never_stale() {
    if !is_offered() {
        return;
    }
    let master = builder().tcp().start();
    let mut client = master.client();
    client.run_all(&["MTSET before v 100"]);
    let replica = Server::replica_of(&master, Server::builder().with(&[HASH]));
    let mut reader = replica.client();
    assert_eq!(reader.run("MTGET before 100 WITHMTIME"), untracked("v"));
    client.run_all(&[
        "MTSET a v 100",
        "MTSET b v 100",
        "MTSET c v 100",
        "MTSET stays v 100",
        "SET a w",
        "APPEND b w",
        "RENAME c d",
        "SET c w",
    ]);
    replica.sync_with(&master);
    assert_eq!(reader.run("MTGET stays 100 WITHMTIME"), not_modified("100"));
    for (key, value) in [("a", "w"), ("b", "vw"), ("c", "w"), ("d", "v")] {
        assert_eq!(call!(reader, "MTGET", key, 100, "WITHMTIME"), untracked(value), "{key}");
    }

    // The other way round.
    let master = Server::builder().with(&[HASH]).tcp().start();
    let mut client = master.client();
    client.run_all(&["MTSET k v 100"]);
    let replica = Server::replica_of(&master, builder());
    client.run_all(&["MTSET a v 100", "MTSET b v 100", "SET a w"]);
    replica.sync_with(&master);
    let mut reader = replica.client();
    for key in ["k", "a", "b"] {
        let value = call!(reader, "GET", key).into_bytes();
        assert_eq!(call!(reader, "MTGET", key, 100, "WITHMTIME"), untracked(value), "{key}");
    }
    assert_eq!(reader.run("REPLICAOF NO ONE"), ok());
    reader.run_all(&["SET b w"]);
    import(&mut reader);
    assert_eq!(reader.run("MTGET k 100 WITHMTIME"), not_modified("100"));
    assert_eq!(reader.run("MTTIME a"), nil());
    assert_eq!(reader.run("MTGET b 100 WITHMTIME"), untracked("w"), "written after it became a master");
}
