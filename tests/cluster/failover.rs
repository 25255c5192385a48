//! A master that dies, hands over, or comes back from a partition: the cluster heals, no write that a replica has is lost,
//! and value and mtime stay together on every node at every moment.

use crate::keepers::{Keepers, Seen, Work, orphans_after_cleaning};
use crate::nodes::{Cluster, FAILS_QUICKLY};
use crate::support::client::{call, error, ok};
use crate::support::dice::Dice;
use crate::support::wait;
use std::time::{Duration, Instant};

const WORK: Work = Work { keepers: 3, keys: 90, slots: 30, waits: true, expires: true };

impl Cluster {
    /// Kills a master, waits for its replica to take over, and starts it again.
    pub(crate) fn kill_master(&mut self, master: usize) {
        let (replica, slot) = (self.replica_of(master), self.slot_of_node(master));
        self.nodes[master].kill();
        self.wait_for_take_over(master, replica, slot);
        self.nodes[master].start_again();
        self.wait_for_role(master, "slave");
        self.wait_until_fine();
    }

    /// Waits until all others agree that the replica has taken over. What it says of itself is not enough: right after
    /// another failover it may count old votes, and has to give way again.
    fn wait_for_take_over(&self, master: usize, replica: usize, slot: usize) {
        wait::until("the replica to take over", || {
            let agreed = (0..self.nodes.len())
                .filter(|number| *number != master)
                .all(|asked| self.try_owner(asked, slot) == Some(replica));
            agreed.then_some(())
        });
    }

    /// Lets a replica take over from its master, in agreement with it.
    pub(crate) fn hand_over(&self, master: usize) {
        let replica = self.replica_of(master);
        // Right after another one it may come to nothing, or be taken back: the servers give it five seconds.
        let mut asked: Option<Instant> = None;
        wait::until("the replica to take over", || {
            if self.has_role(replica, "master") && self.has_role(master, "slave") {
                return Some(());
            }
            if asked.is_none_or(|asked| asked.elapsed() > Duration::from_secs(6)) {
                let reply = self.client(replica).run("CLUSTER FAILOVER");
                assert!(reply == ok() || self.has_role(replica, "master"), "{reply:?}");
                asked = Some(Instant::now());
            }
            std::thread::sleep(Duration::from_millis(20));
            None
        });
        self.wait_until_fine();
    }

    /// Cuts a master off until its replica has taken over. When it comes back it still takes itself for the master, and
    /// executes what clients have sent it meanwhile.
    pub(crate) fn cut_off(&self, master: usize) {
        let (replica, slot) = (self.replica_of(master), self.slot_of_node(master));
        self.nodes[master].freeze();
        self.wait_for_take_over(master, replica, slot);
        self.nodes[master].thaw();
        self.wait_for_role(master, "slave");
        self.wait_until_fine();
    }
}

/// What must hold after anything, once it is quiet.
#[track_caller]
pub(crate) fn check(cluster: &Cluster, seen: &Seen) {
    seen.assert_no_faults();
    assert_eq!(orphans_after_cleaning(cluster), Vec::<String>::new());
    cluster.wait_for_replicas();
    cluster.check_replicas();
    cluster.check_filing();
}

#[test]
fn a_killed_master_under_load() {
    let mut dice = Dice::new();
    let mut cluster = Cluster::of_six();
    let keepers = Keepers::at(&cluster, WORK, &mut dice);
    keepers.go_on_for(500);
    cluster.kill_master(0);
    keepers.go_on_for(500);
    let seen = keepers.finish();
    assert!(seen.acknowledged > 100 && seen.detours.down > 0 && seen.replica_reads > 10, "{seen:?}");
    check(&cluster, &seen);
}

#[test]
fn a_manual_failover_under_load() {
    let mut dice = Dice::new();
    let cluster = Cluster::of_six();
    let keepers = Keepers::at(&cluster, WORK, &mut dice);
    keepers.go_on_for(500);
    cluster.hand_over(0);
    cluster.hand_over(2);
    keepers.go_on_for(500);
    let seen = keepers.finish();
    assert!(seen.acknowledged > 100 && seen.detours.moved > 0, "{seen:?}");
    check(&cluster, &seen);
}

#[test]
fn a_master_that_was_cut_off_comes_back() {
    let mut dice = Dice::new();
    let cluster = Cluster::of_six();
    let keepers = Keepers::at(&cluster, WORK, &mut dice);
    keepers.go_on_for(500);
    cluster.cut_off(0);
    keepers.go_on_for(500);
    let seen = keepers.finish();
    assert!(seen.acknowledged > 100 && seen.detours.down > 0, "{seen:?}");
    check(&cluster, &seen);
}

#[test]
fn without_a_majority_writes_are_refused_as_core_commands_are() {
    let mut cluster = Cluster::new(3, 0, FAILS_QUICKLY);
    assert_eq!(cluster.client(2).run("MTSET foo v 5"), ok());
    cluster.nodes[0].kill();
    cluster.nodes[1].kill();
    let mut client = cluster.client(2);
    wait::until("the cluster to be down", || call!(client, "SET", "{foo}x", "w").is_error().then_some(()));
    for line in ["MTSET foo w 6", "MTGET foo 0", "MTTOUCH foo 6", "MTDEL foo"] {
        assert_eq!(client.run(line), error("CLUSTERDOWN The cluster is down"), "{line}");
    }
    cluster.nodes[0].start_again();
    cluster.nodes[1].start_again();
    cluster.wait_until_fine();
    assert_eq!(client.run("MTTIME foo").into_text(), "5");
}
