//! Clusters for the tests, and what a client of a cluster does: go where a key is.

use crate::forgotten_slots::ForgottenSlots;
use crate::support::client::{Args, Client, Reply, args, call, words};
use crate::support::server::Server;
use crate::support::storage::is_keymeta;
use crate::support::wait::{self, DEADLINE};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub(crate) const SLOTS: usize = 16384;
/// For tests in which nodes fail: those that do not answer for so long are taken for dead, so that a failover does not take
/// long. The others leave the servers their fifteen seconds: on a busy machine a node may stand still for two, and then the
/// whole cluster answers CLUSTERDOWN.
pub(crate) const FAILS_QUICKLY: &[&str] = &["cluster-node-timeout 2000"];

/// A node that has all slots.
pub(crate) fn single() -> Server {
    single_with(&[])
}

pub(crate) fn single_with(directives: &[&str]) -> Server {
    let server = node(directives);
    assert!(!server.client().run("CLUSTER ADDSLOTSRANGE 0 16383").is_error());
    wait_until_ok(&server);
    server
}

/// A node without slots.
pub(crate) fn node(directives: &[&str]) -> Server {
    Server::builder()
        .node()
        .with(&[
            "cluster-config-file nodes.conf",
            "cluster-replica-validity-factor 0",
            "cluster-migration-barrier 10",
            "repl-ping-replica-period 1",
        ])
        .with(directives)
        .start()
}

/// Waits until a node says that the cluster is fine.
pub(crate) fn wait_until_ok(server: &Server) {
    let mut client = server.client();
    wait::until("the cluster to be fine", || {
        client.run("CLUSTER INFO").into_text().contains("cluster_state:ok").then_some(())
    });
}

/// Whether slots may be half moved in a cluster that is waited for.
#[derive(Clone, Copy, PartialEq)]
enum OpenSlots {
    Allowed,
    Mended,
}

/// Several nodes that know each other.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Server>,
    pub(crate) forgotten: ForgottenSlots,
}

impl Cluster {
    /// Masters that share the slots evenly, without replicas.
    pub(crate) fn of_masters(masters: usize) -> Self {
        Self::new(masters, 0, &[])
    }

    /// Three masters, and a replica for each of them: nodes 3 to 5, in the order of the masters.
    pub(crate) fn of_six() -> Self {
        Self::new(3, 3, FAILS_QUICKLY)
    }

    pub(crate) fn new(masters: usize, replicas: usize, directives: &[&str]) -> Self {
        let nodes: Vec<Server> = (0..masters + replicas).map(|_| node(directives)).collect();
        let cluster = Self { nodes, forgotten: ForgottenSlots::default() };
        let share = SLOTS.div_ceil(masters);
        for number in 0..masters {
            let mut client = cluster.client(number);
            let last = SLOTS.min((number + 1) * share) - 1;
            assert!(!call!(client, "CLUSTER", "ADDSLOTSRANGE", number * share, last).is_error());
            assert!(!call!(client, "CLUSTER", "SET-CONFIG-EPOCH", number + 1).is_error());
        }
        let mut first = cluster.client(0);
        for node in &cluster.nodes[1..] {
            let meet = call!(first, "CLUSTER", "MEET", "127.0.0.1", node.port(), node.bus_port());
            assert!(!meet.is_error());
        }
        cluster.wait_until_all_know_all();
        for number in 0..replicas {
            let master = cluster.id(number % masters);
            let mut client = cluster.client(masters + number);
            wait::until("the replica to know its master", || {
                (!call!(client, "CLUSTER", "REPLICATE", master).is_error()).then_some(())
            });
        }
        cluster.wait_until_fine();
        cluster
    }

    fn wait_until_all_know_all(&self) {
        for node in &self.nodes {
            let mut client = node.client();
            wait::until("all nodes to know each other", || {
                let nodes = client.run("CLUSTER NODES").into_text();
                let known = nodes.lines().filter(|line| !line.contains("handshake")).count();
                (known == self.nodes.len()).then_some(())
            });
        }
    }

    /// Waits until every node says that the cluster is fine, all of them agree on who has which slot, and every
    /// replica follows its master.
    pub(crate) fn wait_until_fine(&self) {
        self.wait_while(|| self.what_is_not_fine(OpenSlots::Mended));
    }

    /// As [`Self::wait_until_fine`], but a slot may be half moved.
    pub(crate) fn wait_until_up(&self) {
        self.wait_while(|| self.what_is_not_fine(OpenSlots::Allowed));
    }

    fn wait_while(&self, mut reason: impl FnMut() -> Option<String>) {
        // After that it does not get fine by itself.
        const LONG: Duration = Duration::from_secs(5);
        let begin = Instant::now();
        while let Some(reason) = reason() {
            assert!(begin.elapsed() < DEADLINE, "the cluster does not get fine: {reason}");
            if begin.elapsed() > LONG {
                self.mend_forgotten_slots();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn what_is_not_fine(&self, open_slots: OpenSlots) -> Option<String> {
        let mut maps = BTreeSet::new();
        for node in &self.nodes {
            let mut client = node.client();
            let info = client.run("CLUSTER INFO").into_text();
            let nodes = client.run("CLUSTER NODES").into_text();
            let says = |what: &str| Some(format!("{what}, says the one at port {}:\n{nodes}", node.port()));
            if !info.contains("cluster_state:ok") || !info.contains("cluster_slots_ok:16384") {
                return says("it is down");
            }
            if nodes.contains("fail") {
                return says("a node has failed");
            }
            let is_replica = client.info("replication", "role") == "slave";
            // A replica of Valkey may keep the mark of a slot that has moved.
            if !is_replica
                && open_slots == OpenSlots::Mended
                && (nodes.contains("->-") || nodes.contains("-<-"))
            {
                return says("a slot is open");
            }
            if is_replica && client.info("replication", "master_link_status") != "up" {
                return says("a replica has no link");
            }
            maps.insert(format!("{:?}", owners(&nodes)));
        }
        (maps.len() > 1).then(|| format!("who has which slot: {maps:#?}"))
    }

    pub(crate) fn client(&self, number: usize) -> Client {
        self.nodes[number].client()
    }

    pub(crate) fn id(&self, number: usize) -> String {
        self.client(number).run("CLUSTER MYID").into_text()
    }

    /// The numbers of the nodes that are masters now.
    pub(crate) fn masters(&self) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|number| self.client(*number).info("replication", "role") == "master")
            .collect()
    }

    /// The number of the node that has the slot, as node `asked` sees it.
    pub(crate) fn owner(&self, asked: usize, slot: usize) -> usize {
        self.try_owner(asked, slot).expect("somebody has the slot")
    }

    /// As [`Self::owner`]; `None` while nobody has the slot.
    pub(crate) fn try_owner(&self, asked: usize, slot: usize) -> Option<usize> {
        let port = owner_among(&self.owners(asked), slot)?;
        self.nodes.iter().position(|node| node.port() == port)
    }

    /// Checks that every replica has what its master has.
    pub(crate) fn check_replicas(&self) {
        for replica in &self.nodes {
            let mut client = replica.client();
            if client.info("replication", "role") == "master" {
                continue;
            }
            let port: u16 = client.info("replication", "master_port").parse().expect("a port");
            let master = self.nodes.iter().find(|node| node.port() == port).expect("one of our nodes");
            let end = Instant::now() + DEADLINE;
            let digest = |node: &Server| node.client().run("DEBUG DIGEST").into_text();
            while digest(master) != digest(replica) {
                assert!(Instant::now() < end, "{}", differences(master, replica));
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// The number of a replica of the node.
    pub(crate) fn replica_of(&self, master: usize) -> usize {
        let port = self.nodes[master].port().to_string();
        (0..self.nodes.len())
            .find(|number| {
                self.client(*number).try_info("replication", "master_port").as_ref() == Some(&port)
            })
            .expect("a replica")
    }

    /// Waits until a node says of itself that it is a `master`, or a `slave`.
    pub(crate) fn wait_for_role(&self, number: usize, role: &str) {
        wait::until(&format!("node {number} to become a {role}"), || {
            self.has_role(number, role).then_some(())
        });
    }

    /// Whether a node says of itself that it is a `master`, or a `slave`.
    pub(crate) fn has_role(&self, number: usize, role: &str) -> bool {
        let Ok(Reply::Array(reply)) = self.client(number).try_call(&words("ROLE")) else { return false };
        reply.first() == Some(&Reply::Bulk(role.as_bytes().to_vec()))
    }

    /// Waits until the replicas have all that was written until now.
    pub(crate) fn wait_for_replicas(&self) {
        let offset = |client: &mut Client, field: &str| -> i64 {
            client.try_info("replication", field).and_then(|text| text.parse().ok()).unwrap_or(-1)
        };
        for master in self.masters() {
            let sent = offset(&mut self.client(master), "master_repl_offset");
            let mut replica = self.client(self.replica_of(master));
            wait::until("a replica to catch up", || {
                (offset(&mut replica, "slave_repl_offset") >= sent).then_some(())
            });
        }
    }

    /// Who has which slots, as the node sees it: ranges and ports.
    pub(crate) fn owners(&self, number: usize) -> Vec<(RangeInclusive<usize>, u16)> {
        owners(&self.client(number).run("CLUSTER NODES").into_text())
    }

    /// The slots that the node has, as it sees it, in order.
    pub(crate) fn ranges_of(&self, number: usize) -> Vec<RangeInclusive<usize>> {
        let port = self.nodes[number].port();
        self.owners(number).into_iter().filter(|(_, owner)| *owner == port).map(|(range, _)| range).collect()
    }

    /// How many slots the node has, as it sees it.
    pub(crate) fn count_slots(&self, number: usize) -> usize {
        self.ranges_of(number).into_iter().map(Iterator::count).sum()
    }

    /// Whether the node has all slots from one to another, as it sees it.
    pub(crate) fn has_all(&self, number: usize, first: usize, last: usize) -> bool {
        self.ranges_of(number).iter().any(|range| range.contains(&first) && range.contains(&last))
    }

    /// A slot that the node has.
    pub(crate) fn slot_of_node(&self, number: usize) -> usize {
        *self.ranges_of(number).first().expect("a node with slots").start()
    }

    /// Puts a slot into the state in which MIGRATE moves its keys one by one.
    pub(crate) fn open_slot(&self, slot: usize, from: usize, to: usize) {
        let ids = [self.id(from), self.id(to)];
        assert!(!call!(self.client(to), "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0]).is_error());
        assert!(!call!(self.client(from), "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1]).is_error());
    }

    /// Moves keys of an open slot.
    pub(crate) fn migrate(&self, keys: &[&str], from: usize, to: usize) -> Reply {
        let mut command = args!["MIGRATE", "127.0.0.1", self.nodes[to].port(), "", 0, 5000, "KEYS"];
        command.extend(keys.iter().map(|key| key.as_bytes().to_vec()));
        self.client(from).call(&command)
    }

    /// Ends the move of a slot.
    pub(crate) fn close_slot(&self, slot: usize, from: usize, to: usize) {
        let id = self.id(to);
        for node in [to, from] {
            assert!(!call!(self.client(node), "CLUSTER", "SETSLOT", slot, "NODE", id).is_error());
        }
    }

    /// Checks that every node has each key where it belongs, and survives a reload: a key that was filed into another slot
    /// than its own shows in one of the two.
    pub(crate) fn check_filing(&self) {
        for node in &self.nodes {
            check_filing(node);
        }
    }
}

/// Checks that a node has each key where it belongs, and survives a reload: a key that was filed into another slot than
/// its own shows in one of the two.
pub(crate) fn check_filing(node: &Server) {
    let mut client = node.client();
    for key in client.run("KEYS *").into_items() {
        let key = key.into_bytes();
        let slot = slot_of(&key);
        let there = call!(client, "CLUSTER", "GETKEYSINSLOT", slot, 1_000_000).into_items();
        // Keys that have expired meanwhile, or belong to a slot that is not served here, are not there.
        let expected = call!(client, "DEBUG", "OBJECT", key);
        if !expected.is_error() && !there.is_empty() {
            assert!(
                there.contains(&Reply::Bulk(key.clone())),
                "{} is not in slot {slot}",
                key.escape_ascii()
            );
        }
    }
    let commands: Vec<Args> = (0..SLOTS).map(|slot| args!["CLUSTER", "COUNTKEYSINSLOT", slot]).collect();
    wait::until("the slots to add up to the database", || {
        // In between a key may expire, or the last entry of an index go.
        let size = client.run("DBSIZE").into_int();
        let counted: i64 = client.pipeline(&commands).into_iter().map(Reply::into_int).sum();
        (counted == size).then_some(())
    });
    assert_eq!(client.run("DEBUG RELOAD"), Reply::Status("OK".to_owned()), "{}", node.log());
}

/// What two nodes hold different of the keys of either, for people to read.
fn differences(left: &Server, right: &Server) -> String {
    let mut clients = [left.client(), right.client()];
    let mut keys: BTreeSet<Vec<u8>> = BTreeSet::new();
    let all: Vec<Args> = (0..SLOTS).map(|slot| args!["CLUSTER", "GETKEYSINSLOT", slot, 10_000]).collect();
    for client in &mut clients {
        // Unlike KEYS, this hides none: neither what has expired nor what belongs to others.
        let found = client.pipeline(&all).into_iter().flat_map(Reply::into_items);
        keys.extend(found.map(Reply::into_bytes));
    }
    let mut lines = vec![format!("{} keys, of them differ:", keys.len())];
    for key in keys {
        let found = clients.each_mut().map(|client| {
            let mut of_key = |command: &str, option: &str| call!(client, command, option, key);
            (of_key("DEBUG", "DIGEST-VALUE"), of_key("DEBUG", "OBJECT"))
        });
        if found[0].0 != found[1].0 {
            lines.push(format!("{} of slot {}: {found:?}", key.escape_ascii(), slot_of(&key)));
        }
    }
    lines.join("\n")
}

/// The port of the node that has the slot.
pub(crate) fn owner_among(owners: &[(RangeInclusive<usize>, u16)], slot: usize) -> Option<u16> {
    owners.iter().find_map(|(range, port)| range.contains(&slot).then_some(*port))
}

/// Who has which slots, from CLUSTER NODES: ranges and ports.
fn owners(nodes: &str) -> Vec<(RangeInclusive<usize>, u16)> {
    let mut all = Vec::new();
    for line in nodes.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let port = fields[1].split(['@', ',']).next().and_then(|address| address.rsplit(':').next());
        let port = port.and_then(|port| port.parse().ok()).unwrap_or(0);
        for range in fields.iter().skip(8).filter(|range| !range.starts_with('[')) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            all.push((first.parse().expect("a slot")..=last.parse().expect("a slot"), port));
        }
    }
    all.sort_by_key(|(range, _)| *range.start());
    all
}

/// The slot of a key, by an implementation that knows nothing of the module's. [`crate::layout`] checks it against the
/// server's.
pub(crate) fn slot_of(key: &[u8]) -> usize {
    let hashed = key
        .iter()
        .position(|byte| *byte == b'{')
        .and_then(|start| {
            let end = key[start + 1..].iter().position(|byte| *byte == b'}')?;
            (end > 0).then(|| &key[start + 1..start + 1 + end])
        })
        .unwrap_or(key);
    let mut crc: u32 = 0;
    for byte in hashed {
        crc ^= u32::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 } & 0xffff;
        }
    }
    usize::try_from(crc).expect("16 bits") % SLOTS
}

/// The tag of a slot as the contract has it: the shortest, then lexically first over `0-9a-z`.
pub(crate) fn tag_of(slot: usize) -> &'static str {
    static TAGS: OnceLock<Vec<String>> = OnceLock::new();
    &TAGS.get_or_init(|| {
        let mut tags = vec![String::new(); SLOTS];
        let mut missing = SLOTS;
        let mut words = vec![String::new()];
        while missing > 0 {
            words = words
                .iter()
                .flat_map(|word| ('0'..='9').chain('a'..='z').map(move |letter| format!("{word}{letter}")))
                .collect();
            for word in &words {
                let tag = &mut tags[slot_of(word.as_bytes())];
                if tag.is_empty() {
                    tag.clone_from(word);
                    missing -= 1;
                }
            }
        }
        tags
    })[slot]
}

/// The name of the index of a slot.
pub(crate) fn index_of_slot(slot: usize) -> String {
    format!("MY_KEYSMTIME{{{}}}", tag_of(slot))
}

/// The name of the index that a key's mtime is in.
pub(crate) fn index_of(key: &str) -> String {
    index_of_slot(slot_of(key.as_bytes()))
}

/// The entry of a key, or with keymeta storage its mtime, asked of a node that has its slot.
pub(crate) fn entry(client: &mut Client, key: &str) -> Reply {
    if is_keymeta() {
        return call!(client, "MTTIME", key);
    }
    call!(client, "HGET", index_of(key), key)
}

/// Commands, for pipelines.
pub(crate) fn all(lines: &[&str]) -> Vec<Args> {
    lines.iter().map(|line| words(line)).collect()
}
