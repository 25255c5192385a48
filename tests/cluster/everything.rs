//! Everything at once, in an order that a seed decides: slots that move in both ways, failovers of all kinds, reloads and
//! cleaning, while clients write with and without mtimes, keys expire, and replicas are read.

use crate::failover::check;
use crate::keepers::{Keepers, Work};
use crate::nodes::Cluster;
use crate::resharding::reshard;
use crate::support::client::ok;
use crate::support::dice::{Dice, number_of};
use std::time::{Duration, Instant};

/// Of the test that is part of all tests; `make test-cluster-long` takes five minutes.
const SECONDS: u64 = 25;

#[test]
fn everything_at_once() {
    let mut dice = Dice::new();
    let end = Instant::now() + Duration::from_secs(number_of("REDIS_MTIME_CLUSTER_SECONDS", || SECONDS));
    let mut cluster = Cluster::of_six();
    let work = Work { keepers: 3, keys: 150, slots: 50, waits: true, expires: true };
    let keepers = Keepers::at(&cluster, work, &mut dice);
    keepers.go_on_for(300);
    let mut done = std::collections::BTreeMap::<&str, u32>::new();
    while Instant::now() < end {
        let masters = cluster.masters();
        let one = masters[dice.index(masters.len())];
        let other = *masters.iter().find(|number| **number != one).expect("another master");
        let what = match dice.below(7) {
            0 | 1 => {
                reshard(&cluster, one, other, 60);
                "resharding"
            }
            2 => {
                // The slots of the first key of the one who has it.
                let first = 25 * dice.index(20);
                let (from, last) = (cluster.owner(one, first), first + 24);
                let to = *masters.iter().find(|number| **number != from).expect("another master");
                if cluster.owner(one, last) == from {
                    cluster.migrate_atomically(from, to, first, last);
                }
                "atomic migration"
            }
            3 => {
                cluster.hand_over(one);
                "manual failover"
            }
            4 => {
                cluster.kill_master(one);
                "kill"
            }
            5 => {
                cluster.cut_off(one);
                "partition"
            }
            _ => {
                crate::mtclean::pass(&mut cluster.client(one), 100);
                assert_eq!(cluster.client(other).run("DEBUG RELOAD"), ok());
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
