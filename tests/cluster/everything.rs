//! Everything at once, in an order that a seed decides: slots that move in both ways, failovers of all kinds, reloads and
//! cleaning, while clients write with and without mtimes, keys expire, and replicas are read.

use crate::cluster_manager::reshard;
use crate::failover::check;
use crate::keepers::{Keepers, Work};
use crate::nodes::Cluster;
use crate::support::client::ok;
use crate::support::dice::{Dice, number_of};
use std::time::{Duration, Instant};

/// Of the test that is part of all tests; `make test-cluster-long` takes five minutes.
const SECONDS: u64 = 25;

/// Between two failovers of the same pair, counted from their beginnings. In less than four node timeouts a replica counts
/// the votes of the last one and takes itself for the master, for ever if it is killed then (Redis 8.0).
const SETTLING: Duration = Duration::from_secs(15);

fn another(masters: &[usize], one: usize, dice: &mut Dice) -> usize {
    let others: Vec<_> = masters.iter().copied().filter(|number| *number != one).collect();
    others[dice.index(others.len())]
}

/// A master that gives its last slot away becomes a replica, and two masters have no majority when one of them is gone.
fn can_give(cluster: &Cluster, master: usize) -> bool {
    cluster.count_slots(master) > 1000
}

#[test]
fn everything_at_once() {
    let mut dice = Dice::new();
    let end = Instant::now() + Duration::from_secs(number_of("REDIS_MTIME_CLUSTER_SECONDS", || SECONDS));
    let mut cluster = Cluster::of_six();
    let work = Work { keepers: 3, keys: 150, slots: 50, waits: true, expires: true };
    let keepers = Keepers::at(&cluster, work, &mut dice);
    keepers.go_on_for(300);
    let mut done = std::collections::BTreeMap::<&str, u32>::new();
    // When each pair of nodes has last changed its master.
    let mut changed = [None::<Instant>; 3];
    // Until the servers say that they cannot.
    let mut moves_atomically = true;
    while Instant::now() < end {
        let masters = cluster.masters();
        let one = masters[dice.index(masters.len())];
        let other = another(&masters, one, &mut dice);
        let pair = &mut changed[one % 3];
        let is_settled = pair.is_none_or(|at| at.elapsed() > SETTLING);
        let what = match dice.below(7) {
            0 | 1 => {
                let (from, to) = if can_give(&cluster, one) { (one, other) } else { (other, one) };
                reshard(&cluster, from, to, 60);
                "resharding"
            }
            2 if moves_atomically => {
                // The slots of the first key of the one who has it.
                let first = 25 * dice.index(20);
                let (from, last) = (cluster.owner(one, first), first + 24);
                let to = another(&masters, from, &mut dice);
                if !cluster.has_all(from, first, last) || !can_give(&cluster, from) {
                    "no atomic migration"
                } else if cluster.migrate_atomically(from, to, first, last) {
                    "atomic migration"
                } else {
                    moves_atomically = false;
                    "no atomic migration"
                }
            }
            3 if is_settled => {
                *pair = Some(Instant::now());
                cluster.hand_over(one);
                "manual failover"
            }
            4 if is_settled => {
                *pair = Some(Instant::now());
                cluster.kill_master(one);
                "kill"
            }
            5 if is_settled => {
                *pair = Some(Instant::now());
                cluster.cut_off(one);
                "partition"
            }
            _ => {
                crate::mtclean::pass(&mut cluster.client(one), 100);
                // Not of a master: it leaves out what has expired, and does not tell its replica.
                let replica = cluster.replica_of(other);
                assert_eq!(cluster.client(replica).run("DEBUG RELOAD"), ok());
                "cleaning and reload"
            }
        };
        *done.entry(what).or_default() += 1;
        cluster.wait_until_fine();
        // A key that has just come to a node may be lost with it: the servers do not wait for replicas there.
        cluster.wait_for_replicas();
        keepers.go_on_for(200);
    }
    let seen = keepers.finish();
    eprintln!("seed {}: {done:?}, {seen:?}", dice.seed());
    assert!(seen.reads > 500 && seen.acknowledged > 500, "{seen:?}");
    check(&cluster, &seen);
}
