//! What a client of a cluster does: go where a key is, follow MOVED and ASK, come again after TRYAGAIN.

use crate::nodes::{Cluster, slot_of};
use crate::support::client::{Client, Protocol, Reply, args, show, words};
use crate::support::wait::DEADLINE;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

impl Cluster {
    /// A client that finds its way.
    pub(crate) fn router(&self) -> Router {
        Router {
            sockets: self.nodes.iter().map(|node| (node.port(), node.socket())).collect(),
            clients: HashMap::new(),
            owners: HashMap::new(),
            detours: Detours::default(),
        }
    }
}

/// How long a node may take: longer than the WAIT of a write, shorter than a failover.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How often a client was sent elsewhere or asked to come again.
#[derive(Default, Debug, Clone, Copy)]
pub(crate) struct Detours {
    pub(crate) moved: u64,
    pub(crate) ask: u64,
    pub(crate) try_again: u64,
    pub(crate) down: u64,
}

impl std::ops::AddAssign for Detours {
    fn add_assign(&mut self, other: Self) {
        self.moved += other.moved;
        self.ask += other.ask;
        self.try_again += other.try_again;
        self.down += other.down;
    }
}

/// Why a command has no reply now.
pub(crate) enum Failure {
    /// It was not executed.
    NotDone(String),
    /// It may have been executed, or not.
    Unknown(String),
}

/// A client of a cluster.
pub(crate) struct Router {
    sockets: BTreeMap<u16, PathBuf>,
    clients: HashMap<u16, Client>,
    owners: HashMap<usize, u16>,
    pub(crate) detours: Detours,
}

impl Router {
    /// Sends a command about a key until there is a reply.
    #[track_caller]
    pub(crate) fn call(&mut self, key: &str, command: &[Vec<u8>]) -> Reply {
        let end = Instant::now() + DEADLINE;
        let mut last = String::new();
        while Instant::now() < end {
            match self.attempt(key, command, false) {
                Ok((reply, _)) => return reply,
                Err(Failure::NotDone(reason) | Failure::Unknown(reason)) => last = reason,
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("no reply to {}: {last}", show(command));
    }

    /// Sends a command about a key once, following redirections. Then also whether a replica has it, if that `waits`.
    pub(crate) fn attempt(
        &mut self,
        key: &str,
        command: &[Vec<u8>],
        waits: bool,
    ) -> Result<(Reply, bool), Failure> {
        let slot = slot_of(key.as_bytes());
        let first = *self.sockets.keys().next().expect("a node");
        let mut port = *self.owners.entry(slot).or_insert(first);
        let mut asking = false;
        for _ in 0..10 {
            let (reply, replicas) = match self.send(port, command, asking, waits) {
                Ok(answer) => answer,
                Err(failure) => {
                    // The node is gone: anybody else knows where to go.
                    self.clients.remove(&port);
                    let others: Vec<u16> =
                        self.sockets.keys().copied().filter(|other| *other != port).collect();
                    let pick = others.get(usize::from(port) % others.len().max(1)).copied();
                    self.owners.insert(slot, pick.unwrap_or(first));
                    self.detours.down += 1;
                    return Err(failure);
                }
            };
            let Reply::Error(line) = &reply else {
                return Ok((reply, matches!(replicas, Reply::Int(number) if number > 0)));
            };
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["MOVED", _, address] => {
                    port = port_of(address);
                    self.owners.insert(slot, port);
                    asking = false;
                    self.detours.moved += 1;
                }
                ["ASK", _, address] => {
                    port = port_of(address);
                    asking = true;
                    self.detours.ask += 1;
                }
                ["TRYAGAIN", ..] => {
                    self.detours.try_again += 1;
                    return Err(Failure::NotDone(line.clone()));
                }
                ["CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "READONLY", ..] => {
                    self.detours.down += 1;
                    self.owners.remove(&slot);
                    return Err(Failure::NotDone(line.clone()));
                }
                ["UNBLOCKED", ..] => return Err(Failure::Unknown(line.clone())),
                _ => return Ok((reply, false)),
            }
        }
        Err(Failure::NotDone("sent around in circles".to_owned()))
    }

    fn send(
        &mut self,
        port: u16,
        command: &[Vec<u8>],
        asking: bool,
        waits: bool,
    ) -> Result<(Reply, Reply), Failure> {
        let client = self.client_of(port).map_err(Failure::NotDone)?;
        let mut commands = Vec::new();
        commands.extend(asking.then(|| words("ASKING")));
        commands.push(command.to_vec());
        commands.extend(waits.then(|| args!["WAIT", 1, 300]));
        let mut replies = client.try_pipeline(&commands).map_err(Failure::Unknown)?;
        let replicas = if waits { replies.pop().unwrap_or(Reply::Nil) } else { Reply::Nil };
        replies.pop().map(|reply| (reply, replicas)).ok_or_else(|| Failure::Unknown("no reply".to_owned()))
    }

    fn client_of(&mut self, port: u16) -> Result<&mut Client, String> {
        let socket = self.sockets.get(&port).ok_or_else(|| format!("no node has port {port}"))?;
        match self.clients.entry(port) {
            std::collections::hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::hash_map::Entry::Vacant(place) => {
                let mut client = Client::connect(socket, Protocol::Resp2)?;
                client.give_up_after(PATIENCE);
                Ok(place.insert(client))
            }
        }
    }
}

fn port_of(address: &str) -> u16 {
    address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("an address")
}
