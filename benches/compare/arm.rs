//! What an arm is: commands, where they run, and what they must answer. Which arms there are is in `arm_list`.

use crate::dataset::{MTIME, is_modified};
use crate::resp::NULL;
use std::borrow::Cow;

/// redis-benchmark puts a random number of twelve digits in its place.
pub(crate) const NUMBER: &str = "__rand_int__";
/// Longer arguments cannot be given to a program.
const LONGEST_ARGUMENT: usize = 128 << 10;
/// Connections, as many as redis-benchmark opens when nobody asks for another number.
pub(crate) const CONNECTIONS: usize = 50;

/// Which of the servers an arm runs on.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Side {
    /// With the module and hash storage.
    Module,
    /// With the module and keymeta storage, where the server offers that.
    Keymeta,
    /// The same binary and data, no module: what a write cost before the module came.
    Plain,
    /// With the module and hash storage, as a cluster node that has all slots.
    Cluster,
}

impl Side {
    pub(crate) fn server(self) -> &'static str {
        match self {
            Self::Module | Self::Keymeta => "module",
            Self::Plain => "plain",
            Self::Cluster => "cluster",
        }
    }

    pub(crate) fn storage(self) -> &'static str {
        match self {
            Self::Module | Self::Cluster => "hash",
            Self::Keymeta => "keymeta",
            Self::Plain => "none",
        }
    }
}

/// Which keys an arm's requests are for.
#[derive(Clone)]
pub(crate) enum Traffic {
    /// Each time a random one of the first `keys`.
    Random { keys: usize },
    /// Each of the first `keys` once, after `prepare` was sent for each of them.
    InOrder { prepare: Vec<String>, keys: usize },
}

/// Who loads the server.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Generator {
    /// Anybody can run it by hand, but it can only repeat one command, of arguments that a program can be given, and not
    /// meet each key once.
    RedisBenchmark,
    /// Ours, for what redis-benchmark cannot do.
    ClosedLoop,
    /// Where it is installed.
    Memtier,
}

impl Generator {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RedisBenchmark => "redis-benchmark",
            Self::ClosedLoop => "closed loop",
            Self::Memtier => "memtier_benchmark",
        }
    }
}

/// What the replies must be, so that arms that are compared do the same work.
#[derive(Clone, Copy)]
pub(crate) enum Expect {
    /// As GET answers.
    Value,
    Null,
    /// As GET answers, or null for that many per cent of the keys.
    Share {
        not_modified_percent: usize,
    },
    /// The mtime and the value; the client compares, and then has the value or a null as with the others.
    ByClient {
        since: &'static str,
        modified: bool,
    },
    Ok,
    /// The replies of MULTI, SET, HSET over an entry that is there, and EXEC.
    Transaction,
    Integer,
    /// The shape of WITHMTIME, with the value or with null.
    WithMtime {
        modified: bool,
    },
    /// As MGET answers.
    Values,
    /// An array with the shape of WITHMTIME for each key.
    WithMtimes {
        modified: bool,
    },
}

impl Expect {
    /// The bytes that an application has in the end, from the numbers of the keys and the bytes that `GET` of each
    /// answers; None where any integer will do.
    pub(crate) fn answer(self, keys: &[usize], values: &[Vec<u8>]) -> Option<Vec<u8>> {
        let one = || values.first().cloned().unwrap_or_default();
        let one_if = |modified: bool| if modified { one() } else { NULL.to_vec() };
        let with_mtime = |value: &[u8], modified: bool| {
            let head = format!("*2\r\n${}\r\n{MTIME}\r\n", MTIME.len());
            [head.as_bytes(), if modified { value } else { NULL }].concat()
        };
        let head = format!("*{}\r\n", values.len()).into_bytes();
        Some(match self {
            Self::Value => one(),
            Self::Null => NULL.to_vec(),
            Self::Share { not_modified_percent } => {
                one_if(keys.first().is_some_and(|key| is_modified(*key, not_modified_percent)))
            }
            Self::ByClient { modified, .. } => one_if(modified),
            Self::Ok => b"+OK\r\n".to_vec(),
            Self::Transaction => b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:0\r\n".to_vec(),
            Self::Integer => return None,
            Self::WithMtime { modified } => with_mtime(&one(), modified),
            Self::Values => values.iter().fold(head, |reply, value| [reply, value.clone()].concat()),
            Self::WithMtimes { modified } => {
                values.iter().fold(head, |reply, value| [reply, with_mtime(value, modified)].concat())
            }
        })
    }

    /// What an application makes of the replies to the commands of a request.
    pub(crate) fn decide(self, replies: &[Vec<u8>]) -> Vec<u8> {
        let (Self::ByClient { since, .. }, [mtime, value]) = (self, replies) else { return replies.concat() };
        let text = String::from_utf8_lossy(mtime);
        let mtime = text.split("\r\n").nth(1).and_then(|mtime| mtime.parse::<i64>().ok());
        match (mtime, since.parse::<i64>()) {
            (Some(mtime), Ok(since)) if mtime <= since => NULL.to_vec(),
            _ => value.clone(),
        }
    }
}

/// One thing that is measured.
#[derive(Clone)]
pub(crate) struct Arm {
    pub(crate) name: String,
    pub(crate) side: Side,
    /// What makes up a request. Several commands are about the same key.
    pub(crate) commands: Vec<Vec<String>>,
    pub(crate) expect: Expect,
    pub(crate) traffic: Traffic,
    pub(crate) generator: Generator,
    /// Requests in flight on a connection.
    pub(crate) pipeline: usize,
    pub(crate) connections: usize,
    pub(crate) keys_a_request: usize,
    /// How many of a hundred keys that are asked for are not modified.
    pub(crate) not_modified_percent: usize,
    /// The arm (GET, SET) whose CPU time this one's is a multiple of.
    pub(crate) baseline: Option<String>,
    /// The arm (the script) whose throughput this one's is a multiple of.
    pub(crate) rival: Option<&'static str>,
    /// `mtime.invalidate-on-write` while it runs.
    pub(crate) invalidate: &'static str,
    /// Whether each request takes an entry out of the index.
    pub(crate) drops: bool,
    /// Whether it is to be measured with keymeta storage too.
    pub(crate) both_storages: bool,
}

impl Arm {
    pub(crate) fn new(name: &str, expect: Expect, command: &[&str]) -> Self {
        let not_modified_percent = match expect {
            Expect::Null
            | Expect::ByClient { modified: false, .. }
            | Expect::WithMtime { modified: false }
            | Expect::WithMtimes { modified: false } => 100,
            Expect::Share { not_modified_percent } => not_modified_percent,
            _ => 0,
        };
        let generator = if command.iter().any(|argument| argument.len() >= LONGEST_ARGUMENT) {
            Generator::ClosedLoop
        } else {
            Generator::RedisBenchmark
        };
        Self {
            name: name.to_owned(),
            side: Side::Module,
            commands: vec![owned(command)],
            expect,
            traffic: Traffic::Random { keys: 1 },
            generator,
            pipeline: 16,
            connections: CONNECTIONS,
            keys_a_request: 1,
            not_modified_percent,
            baseline: None,
            rival: None,
            invalidate: "yes",
            drops: false,
            both_storages: false,
        }
    }

    /// One more command for the same key.
    pub(crate) fn then(mut self, command: &[&str]) -> Self {
        self.commands.push(owned(command));
        self.generator = Generator::ClosedLoop;
        self
    }

    pub(crate) fn against(mut self, baseline: &str) -> Self {
        self.baseline = Some(baseline.to_owned());
        self
    }

    pub(crate) fn rival(mut self, rival: &'static str) -> Self {
        self.rival = Some(rival);
        self
    }

    pub(crate) fn plain(mut self) -> Self {
        self.side = Side::Plain;
        self
    }

    pub(crate) fn in_cluster(mut self) -> Self {
        self.side = Side::Cluster;
        self
    }

    pub(crate) fn in_both_storages(mut self) -> Self {
        self.both_storages = true;
        self
    }

    pub(crate) fn random(mut self, keys: usize) -> Self {
        self.traffic = Traffic::Random { keys };
        self
    }

    pub(crate) fn in_order(mut self, prepare: &[&str], keys: usize) -> Self {
        self.traffic = Traffic::InOrder { prepare: owned(prepare), keys };
        self.generator = Generator::ClosedLoop;
        self
    }

    pub(crate) fn pipeline(mut self, pipeline: usize) -> Self {
        self.pipeline = pipeline;
        self
    }

    pub(crate) fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Of how many keys its requests ask.
    pub(crate) fn keys(&self) -> usize {
        let (Traffic::Random { keys } | Traffic::InOrder { keys, .. }) = self.traffic;
        keys
    }
}

/// The same arms, and after each that is for both storages its twin with keymeta storage.
pub(crate) fn beside_keymeta(arms: Vec<Arm>) -> Vec<Arm> {
    let twin_of = |name: &str| format!("{name}, keymeta");
    let twins: Vec<String> =
        arms.iter().filter(|arm| arm.both_storages).map(|arm| arm.name.clone()).collect();
    let mut all = Vec::new();
    for arm in arms {
        let twin = arm.both_storages.then(|| Arm {
            name: twin_of(&arm.name),
            side: Side::Keymeta,
            baseline: arm
                .baseline
                .clone()
                .map(|name| if twins.contains(&name) { twin_of(&name) } else { name }),
            ..arm.clone()
        });
        all.push(arm);
        all.extend(twin);
    }
    all
}

fn owned(command: &[&str]) -> Vec<String> {
    command.iter().map(|&argument| argument.to_owned()).collect()
}

/// A command with a number in each place that redis-benchmark would put a random one into. Those places are at the end
/// of an argument, so that large values need not be searched.
pub(crate) fn instantiate<'a>(
    template: &'a [String],
    number: &mut impl FnMut() -> usize,
) -> Vec<Cow<'a, str>> {
    template
        .iter()
        .map(|argument| match argument.strip_suffix(NUMBER) {
            Some(prefix) => Cow::Owned(format!("{prefix}{:012}", number())),
            None => Cow::Borrowed(argument.as_str()),
        })
        .collect()
}
