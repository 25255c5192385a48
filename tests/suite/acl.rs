//! Who may run what: key permissions by the declared access, and categories where the server lets a module set them.

use crate::support::client::{Client, Reply, bulk, call, int, nil, ok};
use crate::support::server::Server;
use std::collections::BTreeSet;

/// A second connection, logged in as a user with these rules.
fn user(server: &Server, rules: &str) -> Client {
    let mut admin = server.client();
    let mut command = vec![
        b"ACL".to_vec(),
        b"SETUSER".to_vec(),
        b"u".to_vec(),
        b"reset".to_vec(),
        b"on".to_vec(),
        b"nopass".to_vec(),
    ];
    command.extend(rules.split(' ').map(|rule| rule.as_bytes().to_vec()));
    assert_eq!(admin.call(&command), ok(), "{rules}");
    let mut client = server.client();
    assert_eq!(client.run("AUTH u any"), ok());
    client
}

#[track_caller]
fn assert_refused(client: &mut Client, line: &str) {
    let reply = client.run(line);
    assert!(matches!(&reply, Reply::Error(text) if text.starts_with("NOPERM")), "{line} answered {reply:?}");
}

#[test]
fn a_user_who_may_only_read_keys_can_run_the_reads_and_nothing_else() {
    let server = Server::start();
    server.client().run("MTSET k:1 v 100");
    let mut reader = user(&server, "+@all %R~k:*");
    assert_eq!(reader.run("MTGET k:1 99"), bulk("v"));
    assert_eq!(reader.run("MTGET k:1 100"), nil());
    assert!(!reader.run("MTGET k:1 99 EXACT WITHMTIME").is_error());
    assert!(!reader.run("MTMGET k:1 99 k:2 5").is_error());
    assert_eq!(reader.run("MTTIME k:1"), bulk("100"));
    for line in [
        "MTSET k:1 w 200",
        "MTSET k:1 w 50 IFNEWER",
        "MTTOUCH k:1 200",
        "MTDEL k:1",
        "MTGET other 1",
        "MTTIME other",
        "MTMGET k:1 99 other 5",
        "MTMGET other 5 k:1 99",
        "MTGET MY_KEYSMTIME 1",
        "HGET MY_KEYSMTIME k:1",
    ] {
        assert_refused(&mut reader, line);
    }
    assert_eq!(server.client().run("MTTIME k:1"), bulk("100"));
}

#[test]
fn a_user_who_may_only_write_keys_cannot_read() {
    let server = Server::start();
    let mut writer = user(&server, "+@all %W~k:*");
    assert_eq!(writer.run("MTSET k:1 v 100"), ok());
    assert_eq!(writer.run("MTSET k:1 v 101 IFNEWER EX 100"), ok());
    for line in ["MTGET k:1 1", "MTMGET k:1 1", "MTTIME k:1", "MTSET other v 1", "MTDEL other"] {
        assert_refused(&mut writer, line);
    }
    assert_eq!(writer.run("MTDEL k:1"), int(1));
}

#[test]
fn a_user_with_both_rights_can_run_everything() {
    let server = Server::start();
    let mut client = user(&server, "+mtget +mtset +mtmget +mttime +mttouch +mtdel ~k:*");
    assert_eq!(client.run("MTSET k:1 v 100"), ok());
    assert_eq!(client.run("MTGET k:1 1"), bulk("v"));
    assert_eq!(client.run("MTTOUCH k:1 101"), int(1));
    assert_eq!(client.run("MTDEL k:1"), int(1));
    assert_refused(&mut client, "GET k:1");
}

#[test]
fn the_standard_categories_hold_the_commands() {
    let server = Server::start();
    if !server.has("ACL categories of module commands", (7, 2), (7, 2)) {
        return;
    }
    let mut client = server.client();
    let mut category = |name: &str| -> BTreeSet<String> {
        call!(client, "ACL", "CAT", name)
            .into_items()
            .into_iter()
            .map(Reply::into_text)
            .filter(|command| command.starts_with("mt"))
            .collect()
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let reads = set(&["mtget", "mtmget", "mttime"]);
    let writes = set(&["mtset", "mttouch", "mtdel"]);
    assert!(reads.is_subset(&category("read")), "{:?}", category("read"));
    assert!(writes.is_subset(&category("write")), "{:?}", category("write"));
    assert!(reads.is_disjoint(&category("write")));
    assert!(writes.is_disjoint(&category("read")));
    for name in ["string", "fast"] {
        let found = category(name);
        for command in reads.union(&writes) {
            assert!(found.contains(command), "{command} is not in @{name}: {found:?}");
        }
    }

    let mut reader = user(&server, "+@read ~*");
    assert_eq!(reader.run("MTGET k 1"), nil());
    assert_refused(&mut reader, "MTSET k v 1");
    let mut nobody = user(&server, "+@all -@write ~*");
    assert_refused(&mut nobody, "MTSET k v 1");
    assert_eq!(nobody.run("MTGET k 1"), nil());
}

#[test]
fn the_own_category_holds_every_command() {
    let server = Server::start();
    if !server.has("an ACL category of the module's own", (7, 4), (8, 0)) {
        return;
    }
    let mut client = server.client();
    let found = call!(client, "ACL", "CAT", "mtime").into_items();
    for command in ["mtget", "mtset", "mtmget", "mttime", "mttouch", "mtdel"] {
        assert!(found.contains(&bulk(command)), "{command} is not in @mtime: {found:?}");
    }
    let mut ours = user(&server, "+@mtime ~*");
    assert_eq!(ours.run("MTSET k v 1"), ok());
    assert_eq!(ours.run("MTGET k 0"), bulk("v"));
    assert_refused(&mut ours, "GET k");
}
