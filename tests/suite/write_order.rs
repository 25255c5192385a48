//! Foreign writes inside one unit of work: what comes later in a transaction, a script or a function already sees the
//! entry dropped, and an entry that is written after the value stays.

use crate::support::aof::{AOF, Stream};
use crate::support::client::{
    Args, Client, Reply, args, array, bulk, call, int, modified, nil, not_modified, ok, show, untracked,
    words,
};
use crate::support::dataset::{INDEX, digest, index_entries};
use crate::support::lua::Scripts;
use crate::support::server::Server;
use crate::support::storage::{has_no_index, is_keymeta, spartan};

/// Runs the commands in its arguments, each preceded by its length, and replies with their replies.
const RUNNER: &str = "
    local replies, at = {}, 1
    while at <= #args do
        local length = tonumber(args[at])
        replies[#replies + 1] = redis.pcall(unpack(args, at + 1, at + length))
        at = at + length + 1
    end
    return replies";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    /// No unit: each command for itself.
    Pipeline,
    Transaction,
    Script,
    Function,
}

const UNITS: [Unit; 4] = [Unit::Pipeline, Unit::Transaction, Unit::Script, Unit::Function];

impl Unit {
    fn run(self, client: &mut Client, commands: &[Args]) -> Vec<Reply> {
        let as_arguments = || {
            commands.iter().flat_map(|command| {
                std::iter::once(command.len().to_string().into_bytes()).chain(command.iter().cloned())
            })
        };
        match self {
            Self::Pipeline => client.pipeline(commands),
            Self::Transaction => {
                let mut unit = vec![args!["MULTI"]];
                unit.extend_from_slice(commands);
                unit.push(args!["EXEC"]);
                client.pipeline(&unit).pop().expect("a reply to EXEC").into_items()
            }
            Self::Script => {
                let mut eval = args!["EVAL", format!("local args = ARGV {RUNNER}"), 0];
                eval.extend(as_arguments());
                client.call(&eval).into_items()
            }
            Self::Function => {
                let library = format!(
                    "#!lua name=runner\nredis.register_function('run', function(keys, args) {RUNNER} end)"
                );
                call!(client, "FUNCTION", "LOAD", "REPLACE", library);
                let mut fcall = args!["FCALL", "run", 0];
                fcall.extend(as_arguments());
                client.call(&fcall).into_items()
            }
        }
    }
}

/// What is run on `k`, which holds `value` with mtime 100; what it replies; and the entry of `k` afterwards.
fn cases() -> Vec<(Vec<&'static str>, Vec<Reply>, Option<&'static str>)> {
    vec![
        (vec!["SET k w", "MTGET k 100"], vec![ok(), bulk("w")], None),
        (
            vec!["SET k w", "MTGET k 100 WITHMTIME", "MTTIME k", "MTMGET k 100"],
            vec![ok(), untracked("w"), nil(), array([untracked("w")])],
            None,
        ),
        // The writer of the seed.
        (
            vec!["SET k w", "HSET MY_KEYSMTIME k 200", "MTGET k 199 WITHMTIME", "MTGET k 200 WITHMTIME"],
            vec![ok(), int(1), modified("200", "w"), not_modified("200")],
            Some("200"),
        ),
        (
            vec!["SET k w", "HSET MY_KEYSMTIME k 100", "MTGET k 100 WITHMTIME"],
            vec![ok(), int(1), not_modified("100")],
            Some("100"),
        ),
        // The other way round the value is the later of the two.
        (vec!["HSET MY_KEYSMTIME k 200", "SET k w", "MTGET k 200"], vec![int(0), ok(), bulk("w")], None),
        (
            vec!["SET k w", "MTSET k x 50", "MTGET k 49", "MTGET k 50"],
            vec![ok(), ok(), bulk("x"), nil()],
            Some("50"),
        ),
        (
            vec!["MTSET k x 300", "SET k y", "MTGET k 300", "MTTOUCH k 400", "MTGET k 400"],
            vec![ok(), ok(), bulk("y"), int(1), nil()],
            Some("400"),
        ),
        (vec!["SET k w", "MTSET k x 50 IFNEWER"], vec![ok(), ok()], Some("50")),
        (vec!["SET k w", "MTSET k x 500 IFEQ 100", "MTGET k 100"], vec![ok(), nil(), bulk("w")], None),
        (
            vec!["DEL k", "MTGET k 100 WITHMTIME", "SET k w", "MTGET k 100"],
            vec![int(1), nil(), ok(), bulk("w")],
            None,
        ),
        (
            vec!["GETDEL k", "MTSET k v 100", "MTGET k 100 WITHMTIME"],
            vec![bulk("value"), ok(), not_modified("100")],
            Some("100"),
        ),
        (
            vec!["RENAME k new", "MTGET new 100 WITHMTIME", "MTGET k 100 WITHMTIME"],
            vec![ok(), untracked("value"), nil()],
            None,
        ),
        (
            vec!["RENAME k new", "RENAME new k", "MTGET k 100 WITHMTIME"],
            vec![ok(), ok(), untracked("value")],
            None,
        ),
        (vec!["EXPIRE k 0", "SET k w", "MTGET k 100"], vec![int(1), ok(), bulk("w")], None),
        (
            vec!["EXPIRE k 1000", "MTGET k 100 WITHMTIME", "PERSIST k", "MTGET k 100 WITHMTIME"],
            vec![int(1), not_modified("100"), int(1), not_modified("100")],
            Some("100"),
        ),
        (vec!["APPEND k x", "MTGET k 100"], vec![int(6), bulk("valuex")], None),
        (vec!["COPY src k REPLACE", "MTGET k 100"], vec![int(1), bulk("plain")], None),
        (vec!["FLUSHDB", "SET k w", "MTGET k 100"], vec![ok(), ok(), bulk("w")], None),
        (vec!["DEL k MY_KEYSMTIME", "SET k w", "MTGET k 100"], vec![int(2), ok(), bulk("w")], None),
        (vec!["DEL MY_KEYSMTIME k", "SET k w", "MTGET k 100"], vec![int(2), ok(), bulk("w")], None),
        (vec!["MTDEL k", "SET k w", "MTGET k 100"], vec![int(1), ok(), bulk("w")], None),
        (
            vec!["SET k w", "SET k x", "SET k y", "MTGET k 100 WITHMTIME"],
            vec![ok(), ok(), ok(), untracked("y")],
            None,
        ),
    ]
}

fn prepare(client: &mut Client) {
    client.run("FLUSHALL");
    client.run("MTSET k value 100");
    // The last entry would take the index along.
    client.run("MTSET other value 100");
    client.run("SET src plain");
}

#[test]
fn order_is_kept_in_every_unit() {
    let mut master = Server::builder().with(AOF).tcp().start();
    let replicas =
        [Server::builder(), spartan(Server::builder())].map(|replica| Server::replica_of(&master, replica));
    let mut client = master.client();
    for (lines, expected, entry) in cases() {
        if is_keymeta() && lines.iter().any(|line| line.contains(INDEX)) {
            continue;
        }
        let commands: Vec<Args> = lines.iter().map(|line| words(line)).collect();
        for unit in UNITS {
            prepare(&mut client);
            assert_eq!(unit.run(&mut client, &commands), expected, "{unit:?} {lines:?}");
            assert_eq!(
                index_entries(&mut client).get("k").map(String::as_str),
                entry,
                "the entry after {unit:?} {lines:?}"
            );
            for replica in &replicas {
                replica.sync_with(&master);
                assert_eq!(digest(&mut replica.client()), digest(&mut client), "{unit:?} {lines:?}");
            }
        }
    }
    let before = digest(&mut client);
    master.restart();
    assert_eq!(digest(&mut master.client()), before);
}

#[test]
fn the_stream_has_the_drop_in_the_same_transaction() {
    if has_no_index("the index as a key") {
        return;
    }
    let server = Server::with(AOF);
    let mut client = server.client();
    let mut stream = Stream::of(&server);
    let drop = "HDEL MY_KEYSMTIME k";
    for (lines, expected) in [
        (vec!["SET k w"], vec![drop, "SET k w"]),
        (vec!["APPEND k x"], vec![drop, "APPEND k x"]),
        (vec!["DEL k"], vec![drop, "DEL k"]),
        (vec!["RENAME k new"], vec![drop, "RENAME k new"]),
        (vec!["SET k w", "MTGET k 100"], vec![drop, "SET k w"]),
        (vec!["SET k w", "HSET MY_KEYSMTIME k 200"], vec![drop, "SET k w", "HSET MY_KEYSMTIME k 200"]),
        (vec!["SET k w", "MTSET k x 50"], vec![drop, "SET k w", "SET k x", "HSET MY_KEYSMTIME k 50"]),
        (vec!["MTSET k x 300", "SET k y"], vec!["SET k x", "HSET MY_KEYSMTIME k 300", drop, "SET k y"]),
        // The second write finds nothing to drop.
        (vec!["SET k w", "SET k x"], vec![drop, "SET k w", "SET k x"]),
    ] {
        let commands: Vec<Args> = lines.iter().map(|line| words(line)).collect();
        for unit in UNITS {
            if unit == Unit::Pipeline && commands.len() > 1 {
                continue;
            }
            prepare(&mut client);
            stream.take();
            unit.run(&mut client, &commands);
            let mut got = stream.take();
            got.retain(|line| !line.starts_with("FUNCTION "));
            let mut whole = vec!["MULTI"];
            whole.extend(&expected);
            whole.push("EXEC");
            assert_eq!(got, whole, "{unit:?} {lines:?}");
        }
    }
}

#[test]
fn the_writer_of_the_seed_keeps_working() {
    if has_no_index("the index as a key") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    let lua = Scripts::load(&mut client);
    for (value, mtime) in [("one", 100), ("two", 200), ("older", 150), ("older", 150)] {
        client.call(&lua.write(b"k", value.as_bytes(), mtime.to_string().as_bytes()));
        assert_eq!(call!(client, "MTGET", "k", mtime - 1, "WITHMTIME"), modified(&mtime.to_string(), value));
        assert_eq!(call!(client, "MTGET", "k", mtime, "WITHMTIME"), not_modified(&mtime.to_string()));
        assert_eq!(client.call(&lua.read(b"k", mtime.to_string().as_bytes())), nil());
    }
    assert_eq!(call!(client, "HLEN", INDEX), int(1));
}

/// A transaction that fails at EXEC, or is discarded, has written nothing.
#[test]
fn a_unit_that_does_not_run_drops_nothing() {
    let server = Server::start();
    let (mut client, mut other) = (server.client(), server.client());
    prepare(&mut client);
    client.pipeline(&["MULTI", "SET k w", "DISCARD"].map(words));
    client.pipeline(&["MULTI", "SET k w", "NOSUCHCOMMAND", "EXEC"].map(words));
    client.run("WATCH src");
    other.run("SET src changed");
    assert_eq!(client.pipeline(&["MULTI", "SET k w", "EXEC"].map(words))[2], nil());
    assert_eq!(client.run("MTGET k 100 WITHMTIME"), not_modified("100"));
    assert_eq!(client.run("MTGET k 99 WITHMTIME"), modified("100", "value"));
}

/// A command that fails inside a unit does not take the effect of the others along, nor their drops.
#[test]
fn errors_inside_a_unit() {
    let server = Server::start();
    let mut client = server.client();
    for unit in UNITS {
        prepare(&mut client);
        let commands = ["INCR k", "MTGET k 100 WITHMTIME", "LPUSH k a", "SET k w", "INCR k", "MTGET k 100"];
        let replies = unit.run(&mut client, &commands.map(words));
        assert!(replies[0].is_error() && replies[2].is_error() && replies[4].is_error(), "{replies:?}");
        assert_eq!(replies[1], not_modified("100"), "{unit:?}");
        assert_eq!(replies[5], bulk("w"), "{unit:?}");
    }
}

/// Whoever watches a key sees one change, and whoever watches the index sees the drop.
#[test]
fn a_drop_is_a_change_of_the_index() {
    if has_no_index("the index as a key") {
        return;
    }
    let server = Server::start();
    let (mut watcher, mut other) = (server.client(), server.client());
    prepare(&mut other);
    for (line, breaks) in
        [("SET src w", false), ("EXPIRE k 1000", false), ("SET k w", true), ("SET k x", false)]
    {
        call!(watcher, "WATCH", INDEX);
        other.run(line);
        let outcome = watcher.pipeline(&["MULTI", "PING", "EXEC"].map(words)).pop().expect("a reply");
        assert_eq!(outcome == nil(), breaks, "{line}: {}", show(&words(line)));
    }
}
