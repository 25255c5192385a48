//! Slots that move key by key (SETSLOT and MIGRATE): never a stale answer, never a stop. The worst is a value that is sent
//! once more, and a write that is to be tried again.

use crate::cluster_manager::{rebalance, reshard};
use crate::keepers::{Keepers, Work, orphans_after_cleaning};
use crate::nodes::{Cluster, FAILS_QUICKLY, all, entry, index_of};
use crate::support::client::{Client, Reply, bulk, call, error, int, nil, ok, untracked, words};
use crate::support::dice::Dice;
use crate::support::storage::{has_no_index, is_keymeta};
use crate::support::wait;

const TRY_AGAIN: &str = "TRYAGAIN Key and mtime index may be on two nodes during rehashing of slot";
/// In the upper half of the slots; MY_KEYSMTIME{foo} is its index.
const SLOT: usize = 12182;
const INDEX: &str = "MY_KEYSMTIME{foo}";

/// Two masters, of which node 1 has the slot.
fn open() -> (Cluster, Client, Client) {
    let cluster = Cluster::of_masters(2);
    let (source, target) = (cluster.client(1), cluster.client(0));
    (cluster, source, target)
}

/// Writes keys with the mtime 5, and opens the slot to go from node 1 to node 0.
#[track_caller]
fn begin_to_move(cluster: &Cluster, source: &mut Client, keys: &[&str]) {
    for key in keys {
        assert_eq!(source.run(&format!("MTSET {key} v 5")), ok());
    }
    cluster.open_slot(SLOT, 1, 0);
}

fn ask(client: &mut Client, line: &str) -> Reply {
    client.pipeline(&[words("ASKING"), words(line)]).remove(1)
}

/// Whether a reply is a redirection by ASK.
fn is_ask(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(line) if line.starts_with("ASK "))
}

#[test]
fn index_first_then_keys() {
    if has_no_index("an index that moves apart from its keys; keymeta.rs has its own") {
        return;
    }
    let (cluster, mut source, mut target) = open();
    begin_to_move(&cluster, &mut source, &["{foo}a", "{foo}b", "{foo}c"]);
    assert_eq!(cluster.migrate(&[INDEX], 1, 0), ok());
    // At the source the mtimes are gone. Nobody is told "not modified", and nothing is written.
    assert_eq!(source.run("MTGET {foo}a 5 WITHMTIME"), untracked("v"));
    assert_eq!(source.run("MTTIME {foo}a"), nil());
    let before = source.run("DEBUG DIGEST");
    for line in ["MTSET {foo}a w 6", "MTSET {foo}a w 6 IFEQ 5", "MTTOUCH {foo}a 6", "MTDEL {foo}a IFNEWER 6"]
    {
        assert_eq!(source.run(line), error(TRY_AGAIN), "{line}");
    }
    assert_eq!(source.run("DEBUG DIGEST"), before);
    // Plain commands go on. This one changes a value whose mtime is at the target already.
    assert_eq!(source.run("SET {foo}a changed"), ok());
    assert!(is_ask(&source.run("MTGET {foo}new 0")));
    assert!(is_ask(&source.run("MTSET {foo}new v 1")));
    assert_eq!(ask(&mut target, "MTSET {foo}new v 1"), ok());
    // The keys that come drop the mtime they had there.
    assert_eq!(cluster.migrate(&["{foo}a", "{foo}b"], 1, 0), ok());
    assert_eq!(ask(&mut target, "MTGET {foo}a 100 WITHMTIME"), untracked("changed"));
    assert_eq!(ask(&mut target, "MTGET {foo}b 100 WITHMTIME"), untracked("v"));
    assert_eq!(ask(&mut target, "MTSET {foo}b w 7"), ok());
    assert_eq!(cluster.migrate(&["{foo}c"], 1, 0), ok());
    cluster.close_slot(SLOT, 1, 0);
    assert_eq!(source.run("DBSIZE"), int(0));
    assert_eq!(target.run("MTGET {foo}b 6"), bulk("w"));
    assert_eq!(target.run("MTTIME {foo}new"), bulk("1"));
    assert_eq!(target.run("MTGET {foo}c 100 WITHMTIME"), untracked("v"));
    assert_eq!(target.run("MTSET {foo}a x 8"), ok());
    cluster.check_filing();
}

#[test]
fn keys_first_then_index() {
    if has_no_index("an index that moves apart from its keys; keymeta.rs has its own") {
        return;
    }
    let (cluster, mut source, mut target) = open();
    begin_to_move(&cluster, &mut source, &["{foo}a", "{foo}b", "{foo}c"]);
    assert_eq!(cluster.migrate(&["{foo}a"], 1, 0), ok());
    // Its entry stays behind, and is dropped there.
    assert_eq!(entry(&mut source, "{foo}a"), nil());
    assert_eq!(ask(&mut target, "MTGET {foo}a 100 WITHMTIME"), untracked("v"));
    // An index that was created here now would stop the migration.
    assert_eq!(ask(&mut target, "MTSET {foo}a w 6"), error(TRY_AGAIN));
    assert_eq!(ask(&mut target, "MTSET {foo}new w 6"), error(TRY_AGAIN));
    assert_eq!(ask(&mut target, "MTTOUCH {foo}a 6"), error(TRY_AGAIN));
    assert_eq!(ask(&mut target, "GET {foo}a"), bulk("v"));
    assert_eq!(ask(&mut target, "GET {foo}new"), nil());
    // At the source both are there for those that have not moved.
    assert_eq!(source.run("MTSET {foo}b w 6"), ok());
    assert_eq!(source.run("MTGET {foo}b 6"), nil());
    assert_eq!(ask(&mut target, "SET {foo}a changed"), ok());
    assert_eq!(cluster.migrate(&["{foo}b"], 1, 0), ok());
    assert_eq!(cluster.migrate(&["{foo}c"], 1, 0), ok());
    // The last entry is dropped a little later; it may travel with the index.
    let moved = cluster.migrate(&[INDEX], 1, 0);
    assert!(moved == ok() || moved == Reply::Status("NOKEY".to_owned()), "{moved:?}");
    cluster.close_slot(SLOT, 1, 0);
    for (key, value) in [("{foo}a", "changed"), ("{foo}b", "w"), ("{foo}c", "v")] {
        assert_eq!(call!(target, "MTGET", key, 100, "WITHMTIME"), untracked(value), "{key}");
    }
    assert_eq!(target.run("MTSET {foo}a x 8"), ok());
    wait::until("the source to be empty", || (source.run("DBSIZE") == int(0)).then_some(()));
    cluster.check_filing();
}

#[test]
fn an_index_that_comes_after_its_key_was_changed_is_not_believed() {
    if has_no_index("an index that moves apart from its keys; keymeta.rs has its own") {
        return;
    }
    let (cluster, mut source, mut target) = open();
    assert_eq!(source.run("MTSET {foo}a v 5"), ok());
    assert_eq!(source.run("MTSET {foo}b v 5"), ok());
    assert_eq!(source.run("MTSET {foo}c v 5"), ok());
    cluster.open_slot(SLOT, 1, 0);
    // What one MIGRATE of key and index does, taken apart: the index is read before the key is deleted at the source.
    let payload = source.run(&format!("DUMP {INDEX}")).into_bytes();
    assert_eq!(cluster.migrate(&["{foo}a"], 1, 0), ok());
    assert_eq!(ask(&mut target, "SET {foo}a changed"), ok());
    assert_eq!(call!(target, "RESTORE-ASKING", INDEX, 0, payload), ok());
    assert_eq!(ask(&mut target, "MTGET {foo}a 100 WITHMTIME"), untracked("changed"));
    assert_eq!(ask(&mut target, &format!("HGET {INDEX} {{foo}}a")), nil());
    // Of the others it is not known yet; they drop theirs when they come.
    assert_eq!(ask(&mut target, &format!("HGET {INDEX} {{foo}}b")), bulk("5"));
}

#[test]
fn one_migrate_of_everything_in_both_orders() {
    if has_no_index("an index that moves apart from its keys; keymeta.rs has its own") {
        return;
    }
    for keys in [[INDEX, "{foo}a", "{foo}b"], ["{foo}a", "{foo}b", INDEX], ["{foo}a", INDEX, "{foo}b"]] {
        let (cluster, mut source, mut target) = open();
        begin_to_move(&cluster, &mut source, &["{foo}a", "{foo}b"]);
        assert_eq!(cluster.migrate(&keys, 1, 0), ok());
        cluster.close_slot(SLOT, 1, 0);
        for key in ["{foo}a", "{foo}b"] {
            assert_eq!(call!(target, "MTGET", key, 100, "WITHMTIME"), untracked("v"), "{keys:?}");
            assert_eq!(call!(target, "MTSET", key, "w", 6), ok());
            assert_eq!(call!(target, "MTGET", key, 6), nil());
        }
        wait::until("the source to be empty", || (source.run("DBSIZE") == int(0)).then_some(()));
        cluster.check_filing();
    }
}

#[test]
fn replicas_of_the_target_see_no_stale_entry() {
    if has_no_index("an index that moves apart from its keys; keymeta.rs has its own") {
        return;
    }
    let cluster = Cluster::new(2, 2, &[]);
    let (mut source, mut target, mut replica) = (cluster.client(1), cluster.client(0), cluster.client(2));
    assert_eq!(replica.run("READONLY"), ok());
    begin_to_move(&cluster, &mut source, &["{foo}a", "{foo}b", "{foo}c"]);
    let payload = source.run(&format!("DUMP {INDEX}")).into_bytes();
    assert_eq!(cluster.migrate(&["{foo}a"], 1, 0), ok());
    assert_eq!(ask(&mut target, "SET {foo}a changed"), ok());
    assert_eq!(call!(target, "RESTORE-ASKING", INDEX, 0, payload), ok());
    call!(source, "DEL", INDEX);
    assert_eq!(cluster.migrate(&["{foo}b", "{foo}c"], 1, 0), ok());
    cluster.close_slot(SLOT, 1, 0);
    let mut both = [target, replica];
    wait::until("the replica to know that the slot is its master's", || {
        (!both[1].run("MTGET {foo}a 0").is_error()).then_some(())
    });
    wait::until("the same dataset on the replica", || {
        let [left, right] = &mut both;
        (left.run("DEBUG DIGEST") == right.run("DEBUG DIGEST")).then_some(())
    });
    for client in &mut both {
        assert_eq!(client.run("MTGET {foo}a 100 WITHMTIME"), untracked("changed"));
        assert_eq!(client.run("MTGET {foo}b 100 WITHMTIME"), untracked("v"));
    }
}

#[test]
fn a_slot_without_an_index_is_like_one_whose_index_has_moved() {
    if has_no_index("an index that moves apart from its keys; keymeta.rs has its own") {
        return;
    }
    let (cluster, mut source, mut target) = open();
    assert_eq!(source.run("SET {foo}a v"), ok());
    cluster.open_slot(SLOT, 1, 0);
    assert_eq!(source.run("MTSET {foo}a v 5"), error(TRY_AGAIN));
    assert_eq!(ask(&mut target, "MTSET {foo}new v 5"), error(TRY_AGAIN));
    assert_eq!(source.run("MTGET {foo}a 0 WITHMTIME"), untracked("v"));
    // Also in transactions and scripts, where the rest is done as always.
    let replies = source.pipeline(&all(&["MULTI", "SET {foo}a w", "MTSET {foo}a x 5", "EXEC"]));
    assert_eq!(replies[3].clone().into_items(), [ok(), error(TRY_AGAIN)]);
    assert_eq!(source.run("GET {foo}a"), bulk("w"));
    assert_eq!(cluster.migrate(&["{foo}a"], 1, 0), ok());
    cluster.close_slot(SLOT, 1, 0);
    assert_eq!(target.run("MTSET {foo}a v 5"), ok());
    assert_eq!(entry(&mut target, "{foo}a"), bulk("5"));
}

#[test]
fn with_invalidation_off_mtimes_survive_the_move() {
    if has_no_index("an index that moves apart from its keys; keymeta.rs has its own") {
        return;
    }
    let cluster = Cluster::new(2, 0, &["mtime.invalidate-on-write no"]);
    let (mut source, mut target) = (cluster.client(1), cluster.client(0));
    begin_to_move(&cluster, &mut source, &["{foo}a", "{foo}b"]);
    for keys in [["{foo}a"], [INDEX], ["{foo}b"]] {
        assert_eq!(cluster.migrate(&keys, 1, 0), ok());
    }
    cluster.close_slot(SLOT, 1, 0);
    for key in ["{foo}a", "{foo}b"] {
        assert_eq!(call!(target, "MTGET", key, 5), nil());
    }
}

#[test]
fn multi_key_reads_of_a_slot_in_motion_are_answered_by_the_server() {
    let (cluster, mut source, mut target) = open();
    begin_to_move(&cluster, &mut source, &["{foo}a", "{foo}b"]);
    assert_eq!(cluster.migrate(&["{foo}a"], 1, 0), ok());
    let core = source.run("MGET {foo}a {foo}b");
    assert!(matches!(&core, Reply::Error(line) if line.starts_with("TRYAGAIN")), "{core:?}");
    assert_eq!(source.run("MTMGET {foo}a 0 {foo}b 0"), core);
    assert_eq!(ask(&mut target, "MTMGET {foo}a 0 {foo}b 0"), core);
}

const UNDER_LOAD: Work = Work { keepers: 3, keys: 120, slots: 40, waits: false, expires: true };

#[test]
fn a_node_that_loses_a_slot_with_keys_in_it_lives_on() {
    // It deletes them one by one, with an iterator that must not lose the index under it.
    let cluster = Cluster::of_masters(2);
    let ids = [0, 1].map(|number| cluster.id(number));
    let mut owner = 1;
    for round in 0..16_usize {
        let other = 1 - owner;
        let mut client = cluster.client(owner);
        // Mostly few, so that the index is often the next to go.
        let keys = if round % 4 == 0 { 40 } else { 1 + round % 4 };
        let commands: Vec<_> = (0..keys).map(|i| words(&format!("MTSET {{foo}}{round}:{i} v 5"))).collect();
        assert!(client.pipeline(&commands).into_iter().all(|reply| reply == ok()));
        // The other one takes it, and the first hears of that.
        let mut taker = cluster.client(other);
        assert_eq!(call!(taker, "CLUSTER", "SETSLOT", SLOT, "IMPORTING", ids[owner]), ok());
        assert_eq!(call!(taker, "CLUSTER", "SETSLOT", SLOT, "NODE", ids[other]), ok());
        wait::until("the node to delete the keys of the slot", || {
            (call!(client, "CLUSTER", "COUNTKEYSINSLOT", SLOT) == int(0)).then_some(())
        });
        assert_eq!(client.run("DBSIZE"), int(0));
        owner = other;
    }
    // And what was known of the index is not counted on: a long value, which is read in another way than short ones.
    let mut client = cluster.client(owner);
    let value = "v".repeat(500);
    assert_eq!(call!(client, "SET", "{foo}k", value), ok());
    let misses = client.info("stats", "keyspace_misses");
    assert_eq!(call!(client, "MTGET", "{foo}k", 100, "WITHMTIME"), untracked(value));
    assert_eq!(client.info("stats", "keyspace_misses"), misses);
    cluster.check_filing();
}

#[test]
fn resharding_and_rebalancing_under_load() {
    let mut dice = Dice::new();
    let cluster = Cluster::of_masters(3);
    let keepers = Keepers::at(&cluster, UNDER_LOAD, &mut dice);
    keepers.go_on_for(2000);
    reshard(&cluster, 0, 1, 500);
    keepers.go_on_for(500);
    reshard(&cluster, 2, 0, 500);
    keepers.go_on_for(500);
    rebalance(&cluster);
    keepers.go_on_for(2000);
    cluster.wait_until_fine();
    let seen = keepers.finish();
    seen.assert_no_faults();
    assert!(seen.detours.ask > 0 && seen.not_modified > 100, "{seen:?}");
    assert_eq!(orphans_after_cleaning(&cluster), Vec::<String>::new());
    cluster.check_filing();
    eprintln!("{seen:?}");
}

/// What a busy machine does to a cluster: a node stands still for longer than the node timeout, the others are down until
/// it is back, and redis-cli ends with a slot half moved.
#[test]
fn a_reshard_that_was_stopped_under_load_is_mended_and_goes_on() {
    const MOVED: usize = 1250;
    let mut dice = Dice::new();
    // The fourth has no key of the clients: what they had sent it while it stood still, it would execute later.
    let cluster = Cluster::new(4, 0, FAILS_QUICKLY);
    let work = Work { slots: 100, ..UNDER_LOAD };
    let keepers = Keepers::at(&cluster, work, &mut dice);
    keepers.go_on_for(1000);
    let stops = std::thread::scope(|scope| {
        let mover = scope.spawn(|| reshard(&cluster, 0, 1, MOVED));
        wait::until("the first slot to move", || (cluster.try_owner(1, 0) == Some(1)).then_some(()));
        cluster.nodes[3].freeze();
        for number in [0, 1] {
            let mut client = cluster.client(number);
            wait::until("the cluster to be down", || {
                client.run("CLUSTER INFO").into_text().contains("cluster_state:fail").then_some(())
            });
        }
        cluster.nodes[3].thaw();
        mover.join().expect("the slots have moved")
    });
    assert!(stops > 0, "redis-cli was not stopped");
    keepers.go_on_for(1000);
    cluster.wait_until_fine();
    assert!((0..MOVED).all(|slot| slot % 25 != 0 || cluster.owner(0, slot) == 1));
    let seen = keepers.finish();
    seen.assert_no_faults();
    assert!(seen.detours.ask > 0 && seen.detours.down > 0, "{seen:?}");
    assert_eq!(orphans_after_cleaning(&cluster), Vec::<String>::new());
    cluster.check_filing();
}

#[test]
fn keys_that_move_under_load_one_by_one() {
    let mut dice = Dice::new();
    let cluster = Cluster::of_masters(2);
    let work = Work { keepers: 2, keys: 60, slots: 2, ..UNDER_LOAD };
    let keepers = Keepers::at(&cluster, work, &mut dice);
    let slot = crate::keepers::slots(work).next().expect("a slot");
    let (mut from, mut to) = (0, 1);
    for _ in 0..6 {
        keepers.go_on_for(300);
        cluster.open_slot(slot, from, to);
        // In random order, as long as there are any; the index is one of them.
        loop {
            let keys = call!(cluster.client(from), "CLUSTER", "GETKEYSINSLOT", slot, 1000).into_items();
            let keys: Vec<String> = keys.into_iter().map(Reply::into_text).collect();
            if keys.is_empty() {
                break;
            }
            for _ in 0..5 {
                let key = &keys[dice.index(keys.len())];
                let moved = cluster.migrate(&[key], from, to);
                assert!(moved == ok() || moved == Reply::Status("NOKEY".to_owned()), "{key}: {moved:?}");
            }
            keepers.go_on_for(20);
        }
        cluster.close_slot(slot, from, to);
        std::mem::swap(&mut from, &mut to);
    }
    let seen = keepers.finish();
    seen.assert_no_faults();
    // What moves apart from its index is to be tried again; what has none is not.
    assert!(seen.detours.ask > 0 && (seen.detours.try_again > 0) != is_keymeta(), "{seen:?}");
    assert_eq!(orphans_after_cleaning(&cluster), Vec::<String>::new());
    assert_eq!(index_of("{foo}"), INDEX);
    cluster.check_filing();
}
