//! Clients at work while something happens to the cluster. Each has keys of its own, so that it knows what they may hold,
//! and counts what must not be: stale answers, a value with the mtime of another one, lost writes.

use crate::forgotten_slots::ForgottenSlots;
use crate::nodes::{Cluster, slot_of, tag_of};
use crate::router::{Detours, Failure, Router};
use crate::support::client::{Args, Client, Reply, args, call, words};
use crate::support::dice::Dice;
use crate::support::wait;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a conditional read says, and what the value is in the same moment.
const READ: &str = "return {redis.call('MTGET', KEYS[1], ARGV[1], 'WITHMTIME'), redis.call('GET', KEYS[1])}";

/// How clients work.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    /// How many clients.
    pub(crate) keepers: usize,
    /// Keys of each.
    pub(crate) keys: usize,
    /// In so many slots, half of them among the first of all, half among the first of the third master of three: those
    /// that the cluster manager moves first. Each has several keys.
    pub(crate) slots: usize,
    /// Whether each write waits for a replica, and is lost only if none has it.
    pub(crate) waits: bool,
    /// Whether some keys expire.
    pub(crate) expires: bool,
}

/// What was seen. Everything in `faults` must not be.
#[derive(Default, Debug)]
pub(crate) struct Seen {
    pub(crate) faults: Vec<String>,
    pub(crate) reads: u64,
    pub(crate) replica_reads: u64,
    pub(crate) not_modified: u64,
    pub(crate) untracked: u64,
    pub(crate) writes: u64,
    pub(crate) acknowledged: u64,
    pub(crate) detours: Detours,
}

impl Seen {
    /// Fails if anything was wrong, and shows the first of it.
    #[track_caller]
    pub(crate) fn assert_no_faults(&self) {
        let some = &self.faults[..self.faults.len().min(10)];
        assert!(self.faults.is_empty(), "{} faults: {some:#?}", self.faults.len());
    }
}

/// Clients at work.
pub(crate) struct Keepers {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Keeper>>,
}

struct Keeper {
    router: Router,
    replicas: Vec<Client>,
    dice: Dice,
    keys: Vec<Key>,
    work: Work,
    done: Arc<AtomicU64>,
    forgotten: ForgottenSlots,
    seen: Seen,
}

struct Key {
    name: String,
    /// The mtimes given so far.
    last_mtime: u64,
    /// What the value may be now: more than one as long as it is not known whether a write was done, or could be lost.
    possible: Vec<Option<String>>,
    /// When it was last written.
    written: Instant,
    /// The copy of a reader: mtime and value.
    held: Option<(String, String)>,
}

/// The value that is written with an mtime, told from all others.
fn value_with(name: &str, mtime: &str) -> String {
    // Some are short enough to be embedded, some are not.
    let padding = if mtime.ends_with(['0', '1', '2']) { "x".repeat(200) } else { String::new() };
    format!("{name}={mtime}{padding}")
}

impl Keepers {
    /// Begins to work.
    pub(crate) fn at(cluster: &Cluster, work: Work, dice: &mut Dice) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let threads = (0..work.keepers)
            .map(|number| {
                let stop = Arc::clone(&stop);
                let mut keeper = Keeper {
                    router: cluster.router(),
                    replicas: Vec::new(),
                    dice: Dice::seeded(dice.next()),
                    keys: (0..work.keys).map(|key| Key::new(work, number, key)).collect(),
                    work,
                    done: Arc::clone(&done),
                    forgotten: cluster.forgotten.clone(),
                    seen: Seen::default(),
                };
                for node in &cluster.nodes {
                    let mut client = node.client();
                    if client.info("replication", "role") == "slave" && !client.run("READONLY").is_error() {
                        keeper.replicas.push(client);
                    }
                }
                std::thread::spawn(move || {
                    while !stop.load(Relaxed) {
                        keeper.step();
                    }
                    keeper
                })
            })
            .collect();
        Self { stop, done, threads }
    }

    /// Waits until so many more steps were done, or tried.
    pub(crate) fn go_on_for(&self, steps: u64) {
        let target = self.done.load(Relaxed) + steps;
        wait::until("the clients to go on", || (self.done.load(Relaxed) >= target).then_some(()));
    }

    /// Ends the work, and looks whether all keys hold what they should.
    pub(crate) fn finish(self) -> Seen {
        self.stop.store(true, Relaxed);
        let mut all = Seen::default();
        for thread in self.threads {
            let mut keeper = thread.join().expect("a client that goes on");
            keeper.check_all();
            let seen = keeper.seen;
            all.faults.extend(seen.faults);
            all.reads += seen.reads;
            all.replica_reads += seen.replica_reads;
            all.not_modified += seen.not_modified;
            all.untracked += seen.untracked;
            all.writes += seen.writes;
            all.acknowledged += seen.acknowledged;
            all.detours += keeper.router.detours;
        }
        all
    }
}

/// The slots that clients work in.
pub(crate) fn slots(work: Work) -> impl Iterator<Item = usize> {
    const APART: usize = 25;
    // The first slot of the third master of three.
    let last_third = 2 * crate::nodes::SLOTS.div_ceil(3);
    (0..work.slots).map(move |number| {
        let position = number / 2 * APART;
        if number % 2 == 0 { position } else { last_third + position }
    })
}

impl Key {
    fn new(work: Work, keeper: usize, number: usize) -> Self {
        let slot = slots(work).nth(number % work.slots).expect("a slot");
        let name = format!("{{{}}}{keeper}:{number}", tag_of(slot));
        assert_eq!(slot_of(name.as_bytes()), slot);
        Self { name, last_mtime: 0, possible: vec![None], written: Instant::now(), held: None }
    }
}

impl Keeper {
    fn step(&mut self) {
        self.done.fetch_add(1, Relaxed);
        let number = self.dice.index(self.keys.len());
        match self.dice.below(100) {
            0..25 => self.mtset(number, &[]),
            25..30 => self.mtset(number, &["IFNEWER"]),
            30..34 if self.work.expires => self.mtset(number, &["PX", "20"]),
            34..46 => {
                let value = format!("{}=plain{}", self.keys[number].name, self.dice.next());
                let command = args!["SET", self.keys[number].name, value];
                self.write(number, &command, Some(value));
            }
            46..50 => self.delete(number, "DEL"),
            50..52 => self.delete(number, "MTDEL"),
            52..60 if !self.replicas.is_empty() => self.read_replica(number),
            _ => self.read(number),
        }
    }

    fn mtset(&mut self, number: usize, options: &[&str]) {
        let key = &mut self.keys[number];
        key.last_mtime += 1;
        let value = value_with(&key.name, &key.last_mtime.to_string());
        let mut command = args!["MTSET", key.name, value, key.last_mtime];
        command.extend(options.iter().map(|option| option.as_bytes().to_vec()));
        self.write(number, &command, Some(value));
        if options.contains(&"PX") {
            self.keys[number].possible.push(None);
        }
    }

    fn delete(&mut self, number: usize, command: &str) {
        let command = args![command, self.keys[number].name];
        self.write(number, &command, None);
    }

    /// Writes until it is known that it is written.
    fn write(&mut self, number: usize, command: &Args, value: Option<String>) {
        let key = &mut self.keys[number];
        for _ in 0..10_000 {
            match self.router.attempt(&key.name, command, self.work.waits) {
                Ok((reply, acknowledged)) => {
                    if reply.is_error() {
                        self.seen
                            .faults
                            .push(format!("{}: {reply:?}", crate::support::client::show(command)));
                    }
                    self.seen.writes += 1;
                    self.seen.acknowledged += u64::from(acknowledged);
                    if acknowledged || !self.work.waits {
                        key.possible.clear();
                    }
                    key.possible.push(value);
                    key.written = Instant::now();
                    return;
                }
                Err(Failure::NotDone(_)) => {
                    self.done.fetch_add(1, Relaxed);
                }
                Err(Failure::Unknown(_)) => key.possible.push(value.clone()),
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        panic!("no reply to {} for half a minute", crate::support::client::show(command));
    }

    fn read(&mut self, number: usize) {
        let since = self.keys[number].since();
        let name = self.keys[number].name.clone();
        let command = args!["EVAL", READ, 1, name, since];
        let Ok((reply, _)) = self.router.attempt(&name, &command, false) else {
            std::thread::sleep(Duration::from_millis(1));
            return;
        };
        // Scripts answer a key of a slot in motion in their own words.
        if reply.is_error() {
            return;
        }
        self.seen.reads += 1;
        self.judge(number, &since, reply, "a master");
    }

    fn read_replica(&mut self, number: usize) {
        let since = self.keys[number].since();
        let command = args!["EVAL_RO", READ, 1, self.keys[number].name, since];
        let replica = self.dice.index(self.replicas.len());
        match self.replicas[replica].try_call(&command) {
            // Of another slot, or loading.
            Ok(Reply::Error(_)) => {}
            Ok(reply) => {
                self.seen.replica_reads += 1;
                self.judge(number, &since, reply, "a replica");
            }
            Err(_) => {
                // It is gone; there may be others.
                self.replicas.swap_remove(replica);
            }
        }
    }

    /// Judges what a conditional read says by the value of the same moment on the same node.
    fn judge(&mut self, number: usize, since: &str, reply: Reply, place: &str) {
        let key = &mut self.keys[number];
        let [said, value] = &reply.clone().into_items()[..] else { panic!("{reply:?}") };
        let value = match value {
            Reply::Nil => None,
            value => Some(value.clone().into_text()),
        };
        let mut fault = |what: &str| {
            let line = format!(
                "{what} at {place}: MTGET {} {since} says {said:?}, the value is {value:?}",
                key.name
            );
            self.seen.faults.push(line);
        };
        let (mtime, sent) = match said {
            Reply::Nil => {
                if value.is_some() {
                    fault("missing but there");
                }
                return;
            }
            said => {
                let parts = said.clone().into_items();
                (parts[0].clone(), parts[1].clone())
            }
        };
        let Some(value) = &value else { return fault("there but missing") };
        let is_sent = sent != Reply::Nil;
        if is_sent && sent.into_text() != *value {
            fault("another value");
        }
        if mtime == Reply::Nil {
            self.seen.untracked += 1;
            return;
        }
        let mtime = mtime.into_text();
        if *value != value_with(&key.name, &mtime) {
            fault("value and mtime do not belong together");
        }
        if is_sent {
            key.held = Some((mtime, value.clone()));
        } else {
            self.seen.not_modified += 1;
            match &key.held {
                // Since the replica may be behind, what is held may be newer than what it has; never older.
                Some((held, copy)) if *held == mtime && copy != value => fault("stale"),
                Some((held, _)) if held.parse::<u64>().ok() < mtime.parse::<u64>().ok() => fault("stale"),
                _ => {}
            }
        }
    }

    /// Whether all keys hold what they should, once everything is quiet.
    fn check_all(&mut self) {
        for number in 0..self.keys.len() {
            self.read(number);
            let name = self.keys[number].name.clone();
            let reply = self.router.call(&name, &words(&format!("GET {name}")));
            let value = match reply {
                Reply::Nil => None,
                reply => Some(reply.into_text()),
            };
            let key = &self.keys[number];
            let may_be_lost = value.is_none() && self.forgotten.since(slot_of(name.as_bytes()), key.written);
            if !key.possible.contains(&value) && !may_be_lost {
                self.seen.faults.push(format!("{name} is lost: {value:?}, expected {:?}", key.possible));
            }
        }
    }
}

impl Key {
    /// What a reader with this copy sends.
    fn since(&self) -> String {
        self.held.as_ref().map_or_else(|| "0".to_owned(), |(mtime, _)| mtime.clone())
    }
}

/// Entries without a key on all masters, after a pass of MTCLEAN on each.
pub(crate) fn orphans_after_cleaning(cluster: &Cluster) -> Vec<String> {
    let mut orphans = Vec::new();
    for number in cluster.masters() {
        let mut client = cluster.client(number);
        crate::mtclean::pass(&mut client, 1000);
        for key in client.run("KEYS MY_KEYSMTIME{*}").into_items() {
            let index = key.into_text();
            for field in call!(client, "HKEYS", index).into_items() {
                let field = field.into_text();
                // Looking makes a key expire, and its entry go with it.
                if call!(client, "EXISTS", field) == Reply::Int(0)
                    && call!(client, "HEXISTS", index, field) == Reply::Int(1)
                {
                    orphans.push(format!("{index} {field}"));
                }
            }
        }
    }
    orphans
}
