//! Slots that were left half moved, and how they are mended while clients write: the move is brought to its end, by hand.
//!
//! `redis-cli --cluster fix` is not for that. When both nodes have keys of the slot it first makes one of them the only
//! owner, so that a write of a key that is still on the other creates it anew, and then it finds the key in its way.

use crate::nodes::Cluster;
use crate::support::client::{Reply, call, ok};
use crate::support::wait;

impl Cluster {
    /// Brings the moves that have begun to their ends.
    pub(crate) fn finish_moves(&self) {
        for number in self.masters() {
            for (slot, direction, id) in marks(&self.client(number).run("CLUSTER NODES").into_text()) {
                let other = self.master_now(&id);
                match direction {
                    Direction::Out => self.finish_move(slot, number, other),
                    Direction::In => self.finish_move(slot, other, number),
                }
            }
        }
    }

    fn finish_move(&self, slot: usize, from: usize, to: usize) {
        let ids = [self.id(from), self.id(to)];
        if self.owner(to, slot) != to {
            self.set_slot(to, slot, "IMPORTING", &ids[0]);
            self.set_slot(from, slot, "MIGRATING", &ids[1]);
        }
        loop {
            let keys = call!(self.client(from), "CLUSTER", "GETKEYSINSLOT", slot, 10).into_items();
            let keys: Vec<String> = keys.into_iter().map(Reply::into_text).collect();
            if keys.is_empty() {
                break;
            }
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let moved = wait::until("the nodes to let keys move", || {
                let reply = self.migrate(&keys, from, to);
                let is_down = matches!(&reply, Reply::Error(line) if line.contains("CLUSTERDOWN"));
                (!is_down).then_some(reply)
            });
            // Some may have expired. Above all there is none in the way.
            assert!(moved == ok() || moved == Reply::Status("NOKEY".to_owned()), "{keys:?}: {moved:?}");
        }
        let others = self.masters().into_iter().filter(|number| *number != to && *number != from);
        for number in [to, from].into_iter().chain(others) {
            self.set_slot(number, slot, "NODE", &ids[1]);
        }
    }

    /// Sets the state of a slot on one node. Valkey wants a replica to know, which may have to come back first.
    fn set_slot(&self, number: usize, slot: usize, state: &str, id: &str) {
        let mut client = self.client(number);
        let reply = wait::until("a replica to know of a slot", || {
            let reply = call!(client, "CLUSTER", "SETSLOT", slot, state, id);
            let is_early = matches!(&reply, Reply::Error(line) if line.starts_with("NOREPLICAS"));
            (!is_early).then_some(reply)
        });
        assert_eq!(reply, ok(), "CLUSTER SETSLOT {slot} {state} {id} on node {number}");
    }

    /// The number of the node with that id, or of its master.
    fn master_now(&self, id: &str) -> usize {
        let number = (0..self.nodes.len()).find(|number| self.id(*number) == id).expect("one of our nodes");
        let master = self.client(number).try_info("replication", "master_port");
        let is_it = |number: &usize| Some(self.nodes[*number].port().to_string()) == master;
        (0..self.nodes.len()).find(is_it).unwrap_or(number)
    }
}

#[derive(Debug, PartialEq)]
enum Direction {
    In,
    Out,
}

/// The marks of the node itself in its CLUSTER NODES, with the id of the other node: `[12->-id]` for a slot that leaves,
/// `[12-<-id]` for one that comes.
fn marks(nodes: &str) -> Vec<(usize, Direction, String)> {
    let own = nodes.lines().filter(|line| line.contains("myself"));
    let marks = own.flat_map(|line| line.split(' ')).filter_map(|word| {
        let mark = word.strip_prefix('[')?.strip_suffix(']')?;
        let leaving = mark.split_once("->-").map(|(slot, id)| (slot, Direction::Out, id));
        let (slot, direction, id) =
            leaving.or_else(|| mark.split_once("-<-").map(|(slot, id)| (slot, Direction::In, id)))?;
        Some((slot.parse().expect("a slot"), direction, id.to_owned()))
    });
    marks.collect()
}

#[test]
fn marks_are_those_of_the_node_itself() {
    let nodes = "aa 127.0.0.1:1@2 myself,master - 0 0 1 connected 5-9 [5->-bb] [7-<-cc]\n\
                 bb 127.0.0.1:3@4 master - 0 0 2 connected 10-16 [9->-cc]\n";
    let expected = [(5, Direction::Out, "bb".to_owned()), (7, Direction::In, "cc".to_owned())];
    assert_eq!(marks(nodes), expected);
}
