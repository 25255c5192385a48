//! Replicas hold what their master holds, whenever they came and whatever happened on the way, and need no module for
//! it.

use crate::support::aof::{AOF, Stream};
use crate::support::client::{
    Args, Client, Reply, args, array, bulk, call, int, nil, not_modified, ok, words,
};
use crate::support::dataset::{INDEX, databases, differences, digest, stored};
use crate::support::dice::{Dice, number_of};
use crate::support::load::Load;
use crate::support::server::{Builder, Server};
use crate::support::storage::{has_no_index, index_keys, is_keymeta, spartan};
use crate::support::wait;
use crate::support::workload::Workload;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// No key that expires or is meddled with while servers are compared.
const STEADY: Workload = Workload { keys: 200, short_ttls: false, meddling: false };

fn master(directives: &[&str]) -> Server {
    Server::builder().tcp().with(directives).start()
}

fn follow(replica: &Server, master: &Server) {
    let mut client = replica.client();
    assert_eq!(call!(client, "REPLICAOF", "127.0.0.1", master.port()), ok());
    // What it counts from now on came over the link.
    client.run("CONFIG RESETSTAT");
}

fn linked(replica: &Server) {
    let mut client = replica.client();
    wait::until("the link to the master", || {
        (client.info("replication", "master_link_status") == "up").then_some(())
    });
}

fn replicas_of(master: &Server) -> String {
    master.client().info("replication", "connected_slaves")
}

/// Waits until the replica has applied everything; the master must be idle.
#[track_caller]
fn assert_same(master: &Server, replica: &Server, when: &str) {
    assert_equal(master, replica, when);
    assert_core_stream(replica);
}

/// As [`assert_same`], for a replica that has been a master meanwhile.
#[track_caller]
fn assert_equal(master: &Server, replica: &Server, when: &str) {
    linked(replica);
    replica.sync_with(master);
    let (mut ours, mut theirs) = (master.client(), replica.client());
    // A digest knows nothing of metadata.
    if digest(&mut ours) != digest(&mut theirs) || is_keymeta() {
        let (ours, theirs) = (databases(&mut ours), databases(&mut theirs));
        let text = differences(&ours, &theirs);
        assert!(text.is_empty() && is_keymeta(), "master and replica differ {when}:\n{text}");
    }
}

/// Nothing of ours came over the link: a replica without the module would complain, one with it would have counted.
#[track_caller]
fn assert_core_stream(replica: &Server) {
    if is_keymeta() {
        return;
    }
    let stats = call!(replica.client(), "INFO", "commandstats").into_text();
    for command in ["mtset", "mttouch", "mtdel", "mtclean"] {
        let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:")));
        // Its own clients may have tried, and were rejected.
        let executed = line.filter(|line| !line.contains(":calls=0,"));
        assert_eq!(executed, None, "came over the link");
    }
    let log = replica.log();
    let complaint = log.lines().find(|line| line.contains("unknown command"));
    assert_eq!(complaint, None);
}

/// Nothing of ours is in the append-only files.
#[track_caller]
fn assert_core_files(directory: &Path) {
    if is_keymeta() {
        return;
    }
    let names: Vec<Vec<u8>> = ["MTSET", "MTTOUCH", "MTDEL", "MTCLEAN"]
        .iter()
        .map(|name| format!("\n${}\r\n{name}\r\n", name.len()).into_bytes())
        .collect();
    for entry in fs::read_dir(directory.join("appendonlydir")).expect("append-only files") {
        let path = entry.expect("a file").path();
        let bytes = fs::read(&path).expect("a file to read").to_ascii_uppercase();
        for name in &names {
            let found = bytes.windows(name.len()).position(|window| window == name);
            assert!(found.is_none(), "{} at {found:?} of {}", name.escape_ascii(), path.display());
        }
    }
}

fn fill(client: &mut Client, dice: &mut Dice, count: usize) {
    client.pipeline(&STEADY.commands(dice, count));
}

// How a replica gets its data.

fn full_sync(directives: &[&str], builder: Builder) {
    let mut dice = Dice::new();
    let master = master(directives);
    let mut client = master.client();
    fill(&mut client, &mut dice, 3000);
    client.run("MTSET k value 500");
    let replica = builder.tcp().start();
    // What it had before must be gone.
    call!(replica.client(), "SET", "own", "v");
    call!(replica.client(), "HSET", INDEX, "own", 5);
    follow(&replica, &master);
    assert_same(&master, &replica, "after a full sync");
    fill(&mut client, &mut dice, 2000);
    client.run("MTSET k value 501");
    assert_same(&master, &replica, "after more writes");
    let mut reader = replica.client();
    assert!(is_keymeta() || call!(reader, "OBJECT", "ENCODING", INDEX) == bulk("hashtable"));
    assert_eq!(reader.run("MTGET k 500"), bulk("value"));
    assert_eq!(reader.run("MTGET k 501 WITHMTIME"), not_modified("501"));
}

#[test]
fn a_full_sync_from_disk() {
    full_sync(&["repl-diskless-sync no"], Server::builder());
}

#[test]
fn a_full_sync_without_disks() {
    full_sync(&["repl-diskless-sync yes"], Server::builder().with(&["repl-diskless-load on-empty-db"]));
}

#[test]
fn a_full_sync_beside_the_old_data() {
    full_sync(&["repl-diskless-sync yes"], Server::builder().with(&["repl-diskless-load swapdb"]));
}

/// The replica goes on answering from its old data while the new data comes, then has the new.
#[test]
fn a_full_sync_beside_old_data_of_the_same_master() {
    let mut dice = Dice::new();
    let master = master(&["repl-diskless-sync yes", "repl-backlog-size 16384"]);
    let mut client = master.client();
    fill(&mut client, &mut dice, 2000);
    client.run("MTSET k old 500");
    let replica = Server::builder().tcp().with(&["repl-diskless-load swapdb"]).start();
    follow(&replica, &master);
    assert_same(&master, &replica, "after the first full sync");
    let mut reader = replica.client();
    assert_eq!(reader.run("MTGET k 500"), nil());

    // Cut off for longer than the backlog reaches back. Each key takes a while to load.
    reader.run("CONFIG SET key-load-delay 300");
    reader.run("CONFIG SET loading-process-events-interval-bytes 1024");
    assert_eq!(call!(reader, "REPLICAOF", "127.0.0.1", 1), ok());
    client.run("MTSET k new 501");
    call!(client, "MTSET", "big", "x".repeat(100_000), 1);
    fill(&mut client, &mut dice, 3000);
    follow(&replica, &master);
    let seen_loading = wait::until("the second full sync", || {
        if reader.try_info("persistence", "async_loading").as_deref() == Some("1") {
            return Some(true);
        }
        (reader.info("replication", "master_link_status") == "up").then_some(false)
    });
    if seen_loading {
        // Old value and old mtime, or new value and new mtime.
        let reply = reader.run("MTGET k 0 WITHMTIME");
        let answers =
            [("500", "old"), ("501", "new")].map(|(mtime, value)| array([bulk(mtime), bulk(value)]));
        assert!(answers.contains(&reply), "{reply:?}");
    }
    reader.run("CONFIG SET key-load-delay 0");
    assert_same(&master, &replica, "after the second full sync");
    assert!(is_keymeta() || call!(reader, "OBJECT", "ENCODING", INDEX) == bulk("hashtable"));
    assert_eq!(reader.run("MTGET k 500"), bulk("new"));
    assert_eq!(reader.run("MTGET k 501"), nil());
}

#[test]
fn a_cut_link_is_mended_with_a_partial_sync() {
    let mut dice = Dice::new();
    let master = master(&[]);
    let mut client = master.client();
    let replica = Server::replica_of(&master, Server::builder());
    let without = Server::replica_of(&master, spartan(Server::builder()));
    let full = client.info("stats", "sync_full");
    for _ in 0..5 {
        fill(&mut client, &mut dice, 300);
        assert!(client.run("CLIENT KILL TYPE replica").into_int() > 0);
        fill(&mut client, &mut dice, 300);
        wait::until("the replicas to come back", || (replicas_of(&master) == "2").then_some(()));
        for replica in [&replica, &without] {
            assert_same(&master, replica, "after a cut");
        }
    }
    assert_eq!(client.info("stats", "sync_full"), full, "no full sync was needed");
    let partial: u64 = client.info("stats", "sync_partial_ok").parse().unwrap();
    assert!(partial >= 10, "{partial}");
}

#[test]
fn replicas_of_replicas() {
    let mut dice = Dice::new();
    let master = master(&[]);
    let mut client = master.client();
    fill(&mut client, &mut dice, 500);
    let middle = Server::replica_of(&master, spartan(Server::builder()).tcp());
    let last = Server::replica_of(&middle, Server::builder().tcp());
    let other = Server::replica_of(&last, spartan(Server::builder()));
    fill(&mut client, &mut dice, 2000);
    for replica in [&middle, &last, &other] {
        assert_same(&master, replica, "in a chain");
    }
}

// What a replica answers.

#[test]
fn a_read_only_replica_answers_reads_and_refuses_writes() {
    let master = master(&[]);
    let mut client = master.client();
    let replica = Server::replica_of(&master, Server::builder());
    client.run("MTSET k v 500");
    client.run("SET plain p");
    assert_eq!(client.run("WAIT 1 10000"), int(1));
    let mut reader = replica.client();
    let before = digest(&mut reader);
    assert_eq!(reader.run("MTGET k 499"), bulk("v"));
    assert_eq!(reader.run("MTGET k 500"), nil());
    assert_eq!(reader.run("MTMGET k 500 plain 500").into_items().len(), 2);
    assert_eq!(reader.run("MTTIME k"), bulk("500"));
    for line in ["MTSET k w 600", "MTTOUCH k 600", "MTDEL k", "MTCLEAN 0"] {
        let refused = reader.run(line);
        assert!(
            matches!(&refused, Reply::Error(text) if text.starts_with("READONLY")),
            "{line}: {refused:?}"
        );
    }
    assert_eq!(digest(&mut reader), before);
    // The next foreign write arrives with its HDEL.
    client.run("SET k w");
    assert_eq!(client.run("WAIT 1 10000"), int(1));
    assert_eq!(reader.run("MTGET k 500"), bulk("w"));
}

#[test]
fn a_replica_hides_what_has_expired_and_leaves_the_deleting_to_its_master() {
    let master = master(&[]);
    let mut client = master.client();
    let replica = Server::replica_of(&master, Server::builder());
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    client.run("MTSET k v 500 PX 1");
    client.run("MTSET long v 500 EX 1000");
    assert_eq!(client.run("WAIT 1 10000"), int(1));
    let mut reader = replica.client();
    let end = reader.clock_us() + 20_000;
    wait::until("the key to expire", || (reader.clock_us() > end).then_some(()));
    let before = digest(&mut reader);
    assert_eq!(reader.run("MTGET k 0"), nil());
    assert_eq!(reader.run("MTGET k 0 WITHMTIME"), nil());
    assert_eq!(reader.run("MTTIME k"), nil());
    assert_eq!(reader.run("MTMGET k 0 long 500"), array([nil(), not_modified("500")]));
    assert_eq!(digest(&mut reader), before, "a read has changed the replica");
    assert_eq!(reader.run("DBSIZE"), int(2 + index_keys()));
    // The master meets it, and both drop the key and its entry.
    assert_eq!(client.run("MTGET k 0"), nil());
    assert_same(&master, &replica, "after the expiry");
    assert_eq!(stored(&mut reader, "k"), nil());
}

#[test]
fn wait_counts_our_writes() {
    let master = master(&[]);
    let mut client = master.client();
    let replica = Server::replica_of(&master, Server::builder());
    let mut reader = replica.client();
    for mtime in 1..200 {
        call!(client, "MTSET", "k", mtime, mtime);
        assert_eq!(client.run("WAIT 1 10000"), int(1));
        assert_eq!(
            call!(reader, "MTGET", "k", mtime - 1, "WITHMTIME"),
            array([bulk(mtime.to_string()), bulk(mtime.to_string())])
        );
    }
}

/// Whoever meets an expired key first causes its deletion. Only that is propagated: not the command that met it, least
/// of all one that failed, which replicas would report as an error in the stream.
#[test]
fn a_command_that_meets_an_expired_key_is_not_propagated() {
    if has_no_index("core commands in the stream") {
        return;
    }
    let server = Server::with(AOF);
    // Redis 7.0 has no place at the end of a unit for the module's part of the deletion.
    if !server.has("jobs at the end of a unit", (7, 2), (7, 2)) {
        return;
    }
    let mut client = server.client();
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    let mut stream = Stream::of(&server);
    // Valkey deletes expired keys in the background.
    let expected = ["MULTI", "DEL k", "UNLINK k", "EXEC", "HDEL MY_KEYSMTIME k"].map(str::to_owned);
    for line in
        ["GET k", "STRLEN k", "EXISTS k", "RENAME k other", "MTGET k 0", "MTTIME k", "KEYS *", "LPUSHX k a"]
    {
        client.run("MTSET k v 500 PX 1");
        let end = client.clock_us() + 5_000;
        wait::until("the key to expire", || (client.clock_us() > end).then_some(()));
        stream.take();
        client.run(line);
        let propagated = stream.take();
        let more: Vec<_> = propagated.iter().filter(|command| !expected.contains(command)).collect();
        assert!(more.is_empty(), "{line}: {propagated:?}");
        // Not every server deletes what KEYS meets.
        let dropped = propagated.contains(&expected[4]) || propagated.is_empty() && line.starts_with("KEYS");
        assert!(dropped, "{line}: the entry is not dropped: {propagated:?}");
    }
}

/// A deadline in the past: the key is gone at once, here, on replicas and in the AOF. The deletion must not come before
/// the SET in the stream, or replicas keep a key that nobody deletes.
#[test]
fn a_write_that_has_expired_already_is_gone_everywhere() {
    let master = Server::builder().tcp().with(AOF).start();
    let with = Server::replica_of(&master, Server::builder());
    let without = Server::replica_of(&master, spartan(Server::builder()));
    let mut client = master.client();
    for unit in [
        &["MTSET k v 500 PXAT 2"][..],
        &["MTSET k v 500", "MTSET k w 501 EXAT 1 IFNEWER"],
        &["MULTI", "MTSET k v 500 PXAT 2", "MTSET l v 500", "EXEC"],
        &["EVAL redis.call('MTSET',KEYS[1],'v',500,'PXAT',2) 1 k"],
    ] {
        client.run("FLUSHALL");
        let replies = client.pipeline(&unit.iter().map(|line| words(line)).collect::<Vec<_>>());
        assert!(!replies.iter().any(Reply::is_error), "{unit:?}: {replies:?}");
        // Whoever still has it appends to it.
        client.run("APPEND k x");
        for replica in [&with, &without] {
            assert_same(&master, replica, &format!("after {unit:?}"));
        }
        let before = databases(&mut client);
        assert_eq!(client.run("GET k"), bulk("x"), "{unit:?}");
        assert_eq!(client.run("DEBUG LOADAOF"), ok());
        let after = databases(&mut client);
        assert!(before == after, "the AOF after {unit:?}:\n{}", differences(&before, &after));
    }
}

/// A replica that lets its clients write: their writes are foreign writes that no master reports.
#[test]
fn a_writable_replica_never_says_not_modified_about_a_foreign_write_of_its_own() {
    let master = master(&[]);
    let mut client = master.client();
    client.run("MTSET k v 500");
    let replica = Server::replica_of(&master, Server::builder().with(&["replica-read-only no"]));
    let mut writer = replica.client();
    assert_eq!(writer.run("MTGET k 500"), nil());
    assert_eq!(writer.run("SET k w"), ok());
    assert_eq!(writer.run("MTGET k 500"), bulk("w"));
}

#[test]
fn a_writable_replica_keeps_core_commands_in_its_own_aof() {
    if has_no_index("core commands in the stream") {
        return;
    }
    let mut dice = Dice::new();
    for disk in ["repl-diskless-sync no", "repl-diskless-sync yes"] {
        let master = master(&[disk]);
        let mut client = master.client();
        fill(&mut client, &mut dice, 1000);
        let writable = ["replica-read-only no", "appendonly yes", "appendfsync always"];
        let replica = Server::replica_of(&master, Server::builder().with(&writable));
        let mut writer = replica.client();
        assert_eq!(writer.run("MTSET own v 500 EX 1000"), ok());
        // The rewrite after the sync.
        writer.wait_for_children();
        assert_eq!(writer.run("MTSET own v 501 EX 1000"), ok());
        assert_core_files(replica.directory());
    }
}

// Who is master changes.

#[test]
fn a_promoted_replica_goes_on_as_a_master() {
    let mut dice = Dice::new();
    let old = master(&[]);
    let mut client = old.client();
    let new = Server::replica_of(&old, Server::builder().tcp());
    let third = Server::replica_of(&old, spartan(Server::builder()));
    fill(&mut client, &mut dice, 500);
    client.run("MTSET k v 500");
    assert_same(&old, &new, "before the promotion");

    let mut client = new.client();
    assert_eq!(client.run("REPLICAOF NO ONE"), ok());
    // Before anybody has turned to it: what is written now waits in the backlog.
    client.run("SET k foreign");
    assert_eq!(client.run("MTGET k 500"), bulk("foreign"), "a master drops entries itself");
    client.run("MTSET star v * EX 1000");
    fill(&mut client, &mut dice, 500);
    follow(&old, &new);
    follow(&third, &new);
    fill(&mut client, &mut dice, 500);
    assert_same(&new, &old, "after the promotion");
    assert_same(&new, &third, "after the promotion");
    let partial: u64 = client.info("stats", "sync_partial_ok").parse().unwrap();
    assert_eq!(partial, 2, "the backlog was enough for both");
}

/// A master that comes back from a snapshot with replication info has a backlog at once, without any replica and
/// without a fork: replicas go on from it.
#[test]
fn a_master_that_restarts_from_a_snapshot_propagates_before_its_replicas_are_back() {
    let mut dice = Dice::new();
    let mut old = master(&["repl-backlog-ttl 3600"]);
    let without = Server::replica_of(&old, spartan(Server::builder()));
    let with = Server::replica_of(&old, Server::builder());
    let mut client = old.client();
    fill(&mut client, &mut dice, 500);
    client.run("MTSET k v 500");
    for replica in [&without, &with] {
        assert_same(&old, replica, "before the restart");
    }
    client.wait_for_children();
    assert_eq!(client.run("SAVE"), ok());
    old.restart();
    let mut client = old.client();
    client.run("MTSET first v * EX 1000");
    client.run("MTTOUCH k 501");
    client.run("MTDEL first");
    client.run("MTSET first v *");
    fill(&mut client, &mut dice, 500);
    for replica in [&without, &with] {
        assert_same(&old, replica, "after the restart");
    }
    assert_eq!(client.info("stats", "sync_partial_ok"), "2", "the backlog of the restarted master was used");
}

/// Writers that note what a replica has confirmed, on whichever server is the master.
struct Confirmed {
    highest: Mutex<BTreeMap<String, u64>>,
    count: AtomicU64,
    stop: AtomicBool,
}

/// Lets the writers end also when the test fails: a scope waits for its threads.
struct StopsWriters<'a>(&'a Confirmed);

impl Drop for StopsWriters<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Relaxed);
    }
}

impl Confirmed {
    fn new() -> Self {
        Self { highest: Mutex::default(), count: AtomicU64::new(0), stop: AtomicBool::new(false) }
    }

    fn go_on_for(&self, writes: u64) {
        let target = self.count.load(Relaxed) + writes;
        wait::until("confirmed writes", || (self.count.load(Relaxed) >= target).then_some(()));
    }

    fn write(&self, servers: [&Server; 2], writer: u64, mut dice: Dice) {
        let mut clients = servers.map(|server| Some(server.client()));
        let mut current = 0;
        for mtime in 1_u64.. {
            if self.stop.load(Relaxed) {
                return;
            }
            let key = format!("w{writer}:{}", dice.below(20));
            let Some(client) = &mut clients[current] else {
                // Its server was killed.
                current = 1 - current;
                continue;
            };
            let unit: Vec<Args> = match dice.below(4) {
                // A foreign write: it drops the mtime, and that has to be as safe as the value.
                3 => vec![args!["SET", key, mtime], words("WAIT 1 2000")],
                0 => vec![args!["MTSET", key, mtime, mtime], words("WAIT 1 2000")],
                1 => vec![args!["MTSET", key, mtime, mtime, "IFNEWER", "EX", 1000], words("WAIT 1 2000")],
                _ => vec![
                    words("MULTI"),
                    args!["SET", key, mtime],
                    args!["MTTOUCH", key, mtime],
                    words("EXEC"),
                    words("WAIT 1 2000"),
                ],
            };
            match client.try_pipeline(&unit) {
                Err(_) => clients[current] = None,
                Ok(replies) if replies.iter().any(Reply::is_error) => {
                    // Not the master, or not any more. A look at the other one, which may not be it yet.
                    current = 1 - current;
                }
                Ok(replies) if matches!(replies.last(), Some(Reply::Int(1..))) => {
                    self.highest.lock().expect("a map").insert(key, mtime);
                    self.count.fetch_add(1, Relaxed);
                }
                Ok(_) => {}
            }
            if clients.iter().all(Option::is_none) {
                return;
            }
        }
    }

    /// On the master: no reader of an older state is told that it is current, and value and mtime belong together, unless
    /// a foreign write came last.
    fn check(&self, client: &mut Client) {
        let highest = self.highest.lock().expect("a map");
        assert!(!highest.is_empty());
        for (key, confirmed) in &*highest {
            let reply = call!(client, "MTGET", key, confirmed - 1, "WITHMTIME");
            let parts = reply.into_items();
            let (mtime, value) = (parts[0].clone(), parts[1].clone());
            assert_ne!(
                value,
                nil(),
                "{key}: not modified since {}, but {confirmed} is confirmed",
                confirmed - 1
            );
            assert!(mtime == value || mtime == nil(), "{key}: value and mtime are of two writes");
            let written: u64 = value.into_text().parse().expect("a number");
            assert!(written >= *confirmed, "{key}: {written} instead of {confirmed}");
        }
    }
}

#[test]
fn a_failover_under_load_keeps_what_a_replica_has_confirmed() {
    let mut dice = Dice::new();
    let one = master(&[]);
    let two = Server::replica_of(&one, Server::builder().tcp());
    let confirmed = Confirmed::new();
    std::thread::scope(|scope| {
        let _stops_writers = StopsWriters(&confirmed);
        for writer in 0..3 {
            let (confirmed, dice, servers) = (&confirmed, Dice::seeded(dice.next()), [&one, &two]);
            scope.spawn(move || confirmed.write(servers, writer, dice));
        }
        for round in 0..4 {
            confirmed.go_on_for(100);
            let (old, new) = if round % 2 == 0 { (&one, &two) } else { (&two, &one) };
            assert_eq!(old.client().run("FAILOVER"), ok());
            wait::until("the failover", || {
                let is_master = |server: &Server| server.client().info("replication", "role") == "master";
                (is_master(new) && !is_master(old)).then_some(())
            });
            linked(old);
            confirmed.check(&mut new.client());
        }
        confirmed.go_on_for(100);
    });
    confirmed.check(&mut one.client());
    assert_equal(&one, &two, "after four failovers");
}

#[test]
fn a_replica_of_a_killed_master_has_what_it_has_confirmed() {
    let mut dice = Dice::new();
    let mut one = master(&[]);
    let two = Server::replica_of(&one, Server::builder().tcp());
    let confirmed = Confirmed::new();
    let servers = [&one, &two];
    std::thread::scope(|scope| {
        let _stops_writers = StopsWriters(&confirmed);
        for writer in 0..3 {
            let (confirmed, dice) = (&confirmed, Dice::seeded(dice.next()));
            scope.spawn(move || confirmed.write(servers, writer, dice));
        }
        confirmed.go_on_for(300);
        let pid = servers[0].client().info("server", "process_id");
        // The replica stays one until the master is gone for good.
        let killed = std::process::Command::new("kill").args(["-9", &pid]).status().expect("kill runs");
        assert!(killed.success());
    });
    let mut client = two.client();
    assert_eq!(client.run("REPLICAOF NO ONE"), ok());
    confirmed.check(&mut client);
    fill(&mut client, &mut dice, 500);
    one.restart();
    follow(&one, &two);
    assert_same(&two, &one, "after its return");
}

// Propagation is only built while somebody listens. These tests come and go while writers write.

fn come_and_go(directives: &[&str], rounds: u64) {
    let mut dice = Dice::new();
    let master = master(&[directives, &["repl-backlog-ttl 1"]].concat());
    let mut client = master.client();
    let without = spartan(Server::builder()).tcp().start();
    let with = Server::builder().tcp().start();
    for round in 0..rounds {
        let load = Load::on(&master, 2, STEADY, &mut dice);
        load.go_on_for(dice.below(500));
        let (first, second) = if dice.once_in(2) { (&with, &without) } else { (&without, &with) };
        follow(first, &master);
        load.go_on_for(1 + dice.below(500));
        if dice.once_in(2) {
            client.run("BGSAVE");
        }
        follow(second, &master);
        linked(first);
        linked(second);
        load.go_on_for(1 + dice.below(1000));
        if dice.once_in(2) {
            client.run("CLIENT KILL TYPE replica");
            load.go_on_for(1 + dice.below(1000));
            linked(first);
            linked(second);
        }
        load.finish();
        for replica in [first, second] {
            assert_same(&master, replica, &format!("in round {round}, seed {}", dice.seed()));
            call!(replica.client(), "REPLICAOF", "NO", "ONE");
        }
        if round % 2 == 0 {
            let load = Load::on(&master, 1, STEADY, &mut dice);
            wait::until("the backlog to be given up", || {
                (client.info("replication", "repl_backlog_active") == "0").then_some(())
            });
            // A fork is when the module looks who listens. Now nobody does.
            client.run("BGSAVE");
            client.wait_for_children();
            load.finish();
        }
    }
}

#[test]
fn a_replica_misses_nothing_whenever_it_comes_disk() {
    come_and_go(&["repl-diskless-sync no"], 5);
}

#[test]
fn a_replica_misses_nothing_whenever_it_comes_diskless() {
    come_and_go(&["repl-diskless-sync yes", "repl-diskless-sync-delay 0"], 5);
}

/// The delay is a second in which a backlog exists and no fork has happened yet.
#[test]
fn a_replica_misses_nothing_whenever_it_comes_diskless_delayed() {
    come_and_go(&["repl-diskless-sync yes", "repl-diskless-sync-delay 1"], 4);
}

/// The same, in a single unit: the listeners change between the commands of a transaction.
#[test]
fn an_aof_misses_nothing_whenever_it_begins() {
    let mut dice = Dice::new();
    let server = Server::with(&["appendfsync always"]);
    let mut client = server.client();
    for round in 0..8 {
        let load = Load::on(&server, 2, STEADY, &mut dice);
        load.go_on_for(dice.below(1000));
        if dice.once_in(3) {
            // Another child makes the rewrite wait.
            client.run("BGSAVE");
        }
        if dice.once_in(2) {
            assert_eq!(client.run("CONFIG SET appendonly yes"), ok());
        } else {
            let unit = [
                words("MULTI"),
                words("MTSET before v * EX 1000"),
                words("CONFIG SET appendonly yes"),
                words("MTSET after v * EX 1000"),
                words("MTDEL before"),
                words("EXEC"),
            ];
            assert!(!client.pipeline(&unit).iter().any(Reply::is_error));
        }
        load.go_on_for(1 + dice.below(1000));
        if dice.once_in(2) {
            client.run("BGREWRITEAOF");
            load.go_on_for(1 + dice.below(500));
        }
        load.finish();
        client.wait_for_children();
        fill(&mut client, &mut dice, 100);
        assert_core_files(server.directory());
        let before = databases(&mut client);
        assert_eq!(client.run("DEBUG LOADAOF"), ok());
        let after = databases(&mut client);
        assert!(before == after, "round {round}, seed {}:\n{}", dice.seed(), differences(&before, &after));
        assert_eq!(client.run("CONFIG SET appendonly no"), ok());
    }
}

/// A listener that comes through the back door: a server with the module becomes a replica, a master, a replica of
/// another one, always with writers that do not care.
#[test]
fn roles_that_change_under_load_lose_nothing() {
    let mut dice = Dice::new();
    let one = master(&["repl-backlog-ttl 1"]);
    let two = master(&["repl-backlog-ttl 1"]);
    let without = spartan(Server::builder()).start();
    for round in 0..5 {
        let (old, new) = if round % 2 == 0 { (&one, &two) } else { (&two, &one) };
        let load = Load::on(old, 1, STEADY, &mut dice);
        // Refused while it is a replica.
        let early = Load::on(new, 1, STEADY, &mut dice);
        load.go_on_for(dice.below(500));
        follow(new, old);
        follow(&without, old);
        linked(new);
        load.go_on_for(1 + dice.below(500));
        assert_eq!(new.client().run("REPLICAOF NO ONE"), ok());
        early.go_on_for(1 + dice.below(500));
        follow(old, new);
        follow(&without, new);
        linked(old);
        early.go_on_for(1 + dice.below(500));
        load.finish();
        early.finish();
        for replica in [old, &without] {
            assert_same(new, replica, &format!("in round {round}, seed {}", dice.seed()));
        }
        assert_eq!(old.client().run("REPLICAOF NO ONE"), ok());
        assert_eq!(without.client().run("REPLICAOF NO ONE"), ok());
    }
}

// Everything at once.

/// Waits for what expires within milliseconds to be gone.
fn settle(client: &mut Client) {
    let end = client.clock_us() + 120_000;
    wait::until("short times to live to end", || (client.clock_us() > end).then_some(()));
    // A scan meets every key that the active expiry has not met yet, and deletes it.
    for database in [1, 0] {
        call!(client, "SELECT", database);
        let mut cursor = "0".to_owned();
        loop {
            let parts = call!(client, "SCAN", cursor, "COUNT", 1000).into_items();
            cursor = parts[0].clone().into_text();
            if cursor == "0" {
                break;
            }
        }
    }
}

#[test]
fn replicas_agree_after_a_hundred_thousand_random_commands() {
    let count = number_of("REDIS_MTIME_RANDOM_COMMANDS", || 100_000);
    let mut dice = Dice::new();
    let mut master = master(&["appendonly yes", "appendfsync everysec", "hz 100"]);
    let with = Server::replica_of(&master, Server::builder().tcp());
    let without = Server::replica_of(&master, spartan(Server::builder()));
    let chained = Server::replica_of(&with, spartan(Server::builder()));
    let mut client = master.client();
    let workload = Workload::default();
    let (mut sent, mut evicting) = (0, false);
    while sent < count {
        let commands = workload.commands(&mut dice, 500);
        sent += u64::try_from(commands.len()).expect("a few");
        client.pipeline(&commands);
        client.run("SELECT 0");
        if dice.once_in(8) {
            // From time to time memory is short, and what is evicted may be the index.
            let used: u64 = client.info("memory", "used_memory").parse().expect("a number");
            let policy = dice.pick(&["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-ttl"]);
            let limit = if evicting { 0 } else { used - dice.below(100_000) };
            call!(client, "CONFIG", "SET", "maxmemory-policy", policy);
            call!(client, "CONFIG", "SET", "maxmemory", limit);
            evicting = !evicting;
        }
        if dice.once_in(50) {
            client.run("BGREWRITEAOF");
        }
        if dice.once_in(50) {
            client.run("CLIENT KILL TYPE replica");
        }
    }
    call!(client, "CONFIG", "SET", "maxmemory", 0);
    let evicted = client.info("stats", "evicted_keys");
    let expired = client.info("stats", "expired_keys");
    let dropped = client.info("mtime", "mtime_foreign_writes_dropped");
    settle(&mut client);
    client.wait_for_children();
    for (replica, name) in [(&with, "with the module"), (&without, "without it"), (&chained, "chained")] {
        let when = format!("{name}, after {sent} commands, seed {}", dice.seed());
        // The chained one follows the replica, whose offset is the master's.
        assert_same(&master, replica, &when);
    }
    assert_core_files(master.directory());
    println!(
        "{sent} commands, {evicted} evicted, {expired} expired, {dropped} dropped, seed {}",
        dice.seed()
    );
    assert_ne!(evicted, "0");
    assert_ne!(expired, "0");
    let before = databases(&mut client);
    client.run("CONFIG SET appendfsync always");
    assert_eq!(client.run("DEBUG LOADAOF"), ok());
    let after = databases(&mut client);
    assert!(before == after, "the AOF, seed {}:\n{}", dice.seed(), differences(&before, &after));
    if is_keymeta() {
        return;
    }
    master.restart_without_module();
    let after = databases(&mut master.client());
    assert!(before == after, "without the module, seed {}:\n{}", dice.seed(), differences(&before, &after));
}
