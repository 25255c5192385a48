//! Atomic slot migration, where the server has it (Redis 8.4, Valkey 9): mtimes move with their keys.

use crate::keepers::{Keepers, Work, orphans_after_cleaning, slots};
use crate::nodes::{Cluster, entry, index_of, tag_of};
use crate::support::aof::{AOF, Stream};
use crate::support::client::{Args, Client, Reply, args, bulk, call, int, nil, not_modified, ok, untracked};
use crate::support::dice::Dice;
use crate::support::storage::{has_no_index, is_keymeta};
use crate::support::wait;

impl Cluster {
    /// Begins to move slots. `false`, loudly, where the server cannot.
    fn begin_atomic_migration(&self, from: usize, to: usize, first: usize, last: usize) -> bool {
        let target = self.id(to);
        let redis = call!(self.client(to), "CLUSTER", "MIGRATION", "IMPORT", first, last);
        if !redis.is_error() {
            return true;
        }
        let valkey =
            call!(self.client(from), "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", first, last, "NODE", target);
        if valkey == ok() {
            return true;
        }
        let unknown =
            |reply: &Reply| matches!(reply, Reply::Error(line) if line.contains("nknown subcommand"));
        assert!(unknown(&redis) && unknown(&valkey), "{redis:?} and {valkey:?}");
        eprintln!("NEEDS A NEWER SERVER: atomic slot migration (Redis 8.4, Valkey 9)");
        false
    }

    /// Moves slots. `false`, loudly, where the server cannot.
    pub(crate) fn migrate_atomically(&self, from: usize, to: usize, first: usize, last: usize) -> bool {
        if !self.begin_atomic_migration(from, to, first, last) {
            return false;
        }
        wait::until("the slots to have moved", || {
            let moved = [from, to]
                .iter()
                .all(|asked| self.owner(*asked, first) == to && self.owner(*asked, last) == to);
            moved.then_some(())
        });
        true
    }
}

fn mtset(client: &mut Client, keys: &[String], mtime: u64) {
    let commands: Vec<Args> =
        keys.iter().map(|key| args!["MTSET", key, format!("value of {key}"), mtime]).collect();
    assert!(client.pipeline(&commands).into_iter().all(|reply| reply == ok()));
}

#[test]
fn mtimes_move_with_their_keys() {
    let cluster = Cluster::of_masters(2);
    // Some slots with one key, one with very many, whose index may come before or after its keys.
    let mut keys: Vec<String> = (0..100).map(|slot| format!("{{{}}}k", tag_of(slot))).collect();
    keys.extend((0..2000).map(|i| format!("{{{}}}{i}", tag_of(50))));
    mtset(&mut cluster.client(0), &keys, 5);
    cluster.client(0).run(&format!("SET {{{}}}plain v", tag_of(50)));
    let mut source = cluster.client(0);
    let slot_before = call!(source, "CLUSTER", "COUNTKEYSINSLOT", 50);
    if !cluster.migrate_atomically(0, 1, 0, 99) {
        return;
    }
    let mut target = cluster.client(1);
    assert_eq!(call!(target, "CLUSTER", "COUNTKEYSINSLOT", 50), slot_before);
    for key in &keys {
        assert_eq!(call!(target, "MTGET", key, 5, "WITHMTIME"), not_modified("5"), "{key}");
        assert_eq!(call!(target, "MTGET", key, 4), bulk(format!("value of {key}")), "{key}");
    }
    assert!(is_keymeta() || call!(target, "OBJECT", "ENCODING", index_of(&keys[0])) == bulk("hashtable"));
    wait::until("the source to be empty", || (source.run("DBSIZE") == int(0)).then_some(()));
    // Foreign writes, reads and writes go on there.
    call!(target, "SET", keys[0], "changed");
    assert_eq!(call!(target, "MTGET", keys[0], 100, "WITHMTIME"), untracked("changed"));
    mtset(&mut target, &keys, 6);
    // And back, to a node that has had these slots before.
    assert!(cluster.migrate_atomically(1, 0, 0, 99));
    for key in &keys {
        assert_eq!(call!(source, "MTGET", key, 6, "WITHMTIME"), not_modified("6"), "{key}");
    }
    let misses = source.info("stats", "keyspace_misses");
    for key in &keys {
        call!(source, "MTGET", key, 6);
    }
    assert_eq!(source.info("stats", "keyspace_misses"), misses);
    cluster.check_filing();
}

#[test]
fn an_index_that_is_gone_with_its_slot_is_not_counted_on() {
    let cluster = Cluster::of_masters(2);
    let key = format!("{{{}}}k", tag_of(7));
    let (mut left, mut right) = (cluster.client(0), cluster.client(1));
    mtset(&mut left, std::slice::from_ref(&key), 5);
    if !cluster.migrate_atomically(0, 1, 7, 7) {
        return;
    }
    // It comes back without an index. A long value, which is read in another way than short ones.
    call!(right, "SET", key, "v".repeat(500));
    assert_eq!(entry(&mut right, &key), nil());
    wait::until("the index to be gone", || {
        (call!(right, "CLUSTER", "COUNTKEYSINSLOT", 7) == int(1)).then_some(())
    });
    assert!(cluster.migrate_atomically(1, 0, 7, 7));
    let misses = left.info("stats", "keyspace_misses");
    let hits: i64 = left.info("stats", "keyspace_hits").parse().unwrap();
    assert_eq!(call!(left, "MTGET", key, 100, "WITHMTIME"), untracked("v".repeat(500)));
    assert_eq!(left.info("stats", "keyspace_misses"), misses);
    assert_eq!(left.info("stats", "keyspace_hits"), (hits + 1).to_string());
}

#[test]
fn a_migration_that_is_given_up_leaves_the_source_as_it_was() {
    let cluster = Cluster::of_masters(2);
    let keys: Vec<String> = (0..3000).map(|i| format!("{{{}}}{i}", tag_of(i % 100))).collect();
    let (mut source, mut target) = (cluster.client(0), cluster.client(1));
    mtset(&mut source, &keys, 5);
    if !cluster.begin_atomic_migration(0, 1, 0, 99) {
        return;
    }
    // Too late, perhaps: then it has simply moved.
    let cancelled = [target.run("CLUSTER MIGRATION CANCEL ALL"), source.run("CLUSTER CANCELSLOTMIGRATIONS")];
    assert!(cancelled.iter().any(|reply| !reply.is_error()), "{cancelled:?}");
    cluster.wait_until_fine();
    let owner = cluster.owner(0, 0);
    let mut client = cluster.client(owner);
    for key in &keys {
        assert_eq!(call!(client, "MTGET", key, 5, "WITHMTIME"), not_modified("5"), "{key}");
    }
    wait::until("the other node to be empty", || {
        (cluster.client(1 - owner).run("DBSIZE") == int(0)).then_some(())
    });
    cluster.check_filing();
}

#[test]
fn under_load_nothing_is_stale_or_lost() {
    let mut dice = Dice::new();
    let cluster = Cluster::of_six();
    let work = Work { keepers: 3, keys: 120, slots: 40, waits: false, expires: true };
    let keepers = Keepers::at(&cluster, work, &mut dice);
    keepers.go_on_for(1000);
    let [first, last] = [slots(work).next().unwrap(), slots(work).step_by(2).last().unwrap()];
    let (mut from, mut to) = (0, 1);
    for _ in 0..4 {
        if !cluster.migrate_atomically(from, to, first, last) {
            break;
        }
        keepers.go_on_for(1000);
        std::mem::swap(&mut from, &mut to);
    }
    cluster.wait_until_fine();
    let seen = keepers.finish();
    seen.assert_no_faults();
    assert_eq!(seen.detours.try_again, 0, "{seen:?}");
    assert_eq!(orphans_after_cleaning(&cluster), Vec::<String>::new());
    cluster.check_replicas();
    cluster.check_filing();
}

#[test]
fn under_load_without_replicas_nothing_is_lost() {
    // Nobody listens but the migration.
    let mut dice = Dice::new();
    let cluster = Cluster::of_masters(3);
    let work = Work { keepers: 2, keys: 60, slots: 20, waits: false, expires: false };
    let keepers = Keepers::at(&cluster, work, &mut dice);
    keepers.go_on_for(500);
    for (from, to) in [(0, 1), (1, 0), (0, 1)] {
        if !cluster.migrate_atomically(from, to, 0, 300) {
            keepers.finish();
            return;
        }
        keepers.go_on_for(500);
    }
    let seen = keepers.finish();
    seen.assert_no_faults();
    // Every key that was written with an mtime last has it: an untracked one was written plainly.
    assert!(seen.not_modified > 100, "{seen:?}");
}

#[test]
fn while_slots_move_a_key_is_untracked_before_it_gets_a_new_value() {
    if has_no_index("transactions of core commands") {
        return;
    }
    // The target gets the commands of a transaction one by one, and its replicas may show what is between them.
    let cluster = Cluster::new(2, 0, AOF);
    let keys: Vec<String> = (0..5000).map(|i| format!("{{{}}}{i}", tag_of(i % 100))).collect();
    let mut source = cluster.client(0);
    mtset(&mut source, &keys, 5);
    let mut stream = Stream::of(&cluster.nodes[0]);
    mtset(&mut source, &keys[..10], 6);
    assert!(!stream.take().iter().any(|line| line.starts_with("HDEL")));
    if !cluster.begin_atomic_migration(0, 1, 0, 99) {
        return;
    }
    let mut mtime = 7;
    wait::until("the slots to have moved", || {
        call!(source, "MTSET", keys[0], "v", mtime);
        call!(source, "MTSET", format!("{{{}}}new{mtime}", tag_of(0)), "v", mtime);
        mtime += 1;
        (cluster.owner(1, 0) == 1).then_some(())
    });
    let lines = stream.take();
    // Others may have gone with their slots already.
    let untracks = format!("HDEL {} {}", index_of(&keys[0]), keys[0]);
    let set = format!("SET {} v", keys[0]);
    let before_set =
        |i: usize| lines[i] == untracks && lines[i + 1] == set && lines[i + 2].starts_with("HSET ");
    assert!((0..lines.len() - 2).any(before_set), "no write fell into the migration");
    // Elsewhere and afterwards it is as always.
    let mut target = cluster.client(1);
    let mut stream = Stream::of(&cluster.nodes[1]);
    mtset(&mut target, &keys[..10], 1_000_000);
    assert!(!stream.take().iter().any(|line| line.starts_with("HDEL")));
    wait::until("the migration to be over at the source too", || {
        let other = format!("{{{}}}k", tag_of(200));
        let mut stream = Stream::of(&cluster.nodes[0]);
        call!(source, "MTSET", other, "v", mtime);
        call!(source, "MTSET", other, "v", mtime);
        mtime += 1;
        (!stream.take().iter().any(|line| line.starts_with("HDEL"))).then_some(())
    });
}
