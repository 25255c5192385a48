//! Databases of a cluster: Valkey has more than one from version 9 on, when it is told to. Each has its own keys and
//! indexes, under the same names.

use crate::nodes::{check_filing, index_of, single_with};
use crate::support::client::{Client, Reply, array, bulk, call, int, nil, ok};
use crate::support::server::Server;
use crate::support::storage::is_keymeta;

/// Long enough to be stored in the form that reads remember most of.
const LENGTH: usize = 500;

fn with_databases() -> Option<Server> {
    let feature = "databases of a cluster";
    let offered = Server::plain().has(feature, (u32::MAX, 0), (9, 0));
    offered.then(|| single_with(&["cluster-databases 4"]))
}

fn select(client: &mut Client, database: usize) {
    assert_eq!(call!(client, "SELECT", database), ok());
}

#[test]
fn a_key_is_told_from_that_of_another_database() {
    let Some(server) = with_databases() else { return };
    let mut client = server.client();
    let values = ["a", "b"].map(|letter| letter.repeat(LENGTH));
    for (database, (value, mtime)) in values.iter().zip([100, 200]).enumerate() {
        select(&mut client, database);
        assert_eq!(call!(client, "MTSET", "{foo}k", value, mtime), ok());
    }
    // Each often enough to be remembered.
    for _ in 0..3 {
        for (database, (value, mtime)) in values.iter().zip(["100", "200"]).enumerate() {
            select(&mut client, database);
            for _ in 0..5 {
                assert_eq!(call!(client, "MTGET", "{foo}k", mtime), nil());
                let modified = array([bulk(mtime), bulk(value)]);
                assert_eq!(call!(client, "MTGET", "{foo}k", 50, "WITHMTIME"), modified, "db {database}");
                let mtimes = call!(client, "MTMGET", "{foo}k", 150);
                let expected = if mtime == "100" { array([bulk("100"), nil()]) } else { modified };
                assert_eq!(mtimes, array([expected]), "db {database}");
            }
        }
    }
    check_filing(&server);
}

#[test]
fn foreign_writes_drop_the_mtime_in_their_own_database_only() {
    let Some(server) = with_databases() else { return };
    let mut client = server.client();
    let [old, new] = ["o", "n"].map(|letter| letter.repeat(LENGTH));
    for line in ["SET {foo}k", "GETSET {foo}k", "APPEND {foo}k", "SETRANGE {foo}k 0"] {
        for database in [0, 2] {
            select(&mut client, database);
            assert_eq!(call!(client, "MTSET", "{foo}k", old, 100), ok());
            for _ in 0..3 {
                assert_eq!(client.run("MTGET {foo}k 100"), nil());
            }
        }
        assert!(!client.run(&format!("{line} {new}")).is_error(), "{line}");
        assert_eq!(client.run("MTTIME {foo}k"), nil(), "{line}");
        assert!(matches!(client.run("MTGET {foo}k 100"), Reply::Bulk(_)), "{line}");
        if !is_keymeta() {
            assert_eq!(call!(client, "EXISTS", index_of("{foo}k")), int(0), "{line}");
        }
        select(&mut client, 0);
        assert_eq!(client.run("MTGET {foo}k 100"), nil(), "{line}");
        assert_eq!(client.run("MTTIME {foo}k"), bulk("100"), "{line}");
    }
    check_filing(&server);
}
