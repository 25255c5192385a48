//! What the nodes of a cluster say to each other, and what a node may believe of the others for a moment.

use crate::nodes::{Cluster, tag_of};
use crate::support::client::{Reply, bulk, call, nil, ok};
use crate::support::server::Server;
use crate::support::wait::DEADLINE;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Who says it.
struct Sender {
    id: String,
    port: u16,
    bus_port: u16,
}

impl Sender {
    fn is(cluster: &Cluster, number: usize) -> Self {
        let node = &cluster.nodes[number];
        Self { id: cluster.id(number), port: node.port(), bus_port: node.bus_port() }
    }
}

/// A message of the cluster bus: `clusterMsg` of the servers' cluster_legacy.h, version 1, which all have in common.
struct Message(Vec<u8>);

impl Message {
    const HEADER: usize = 2256;

    /// A PING in which a node says that it replicates another one, and has no slots.
    fn of_replica(sender: &Sender, master: &str) -> Self {
        // CLUSTER_NODE_SLAVE.
        let mut message = Self::of(sender, 2);
        message.put(2128, master.as_bytes());
        message.end()
    }

    /// A PING in which a node says that it is a master, and has these slots.
    fn of_master(sender: &Sender, slots: impl Iterator<Item = usize>) -> Self {
        // CLUSTER_NODE_MASTER.
        let mut message = Self::of(sender, 1);
        for slot in slots {
            message.0[80 + slot / 8] |= 1 << (slot % 8);
        }
        message.end()
    }

    fn of(sender: &Sender, flags: u16) -> Self {
        let mut message = Self(vec![0; Self::HEADER]);
        message.put(0, b"RCmb");
        message.put(8, &1_u16.to_be_bytes());
        message.put(10, &sender.port.to_be_bytes());
        message.put(40, sender.id.as_bytes());
        message.put(2248, &sender.bus_port.to_be_bytes());
        message.put(2250, &flags.to_be_bytes());
        message
    }

    /// The same from a server that knows of shards (Redis 7.2, Valkey 7.2).
    fn with_shard(mut self, shard: &str) -> Self {
        // One extension, whose length and type come before it: CLUSTERMSG_EXT_TYPE_SHARDID.
        self.put(2214, &1_u16.to_be_bytes());
        // CLUSTERMSG_FLAG0_EXT_DATA.
        self.put(2253, &[4]);
        self.0.extend([0, 0, 0, 48, 0, 3, 0, 0]);
        self.0.extend(shard.as_bytes());
        self.end()
    }

    /// Says it to a node, which believes it before it answers anybody else.
    fn say_to(&self, node: &Server) {
        let mut bus = TcpStream::connect(("127.0.0.1", node.bus_port())).expect("the bus");
        bus.set_read_timeout(Some(DEADLINE)).expect("a socket with a timeout");
        bus.write_all(&self.0).expect("a message that goes out");
        // Its PONG.
        bus.read_exact(&mut [0; Self::HEADER]).expect("an answer");
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn end(mut self) -> Self {
        let length = u32::try_from(self.0.len()).expect("a short message");
        self.put(4, &length.to_be_bytes());
        self
    }
}

/// After a failover a node may hear last what the new master said before: that it replicates the old one, which replicates
/// it by now. With two nodes that replicate each other Redis 8.4 and later look for the master of both for ever, whenever
/// somebody wants to know how many keys there are. The module must not, whatever happens then: the old master loads the
/// dataset of the new one in that very moment.
#[test]
fn two_nodes_that_replicate_each_other_stop_nothing() {
    let cluster = Cluster::new(1, 1, &[]);
    let (master, replica) = (0, 1);
    let old_master = Sender::is(&cluster, master);
    let replica_id = cluster.id(replica);
    assert_eq!(cluster.client(master).run("MTSET key value 5"), ok());
    cluster.wait_for_replicas();
    let mut client = cluster.client(replica);
    client.give_up_after(DEADLINE / 10);
    let shard = client.run("CLUSTER MYSHARDID");

    // It would tell how things are.
    cluster.nodes[master].freeze();
    let mut message = Message::of_replica(&old_master, &replica_id);
    if !shard.is_error() {
        message = message.with_shard(&shard.into_text());
    }
    message.say_to(&cluster.nodes[replica]);
    if !client.run("CLUSTER NODES").into_text().contains(&format!("slave {replica_id}")) {
        eprintln!(
            "this server does not believe it (Valkey): nothing more is shown than that the module goes on"
        );
    }

    assert_eq!(client.run("DEBUG RELOAD"), ok());
    assert!(!call!(client, "DEBUG", "OBJECT", "key").is_error());
    // Nor do the ticks of the module.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(client.run("PING"), Reply::Status("PONG".to_owned()));

    cluster.nodes[master].thaw();
    cluster.wait_until_fine();
    assert_eq!(cluster.client(master).run("MTGET key 4"), bulk("value"));
    cluster.check_filing();
}

/// See [`crate::forgotten_slots`]: such a message, sent before the slot came and read after, is how a server comes to forget
/// it. Shows the fault where the server has it, and that the tests mend it.
#[test]
fn a_slot_that_its_master_did_not_claim_yet() {
    let cluster = Cluster::of_six();
    let (master, replica) = (0, cluster.replica_of(0));
    let slot = *cluster.ranges_of(master)[0].end();
    let key = format!("{{{}}}key", tag_of(slot));
    assert_eq!(call!(cluster.client(master), "MTSET", key, "value", 5), ok());
    cluster.wait_for_replicas();
    Message::of_master(&Sender::is(&cluster, master), 0..slot).say_to(&cluster.nodes[replica]);
    cluster.cut_off(master);
    let was_forgotten = cluster.forgotten.is_one(slot);
    let owner = cluster.owner(replica, slot);
    let expected = if was_forgotten { nil() } else { bulk("value") };
    assert_eq!(call!(cluster.client(owner), "MTGET", key, 4), expected);
    assert_ne!(was_forgotten, cluster.keeps_its_slots());
    assert_eq!(call!(cluster.client(owner), "MTSET", key, "another", 6), ok());
    cluster.check_filing();
}
