//! What an application may do to a server, at random: our commands with every option, foreign writes of every kind,
//! expiry, transactions, scripts, and now and then somebody at the index.

use super::client::{Args, args, words};
use super::dataset::INDEX;
use super::dice::Dice;
use super::server::Server;
use std::sync::OnceLock;

/// Whether a client stays in its database when a module hears of a MOVE. Valkey 8.1 to 9.0 leave it (and replicas, and the
/// loading of the AOF) in the database of the last event: https://github.com/valkey-io/valkey/pull/4024. There
/// commands across databases are left out.
pub(crate) fn clients_stay_in_their_database() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let server = Server::start();
        let mut client = server.client();
        client.pipeline(&[words("SET k v"), words("MOVE k 1")]);
        let stay = client.run("CLIENT INFO").into_text().contains(" db=0 ");
        if !stay {
            eprintln!("NEEDS A NEWER SERVER: MOVE and COPY ... DB with a module that hears of them (Valkey pull 4024)");
        }
        stay
    })
}

/// What a workload may contain besides our commands and foreign writes.
#[derive(Clone, Copy)]
pub(crate) struct Workload {
    /// How many different keys there are. Few make steps meet.
    pub(crate) keys: u64,
    /// Keys that expire within milliseconds.
    pub(crate) short_ttls: bool,
    /// Writes to the index by others, and changes of whole databases.
    pub(crate) meddling: bool,
}

impl Default for Workload {
    fn default() -> Self {
        Self { keys: 60, short_ttls: true, meddling: true }
    }
}

const MTIMES: [&str; 12] = [
    "1e3",
    "007",
    "0.1",
    "-5",
    "2.5e-7",
    "1700000000123",
    "9223372036854775807",
    "9223372036854775808",
    "1e300",
    "-0",
    "1.50",
    "abc",
];
const SEED_WRITE: &str =
    "redis.call('SET', KEYS[1], ARGV[1]) redis.call('HSET', 'MY_KEYSMTIME', KEYS[1], ARGV[2])";
const MIXED: &str = "redis.call('MTSET', KEYS[1], ARGV[1], ARGV[2]) redis.call('SET', KEYS[2], ARGV[1]) \
    redis.call('MTTOUCH', KEYS[2], '*') redis.call('APPEND', KEYS[1], 'x') return redis.call('MTGET', KEYS[1], 0)";
const STARS: &str = "local a = redis.call('MTSET', KEYS[1], ARGV[1], '*') \
    return redis.call('MTSET', KEYS[2], a, '*', 'IFNEWER', 'EX', 5000)";
const DELETES: &str = "redis.call('MTDEL', KEYS[1]) redis.call('MTSET', KEYS[1], ARGV[1], ARGV[2]) \
    redis.call('RENAME', KEYS[1], KEYS[2]) return redis.call('MTTIME', KEYS[2])";

impl Workload {
    /// A few commands that go together: one alone, or a transaction.
    pub(crate) fn unit(self, dice: &mut Dice) -> Vec<Args> {
        if !dice.once_in(12) {
            return vec![self.command(dice)];
        }
        let mut unit = vec![words("MULTI")];
        unit.extend((0..=dice.below(5)).map(|_| self.command(dice)));
        unit.push(words(if dice.once_in(10) { "DISCARD" } else { "EXEC" }));
        unit
    }

    /// At least so many commands.
    pub(crate) fn commands(self, dice: &mut Dice, count: usize) -> Vec<Args> {
        let mut commands = Vec::with_capacity(count);
        while commands.len() < count {
            commands.extend(self.unit(dice));
        }
        commands
    }

    fn command(self, dice: &mut Dice) -> Args {
        match dice.below(if self.meddling { 1000 } else { 985 }) {
            0..350 => self.mtset(dice),
            350..400 => self.mttouch(dice),
            400..450 => self.mtdel(dice),
            450..560 => self.read(dice),
            560..580 => args!["MTCLEAN", 0, "COUNT", dice.below(100) + 1],
            580..640 => self.script(dice),
            640..985 => self.foreign(dice),
            _ => self.meddle(dice),
        }
    }

    fn key(self, dice: &mut Dice) -> Vec<u8> {
        match dice.below(40) {
            0 => b"\0\xff\r\n".to_vec(),
            1 => b"%s {k}".to_vec(),
            2 if self.meddling => INDEX.as_bytes().to_vec(),
            _ => self.plain_key(dice),
        }
    }

    fn plain_key(self, dice: &mut Dice) -> Vec<u8> {
        format!("key:{}", dice.below(self.keys)).into_bytes()
    }

    fn value(dice: &mut Dice) -> Vec<u8> {
        match dice.below(20) {
            0 => Vec::new(),
            1 => {
                let length = dice.index(3000);
                dice.bytes(length)
            }
            2..8 => dice.below(100_000).to_string().into_bytes(),
            // Raw on every server, and all of one length.
            8..14 => format!("{:0150}", dice.below(1_000_000)).into_bytes(),
            _ => vec![b'v'; dice.index(200)],
        }
    }

    fn mtime(dice: &mut Dice) -> Vec<u8> {
        match dice.below(10) {
            0 => dice.pick(&MTIMES).as_bytes().to_vec(),
            1 => format!("{}.{}", dice.below(100), dice.below(100)).into_bytes(),
            _ => dice.below(1000).to_string().into_bytes(),
        }
    }

    fn ttl(self, dice: &mut Dice) -> Args {
        let milliseconds = if self.short_ttls { 1 + dice.below(40) } else { 5_000_000 };
        match dice.below(7) {
            0 => args!["PX", milliseconds],
            1 => args!["EX", 1_000 + dice.below(9_000)],
            2 => args!["EXAT", 4_102_444_800_i64],
            3 => args!["PXAT", 4_102_444_800_123_i64],
            // In the past, or no time at all.
            4 if self.short_ttls => args!["PXAT", dice.below(3)],
            _ => args!["KEEPTTL"],
        }
    }

    fn mtset(self, dice: &mut Dice) -> Args {
        let mtime = if dice.once_in(6) { b"*".to_vec() } else { Self::mtime(dice) };
        let mut command = args!["MTSET", self.key(dice), Self::value(dice), mtime];
        match dice.below(12) {
            0 => command.extend(args!["IFNEWER"]),
            1 => command.extend(args!["IFEQ", Self::mtime(dice)]),
            2 => command.extend(args!["NX"]),
            3 => command.extend(args!["XX"]),
            _ => {}
        }
        if dice.once_in(4) {
            command.extend(self.ttl(dice));
        }
        command
    }

    fn mttouch(self, dice: &mut Dice) -> Args {
        let mut command = args!["MTTOUCH", self.key(dice), Self::mtime(dice)];
        match dice.below(4) {
            0 => command.extend(args!["IFNEWER"]),
            1 => command.extend(args!["IFEQ", Self::mtime(dice)]),
            _ => {}
        }
        command
    }

    fn mtdel(self, dice: &mut Dice) -> Args {
        let mut command = args!["MTDEL", self.key(dice)];
        match dice.below(4) {
            0 => command.extend(args!["IFNEWER", Self::mtime(dice)]),
            1 => command.extend(args!["IFEQ", Self::mtime(dice)]),
            _ => {}
        }
        command
    }

    fn read(self, dice: &mut Dice) -> Args {
        let (key, since) = (self.key(dice), Self::mtime(dice));
        match dice.below(5) {
            0 => args!["MTGET", key, since, "EXACT", "WITHMTIME"],
            1 => args!["MTMGET", key, since, self.key(dice), 500],
            2 => args!["MTTIME", key],
            _ => args!["MTGET", key, since],
        }
    }

    fn script(self, dice: &mut Dice) -> Args {
        let text = dice.pick(&[SEED_WRITE, MIXED, STARS, DELETES]);
        args!["EVAL", text, 2, self.key(dice), self.key(dice), Self::value(dice), Self::mtime(dice)]
    }

    fn foreign(self, dice: &mut Dice) -> Args {
        let (key, other, value) = (self.key(dice), self.key(dice), Self::value(dice));
        let milliseconds = if self.short_ttls { 1 + dice.below(40) } else { 5_000_000 };
        match dice.below(32) {
            0..5 => args!["SET", key, value],
            5 => args!["SET", key, value, "PX", milliseconds],
            6 => args!["MSET", key, value, other, "1"],
            7 => args!["GETSET", key, value],
            8 => args!["APPEND", key, "a"],
            9 => args!["INCR", key],
            10 => args!["INCRBYFLOAT", key, "0.5"],
            11 => args!["SETRANGE", key, 3, "abc"],
            12 => args!["SETBIT", key, dice.below(100), 1],
            13 => args!["BITFIELD", key, "SET", "u8", 0, 7],
            14 => args!["BITOP", "NOT", key, other],
            15 => args!["PFADD", key, "a"],
            16 => args!["DEL", key, other],
            17 => args!["UNLINK", key],
            18 => args!["GETDEL", key],
            19 => args!["RENAME", key, other],
            // Copies of the index itself have a test of their own.
            20 => args!["COPY", self.plain_key(dice), other, "REPLACE"],
            21 if clients_stay_in_their_database() => {
                args!["COPY", self.plain_key(dice), other, "DB", 1, "REPLACE"]
            }
            22 if clients_stay_in_their_database() => args!["MOVE", key, 1],
            23 => args!["PEXPIRE", key, milliseconds],
            24 => args!["PERSIST", key],
            25 => args!["RPUSH", key, "2", "1"],
            26 => args!["SADD", key, "m"],
            27 => args!["SUNIONSTORE", key, other],
            28 => args!["SORT", key, "STORE", other],
            29 => args!["ZADD", key, 1, "m"],
            30 => args!["HSET", key, "f", "v"],
            _ => args!["GETEX", key, "PX", milliseconds],
        }
    }

    fn meddle(self, dice: &mut Dice) -> Args {
        let key = self.key(dice);
        match dice.below(15) {
            0 => args!["DEL", INDEX],
            1 => args!["UNLINK", INDEX],
            2 => args!["RENAME", INDEX, "renamed"],
            3 => args!["RENAME", "renamed", INDEX],
            4 => args!["SET", INDEX, "a string"],
            5 if self.short_ttls => args!["PEXPIRE", INDEX, 1 + dice.below(100)],
            6 => args!["SWAPDB", 0, 1],
            7 => args!["FLUSHDB"],
            8 => args!["HDEL", INDEX, key],
            9 | 10 => args!["SELECT", dice.below(2)],
            11 => args!["HINCRBY", INDEX, key, 1],
            _ => args!["HSET", INDEX, key, Self::mtime(dice)],
        }
    }
}
