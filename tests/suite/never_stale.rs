//! Never stale: random mixes of commands of the module and foreign ones, with keys that expire and are evicted, over few
//! keys, so that they meet. A model knows the true history: with which mtime the value that is there was written, or
//! that it was written without one. No answer may say "not modified" of a value that was not written with an mtime <= since.

use crate::support::client::{
    Args, BOTH_PROTOCOLS, Client, Reply, args, array, bulk, call, modified, nil, not_modified, ok, show,
    untracked, words,
};
use crate::support::dataset::{INDEX, digest, orphans};
use crate::support::errors::WRONG_TYPE;
use crate::support::random;
use crate::support::server::Server;
use crate::support::storage::{has_no_index, is_keymeta, wait_until_known};
use crate::support::wait;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};

const KEYS: [&str; 6] = ["a", "b", "key:3", "{tag}4", "5", ""];
/// Mtimes and sinces are below this, so that they meet too.
const TIMES: u8 = 8;
/// Steps sent in one write.
const CHUNK: usize = 200;

/// A question and the value that is there at the same moment.
#[derive(Clone, Copy, Debug)]
enum Question {
    Get,
    GetWithMtime,
    GetExact,
    MultiGet,
    Time,
}

/// What a command did to the mtime of the values it touched, told by its reply.
#[derive(Clone, Debug)]
enum Effect {
    Nothing,
    /// `OK` or a number but 0: the value of the key was written with this mtime, or has it now.
    Tracks(usize, i64),
    /// Any reply but an error, nil and 0: these values are others now, or gone.
    Changes(Vec<usize>),
    /// As `Changes`, whatever the reply is, but for errors.
    Clobbers(Vec<usize>),
    /// The key of the other database is another one now.
    Copies(usize),
    /// From this database to the other.
    Moves(usize),
    /// Every value of the selected database is gone, or all entries are.
    Clears,
    ClearsAll,
    Swaps,
}

/// What `Op::kind` may be. Repeated names come up more often.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    MtSet,
    MtSetNewer,
    MtSetNx,
    MtSetXx,
    MtSetShort,
    MtSetKeepTtl,
    MtTouch,
    MtTouchNewer,
    MtDel,
    MtDelNewer,
    Set,
    SetShort,
    SetKeepTtl,
    SetNx,
    SetXx,
    SetPast,
    SetEx,
    GetSet,
    GetDel,
    GetEx,
    GetExPast,
    Append,
    Incr,
    IncrByFloat,
    SetRange,
    BitField,
    BitOp,
    MSet,
    MSetNx,
    Del,
    Unlink,
    Rename,
    RenameNx,
    Copy,
    CopyReplace,
    CopyElsewhere,
    Move,
    PExpire,
    PExpirePast,
    Persist,
    StoreSet,
    StoreNothing,
    SortStore,
    LPush,
    PfAdd,
    /// The writer of the seed, as two commands.
    SetAndEntry,
    Entry,
    NoEntry,
    NoIndex,
    FlushDb,
    FlushDbAsync,
    FlushAll,
    SwapDb,
}

const COMMON: &[Kind] = &[
    Kind::MtSet,
    Kind::MtSet,
    Kind::MtSet,
    Kind::MtSetNewer,
    Kind::MtSetNx,
    Kind::MtSetXx,
    Kind::MtSetShort,
    Kind::MtSetShort,
    Kind::MtSetKeepTtl,
    Kind::MtTouch,
    Kind::MtTouch,
    Kind::MtTouchNewer,
    Kind::MtDel,
    Kind::MtDelNewer,
    Kind::Set,
    Kind::Set,
    Kind::SetShort,
    Kind::SetKeepTtl,
    Kind::SetNx,
    Kind::SetXx,
    Kind::SetPast,
    Kind::SetEx,
    Kind::GetSet,
    Kind::GetDel,
    Kind::GetEx,
    Kind::GetExPast,
    Kind::Append,
    Kind::Incr,
    Kind::IncrByFloat,
    Kind::SetRange,
    Kind::BitField,
    Kind::BitOp,
    Kind::MSet,
    Kind::MSetNx,
    Kind::Del,
    Kind::Unlink,
    Kind::Rename,
    Kind::RenameNx,
    Kind::Copy,
    Kind::CopyReplace,
    Kind::CopyElsewhere,
    Kind::Move,
    Kind::PExpire,
    Kind::PExpirePast,
    Kind::Persist,
    Kind::StoreSet,
    Kind::StoreNothing,
    Kind::SortStore,
    Kind::LPush,
    Kind::PfAdd,
];

/// Writes to the index that are not the module's.
const ABOUT_THE_INDEX: &[Kind] =
    &[Kind::SetAndEntry, Kind::SetAndEntry, Kind::SetAndEntry, Kind::Entry, Kind::NoEntry, Kind::NoIndex];

const WHOLE_DATABASES: &[Kind] =
    &[Kind::FlushDb, Kind::FlushDbAsync, Kind::FlushAll, Kind::SwapDb, Kind::SwapDb];

#[derive(Clone, Copy, Debug)]
struct Write {
    kind: Kind,
    key: usize,
    other: usize,
    mtime: u8,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Write(Write),
    Ask(Question, usize, u8),
}

#[derive(Clone, Debug)]
enum Step {
    Alone(Op),
    Transaction(Vec<Op>),
    Script(Vec<Op>),
    Select(usize),
    /// A moment of peace, after which the module knows which keys are tracked.
    Rest,
    Reload,
}

fn op(kinds: &'static [Kind]) -> impl Strategy<Value = Op> {
    let question = prop::sample::select(vec![
        Question::Get,
        Question::GetWithMtime,
        Question::GetWithMtime,
        Question::GetExact,
        Question::MultiGet,
        Question::Time,
    ]);
    prop_oneof![
        3 => (prop::sample::select(kinds), 0..KEYS.len(), 0..KEYS.len(), 0..TIMES)
            .prop_map(|(kind, key, other, mtime)| Op::Write(Write { kind, key, other, mtime })),
        2 => (question, 0..KEYS.len(), 0..TIMES).prop_map(|(question, key, since)| Op::Ask(question, key, since)),
    ]
}

fn step(rare: &'static [Kind]) -> impl Strategy<Value = Step> {
    // Not all in one: what is rare must stay rare, or nothing else comes to pass.
    let any_op = || prop_oneof![24 => op(COMMON), 1 => op(rare)];
    prop_oneof![
        400 => any_op().prop_map(Step::Alone),
        80 => prop::collection::vec(any_op(), 1..6).prop_map(Step::Transaction),
        80 => prop::collection::vec(any_op(), 1..6).prop_map(Step::Script),
        20 => (0_usize..2).prop_map(Step::Select),
        8 => op(WHOLE_DATABASES).prop_map(Step::Alone),
        1 => Just(Step::Rest),
        1 => Just(Step::Reload),
    ]
}

/// The mtime that the value of each key was written with, in two databases.
#[derive(Clone, Default)]
struct Model {
    written_with: [[Option<i64>; KEYS.len()]; 2],
    selected: usize,
    /// How many values were made, so that all are different.
    values: u64,
}

impl Model {
    fn here(&mut self) -> &mut [Option<i64>; KEYS.len()] {
        &mut self.written_with[self.selected]
    }

    fn new_value(&mut self, padding: usize) -> String {
        self.values += 1;
        let digits = self.values.to_string();
        // Every encoding: a number, embedded, raw.
        match self.values % 4 {
            0 | 1 => digits,
            2 => format!("{digits}:{}", "x".repeat(20)),
            _ => format!("{digits}:{}", "x".repeat(200 + padding)),
        }
    }

    fn apply(&mut self, effect: &Effect, reply: &Reply) {
        if reply.is_error() {
            return;
        }
        let did_something = !matches!(reply, Reply::Nil | Reply::Int(0));
        match effect {
            Effect::Nothing => {}
            Effect::Tracks(key, mtime) if did_something => self.here()[*key] = Some(*mtime),
            Effect::Changes(keys) if did_something => self.forget(keys),
            Effect::Clobbers(keys) => self.forget(keys),
            Effect::Copies(key) if did_something => self.written_with[1 - self.selected][*key] = None,
            Effect::Moves(key) if did_something => {
                self.written_with[0][*key] = None;
                self.written_with[1][*key] = None;
            }
            Effect::Tracks(..) | Effect::Changes(_) | Effect::Copies(_) | Effect::Moves(_) => {}
            Effect::Clears => *self.here() = Default::default(),
            Effect::ClearsAll => self.written_with = Default::default(),
            Effect::Swaps => self.written_with.swap(0, 1),
        }
    }

    fn forget(&mut self, keys: &[usize]) {
        for key in keys {
            self.here()[*key] = None;
        }
    }
}

impl Write {
    fn command(self, model: &mut Model, padding: usize) -> (Args, Effect) {
        let (key, other, mtime) = (KEYS[self.key], KEYS[self.other], i64::from(self.mtime));
        let mut value = || model.new_value(padding);
        let tracks = Effect::Tracks(self.key, mtime);
        let changes = Effect::Changes(vec![self.key]);
        let changes_both = Effect::Changes(vec![self.key, self.other]);
        match self.kind {
            Kind::MtSet => (args!["MTSET", key, value(), mtime], tracks),
            Kind::MtSetNewer => (args!["MTSET", key, value(), mtime, "IFNEWER"], tracks),
            Kind::MtSetNx => (args!["MTSET", key, value(), mtime, "NX"], tracks),
            Kind::MtSetXx => (args!["MTSET", key, value(), mtime, "XX"], tracks),
            Kind::MtSetShort => (args!["MTSET", key, value(), mtime, "PX", 1 + mtime], tracks),
            Kind::MtSetKeepTtl => (args!["MTSET", key, value(), mtime, "KEEPTTL"], tracks),
            Kind::MtTouch => (args!["MTTOUCH", key, mtime], tracks),
            Kind::MtTouchNewer => (args!["MTTOUCH", key, mtime, "IFNEWER"], tracks),
            Kind::MtDel => (args!["MTDEL", key], changes),
            Kind::MtDelNewer => (args!["MTDEL", key, "IFNEWER", mtime], changes),
            Kind::Set => (args!["SET", key, value()], changes),
            Kind::SetShort => (args!["SET", key, value(), "PX", 1 + mtime], changes),
            Kind::SetKeepTtl => (args!["SET", key, value(), "KEEPTTL"], changes),
            Kind::SetNx => (args!["SET", key, value(), "NX"], changes),
            Kind::SetXx => (args!["SET", key, value(), "XX"], changes),
            Kind::SetPast => (args!["SET", key, value(), "PXAT", 1], changes),
            Kind::SetEx => (args!["SETEX", key, 100, value()], changes),
            Kind::GetSet => (args!["GETSET", key, value()], Effect::Clobbers(vec![self.key])),
            Kind::GetDel => (args!["GETDEL", key], changes),
            Kind::GetEx => (args!["GETEX", key, "PX", 1 + mtime], Effect::Nothing),
            Kind::GetExPast => (args!["GETEX", key, "PXAT", 1], changes),
            Kind::Append => (args!["APPEND", key, value()], changes),
            Kind::Incr => (args!["INCRBY", key, 1 + mtime], Effect::Clobbers(vec![self.key])),
            Kind::IncrByFloat => (args!["INCRBYFLOAT", key, "0.5"], changes),
            Kind::SetRange => (args!["SETRANGE", key, mtime, value()], changes),
            Kind::BitField => {
                (args!["BITFIELD", key, "INCRBY", "u8", 0, 1], Effect::Clobbers(vec![self.key]))
            }
            Kind::BitOp => (args!["BITOP", "NOT", key, other], Effect::Clobbers(vec![self.key])),
            Kind::MSet => (args!["MSET", key, value(), other, value()], changes_both),
            Kind::MSetNx => (args!["MSETNX", key, value(), other, value()], changes_both),
            Kind::Del => (args!["DEL", key, other], Effect::Clobbers(vec![self.key, self.other])),
            Kind::Unlink => (args!["UNLINK", key], changes),
            // Onto itself is allowed and does nothing.
            Kind::Rename if self.key == self.other => (args!["RENAME", key, other], Effect::Nothing),
            Kind::Rename => (args!["RENAME", key, other], changes_both),
            Kind::RenameNx => (args!["RENAMENX", key, other], changes_both),
            Kind::Copy => (args!["COPY", other, key], changes),
            Kind::CopyReplace => (args!["COPY", other, key, "REPLACE"], changes),
            Kind::CopyElsewhere => {
                let elsewhere = 1 - model.selected;
                (args!["COPY", other, key, "DB", elsewhere, "REPLACE"], Effect::Copies(self.key))
            }
            Kind::Move => (args!["MOVE", key, 1 - model.selected], Effect::Moves(self.key)),
            Kind::PExpire => (args!["PEXPIRE", key, 1 + mtime], Effect::Nothing),
            Kind::PExpirePast => (args!["PEXPIRE", key, -1], changes),
            Kind::Persist => (args!["PERSIST", key], Effect::Nothing),
            Kind::StoreSet => (args!["SUNIONSTORE", key, "a set"], Effect::Clobbers(vec![self.key])),
            Kind::StoreNothing => (args!["SINTERSTORE", key, "no set"], Effect::Clobbers(vec![self.key])),
            Kind::SortStore => (args!["SORT", "a list", "STORE", key], Effect::Clobbers(vec![self.key])),
            Kind::LPush => (args!["LPUSH", key, value()], changes),
            Kind::PfAdd => (args!["PFADD", key, value()], changes),
            Kind::SetAndEntry => {
                unreachable!("is two commands")
            }
            // An application that says so itself is believed.
            Kind::Entry => (args!["EVAL", ENTRY, 2, INDEX, key, mtime], tracks),
            Kind::NoEntry => (args!["HDEL", INDEX, key], changes),
            Kind::NoIndex => (args!["DEL", INDEX], Effect::Clears),
            Kind::FlushDb => (args!["FLUSHDB"], Effect::Clears),
            Kind::FlushDbAsync => (args!["FLUSHDB", "ASYNC"], Effect::Clears),
            Kind::FlushAll => (args!["FLUSHALL"], Effect::ClearsAll),
            Kind::SwapDb => (args!["SWAPDB", 0, 1], Effect::Swaps),
        }
    }
}

/// Gives a string an entry, by other means than the module's.
const ENTRY: &str = "
    if redis.call('TYPE', KEYS[2]).ok ~= 'string' then return 0 end
    redis.call('HSET', KEYS[1], KEYS[2], ARGV[1])
    return 1";

/// What is to be made of a reply.
#[derive(Clone, Debug)]
enum Meaning {
    Write(Effect),
    /// `HSET` on the index replies how many fields are new, which says nothing about the key.
    Entry(usize, i64),
    /// The answer, the value following in the next reply.
    Answer(Question, usize, i64),
    Value,
}

fn commands(op: Op, model: &mut Model, padding: usize) -> Vec<(Args, Meaning)> {
    match op {
        Op::Write(write) if write.kind == Kind::SetAndEntry => {
            let (key, mtime) = (KEYS[write.key], i64::from(write.mtime));
            let value = model.new_value(padding);
            vec![
                (args!["SET", key, value], Meaning::Write(Effect::Changes(vec![write.key]))),
                (args!["HSET", INDEX, key, mtime], Meaning::Entry(write.key, mtime)),
            ]
        }
        Op::Write(write) => {
            let (command, effect) = write.command(model, padding);
            vec![(command, Meaning::Write(effect))]
        }
        Op::Ask(question, key, since) => {
            let name = KEYS[key];
            let command = match question {
                Question::Get => args!["MTGET", name, since.to_string()],
                Question::GetWithMtime => args!["MTGET", name, since.to_string(), "WITHMTIME"],
                Question::GetExact => args!["MTGET", name, since.to_string(), "EXACT", "WITHMTIME"],
                Question::MultiGet => args!["MTMGET", name, since.to_string()],
                Question::Time => args!["MTTIME", name],
            };
            vec![
                (command, Meaning::Answer(question, key, i64::from(since))),
                (args!["GET", name], Meaning::Value),
            ]
        }
    }
}

/// The right answers of all kinds: with the key's mtime, and, where entries may be evicted with the index, without.
fn answer(question: Question, written_with: Option<i64>, since: i64, value: &Reply) -> Reply {
    let Reply::Bulk(bytes) = value else {
        let is_other_type = value.is_error();
        return match question {
            Question::MultiGet => array([nil()]),
            _ if is_other_type => Reply::Error(WRONG_TYPE.to_owned()),
            _ => nil(),
        };
    };
    let is_modified = match (question, written_with) {
        (_, None) => true,
        (Question::GetExact, Some(mtime)) => mtime != since,
        (_, Some(mtime)) => mtime > since,
    };
    let with_mtime = match written_with {
        None => untracked(bytes),
        Some(mtime) if is_modified => modified(&mtime.to_string(), bytes),
        Some(mtime) => not_modified(&mtime.to_string()),
    };
    match question {
        Question::Get if is_modified => bulk(bytes),
        Question::Get => nil(),
        Question::GetWithMtime | Question::GetExact => with_mtime,
        Question::MultiGet => array([with_mtime]),
        Question::Time => written_with.map_or_else(nil, |mtime| bulk(mtime.to_string())),
    }
}

/// Whether an answer says "not modified" of a value that is there.
fn says_not_modified(question: Question, answer: &Reply, value: &Reply) -> bool {
    let is_shape = |reply: &Reply| match reply {
        Reply::Array(items) => matches!(&items[..], [Reply::Bulk(_), Reply::Nil]),
        _ => false,
    };
    matches!(value, Reply::Bulk(_))
        && match question {
            Question::Get => *answer == Reply::Nil,
            Question::GetWithMtime | Question::GetExact => is_shape(answer),
            Question::MultiGet => matches!(answer, Reply::Array(items) if items.iter().all(is_shape)),
            Question::Time => false,
        }
}

/// One unit as it is sent, and what its replies mean.
struct Sent {
    unit: UnitKind,
    commands: Vec<(Args, Meaning)>,
}

enum UnitKind {
    Alone,
    Transaction,
    Script,
}

const RUNNER: &str = "
    local replies, at = {}, 1
    while at <= #ARGV do
        local length = tonumber(ARGV[at])
        replies[#replies + 1] = redis.pcall(unpack(ARGV, at + 1, at + length))
        at = at + length + 1
    end
    return replies";

struct Rig {
    directives: Vec<&'static str>,
    server: Server,
    replica: Option<Server>,
    client: Client,
    runner: String,
    padding: usize,
    /// Entries may go with the index.
    evicts: bool,
    asked: u64,
    operations: u64,
    /// What the present case has done so far, for people to read.
    history: Vec<(Args, Reply)>,
}

impl Rig {
    fn start(directives: &[&'static str], with_replica: bool, padding: usize) -> Self {
        let server = Server::builder().with(directives).tcp().start();
        let replica = with_replica.then(|| Server::replica_of(&server, Server::builder().without_module()));
        let mut client = server.client();
        let runner = call!(client, "SCRIPT", "LOAD", RUNNER).into_text();
        Self {
            directives: directives.to_vec(),
            server,
            replica,
            client,
            runner,
            padding,
            evicts: padding > 0,
            asked: 0,
            operations: 0,
            history: Vec::new(),
        }
    }

    /// The last commands that had to do with a key.
    fn history_of(&self, key: usize) -> String {
        const LAST: usize = 30;
        let name = KEYS[key].as_bytes();
        let is_about = |command: &Args| {
            command.iter().skip(1).any(|argument| argument == name)
                || [&b"SELECT"[..], b"SWAPDB", b"FLUSHDB", b"FLUSHALL", b"DEL", b"MULTI", b"EXEC"]
                    .contains(&&command[0][..])
        };
        let lines: Vec<String> = self
            .history
            .iter()
            .filter(|(command, _)| is_about(command))
            .map(|(command, reply)| format!("    {} -> {reply:?}", show(command)))
            .collect();
        lines[lines.len().saturating_sub(LAST)..].join("\n")
    }

    /// Empty databases for the next case; new servers, if the last case took one down: shrinking goes on after that.
    fn clear(&mut self) {
        if self.client.try_call(&words("PING")).is_err() {
            let counters = (self.asked, self.operations);
            *self = Self::start(&self.directives.clone(), self.replica.is_some(), self.padding);
            (self.asked, self.operations) = counters;
        }
        call!(self.client, "SELECT", 0);
        call!(self.client, "FLUSHALL");
        for database in [1, 0] {
            call!(self.client, "SELECT", database);
            call!(self.client, "SADD", "a set", "x");
            call!(self.client, "RPUSH", "a list", 2, 1);
        }
    }

    fn play(&mut self, steps: &[Step]) -> Result<(), TestCaseError> {
        self.clear();
        self.history.clear();
        let mut model = Model::default();
        let mut batch = Vec::new();
        for step in steps {
            match step {
                Step::Alone(_) | Step::Transaction(_) | Step::Script(_) => {
                    batch.push(self.plan(step, &mut model));
                    if batch.len() >= CHUNK {
                        self.send(&mut batch, &mut model)?;
                    }
                }
                Step::Select(_) | Step::Rest | Step::Reload => {
                    self.send(&mut batch, &mut model)?;
                    self.pause(step, &mut model);
                }
            }
        }
        self.send(&mut batch, &mut model)?;
        self.check_index()
    }

    fn plan(&self, step: &Step, model: &mut Model) -> Sent {
        let mut all = |ops: &[Op]| ops.iter().flat_map(|op| commands(*op, model, self.padding)).collect();
        match step {
            Step::Alone(Op::Write(write)) if write.kind != Kind::SetAndEntry => {
                Sent { unit: UnitKind::Alone, commands: all(&[Op::Write(*write)]) }
            }
            // A question and its value are of one moment, as are a value and its entry.
            Step::Alone(op) => Sent { unit: UnitKind::Transaction, commands: all(&[*op]) },
            Step::Transaction(ops) => Sent { unit: UnitKind::Transaction, commands: all(ops) },
            Step::Script(ops) => Sent { unit: UnitKind::Script, commands: all(ops) },
            Step::Select(_) | Step::Rest | Step::Reload => unreachable!("is no unit"),
        }
    }

    fn pause(&mut self, step: &Step, model: &mut Model) {
        let client = &mut self.client;
        match step {
            Step::Select(database) => {
                assert_eq!(call!(client, "SELECT", database), ok());
                self.history.push((args!["SELECT", database], ok()));
                model.selected = *database;
            }
            Step::Rest => wait_until_known(client),
            // A reload forgets expired keys without telling anybody, replicas included: see expiry_and_eviction.rs.
            Step::Reload => {
                for database in [1 - model.selected, model.selected] {
                    call!(client, "SELECT", database);
                    client.pipeline(&KEYS.map(|key| args!["PERSIST", key]));
                }
                assert_eq!(client.run("DEBUG RELOAD"), ok());
            }
            Step::Alone(_) | Step::Transaction(_) | Step::Script(_) => unreachable!("is a unit"),
        }
    }

    fn send(&mut self, batch: &mut Vec<Sent>, model: &mut Model) -> Result<(), TestCaseError> {
        let mut wire: Vec<Args> = Vec::new();
        for sent in batch.iter() {
            let plain = sent.commands.iter().map(|(command, _)| command.clone());
            match sent.unit {
                UnitKind::Alone => wire.extend(plain),
                UnitKind::Transaction => {
                    wire.push(args!["MULTI"]);
                    wire.extend(plain);
                    wire.push(args!["EXEC"]);
                }
                UnitKind::Script => {
                    let mut eval = args!["EVALSHA", self.runner, 0];
                    for command in plain {
                        eval.push(command.len().to_string().into_bytes());
                        eval.extend(command);
                    }
                    wire.push(eval);
                }
            }
        }
        let mut replies = self.client.pipeline(&wire).into_iter();
        let mut next = || replies.next().expect("a reply to each command");
        for sent in batch.drain(..) {
            let own: Vec<Reply> = match sent.unit {
                UnitKind::Alone => sent.commands.iter().map(|_| next()).collect(),
                UnitKind::Transaction => {
                    for _ in 0..=sent.commands.len() {
                        next();
                    }
                    match next() {
                        // Refused as a whole, because memory is short.
                        Reply::Error(_) => continue,
                        reply => reply.into_items(),
                    }
                }
                UnitKind::Script => match next() {
                    Reply::Error(_) => continue,
                    reply => reply.into_items(),
                },
            };
            self.judge(&sent, &own, model)?;
        }
        Ok(())
    }

    fn judge(&mut self, sent: &Sent, replies: &[Reply], model: &mut Model) -> Result<(), TestCaseError> {
        prop_assert_eq!(sent.commands.len(), replies.len());
        for (i, ((command, meaning), reply)) in sent.commands.iter().zip(replies).enumerate() {
            self.history.push((command.clone(), reply.clone()));
            match meaning {
                Meaning::Write(effect) => {
                    self.operations += 1;
                    model.apply(effect, reply);
                }
                Meaning::Entry(key, mtime) => {
                    self.operations += 1;
                    if !reply.is_error() {
                        model.here()[*key] = Some(*mtime);
                    }
                }
                Meaning::Value => {}
                Meaning::Answer(question, key, since) => {
                    self.operations += 1;
                    self.asked += 1;
                    let value = &replies[i + 1];
                    let written_with = model.here()[*key];
                    let expected = answer(*question, written_with, *since, value);
                    let line = || {
                        let history = self.history_of(*key);
                        let command = show(command);
                        format!(
                            "{command} = {reply:?} of {value:?}, written with {written_with:?}, after\n{history}\n"
                        )
                    };
                    let may_be_silent = match (question, written_with) {
                        (_, None) => false,
                        (Question::GetExact, Some(mtime)) => mtime == *since,
                        (_, Some(mtime)) => mtime <= *since,
                    };
                    let is_stale = says_not_modified(*question, reply, value) && !may_be_silent;
                    prop_assert!(!is_stale, "stale: {}", line());
                    let is_right =
                        *reply == expected || self.evicts && *reply == answer(*question, None, *since, value);
                    prop_assert!(is_right, "{}, expected {expected:?}", line());
                }
            }
        }
        Ok(())
    }

    /// At the end no field is without its key, and a replica without the module has the same.
    fn check_index(&mut self) -> Result<(), TestCaseError> {
        if is_keymeta() {
            return Ok(());
        }
        for database in [1, 0] {
            call!(self.client, "SELECT", database);
            let orphans = orphans(&mut self.client);
            prop_assert!(orphans.is_empty(), "fields without a key in database {database}: {orphans:?}");
        }
        if let Some(replica) = &self.replica {
            let (ours, mut theirs) = (&mut self.client, replica.client());
            replica.sync_with(&self.server);
            wait::until("a replica with the same data", || {
                (digest(ours) == digest(&mut theirs)).then_some(())
            });
        }
        Ok(())
    }
}

/// Cases of about so many steps, each of which is 1.6 operations.
const STEPS: usize = 1_600;

/// In every second case nobody but the module writes to the index, so that it stays known which keys are tracked.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rare = if is_keymeta() { COMMON } else { ABOUT_THE_INDEX };
    prop_oneof![prop::collection::vec(step(rare), 1..=STEPS), prop::collection::vec(step(COMMON), 1..=STEPS),]
}

fn enough(rig: &RefCell<Rig>, least: u64) {
    let rig = rig.borrow();
    println!("{} operations, {} of them questions, no stale answer", rig.operations, rig.asked);
    if std::env::var("PROPTEST_CASES").is_err() {
        assert!(rig.operations >= least, "only {} operations", rig.operations);
    }
}

/// Ticks come often, so that expiry in the background and the module's own work take part.
const QUICK: &str = "hz 500";

fn check_stale(cases: u32, with_replica: bool) -> RefCell<Rig> {
    let rig = RefCell::new(Rig::start(&[QUICK], with_replica, 0));
    let turn = Cell::new(0_usize);
    random::check(cases, steps(), |steps| {
        let rig = &mut *rig.borrow_mut();
        // The protocols take turns.
        turn.set(turn.get() + 1);
        rig.client = rig.server.client_speaking(BOTH_PROTOCOLS[turn.get() % 2]);
        rig.play(&steps)
    });
    rig
}

#[test]
fn no_answer_is_stale() {
    enough(&check_stale(200, false), 200_000);
}

#[test]
fn a_replica_without_the_module_agrees_after_any_mix() {
    if has_no_index("a replica without the module") {
        return;
    }
    enough(&check_stale(30, true), 20_000);
}

#[test]
fn no_answer_is_stale_while_keys_are_evicted() {
    const POLICIES: [&str; 7] = [
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
    ];
    let rig = RefCell::new(Rig::start(&[QUICK, "maxmemory-samples 3"], false, 20_000));
    let turn = Cell::new(0_usize);
    let mut evicted = Cell::new(0_i64);
    random::check(56, steps(), |steps| {
        let rig = &mut *rig.borrow_mut();
        turn.set(turn.get() + 1);
        call!(rig.client, "CONFIG", "SET", "maxmemory", 0);
        call!(rig.client, "CONFIG", "SET", "maxmemory-policy", POLICIES[turn.get() % POLICIES.len()]);
        rig.clear();
        // Room for a few of the long values, besides what the module keeps of entries that were read.
        for line in ["MTSET key value 1", "MTGET key 1", "MTDEL key"] {
            rig.client.run(line);
        }
        let used: i64 = rig.client.info("memory", "used_memory").parse().expect("a number");
        call!(rig.client, "CONFIG", "SET", "maxmemory", used + 80_000);
        let outcome = rig.play(&steps);
        call!(rig.client, "CONFIG", "SET", "maxmemory", 0);
        let count: i64 = rig.client.info("stats", "evicted_keys").parse().expect("a number");
        evicted.set(evicted.get().max(count));
        outcome
    });
    println!("{} keys were evicted", evicted.get_mut());
    assert!(evicted.get() > 100 || std::env::var("PROPTEST_CASES").is_ok(), "{} evicted", evicted.get());
    enough(&rig, 30_000);
}

#[test]
fn the_judge_knows_a_stale_answer() {
    let value = bulk("v");
    for (question, reply) in [
        (Question::Get, nil()),
        (Question::GetWithMtime, not_modified("5")),
        (Question::GetExact, not_modified("5")),
        (Question::MultiGet, array([not_modified("5")])),
    ] {
        assert!(says_not_modified(question, &reply, &value), "{question:?}");
        assert!(!says_not_modified(question, &reply, &nil()), "{question:?}");
        assert_eq!(answer(question, Some(5), 5, &value), reply, "{question:?}");
        assert_ne!(answer(question, None, 5, &value), reply, "{question:?}");
        assert_ne!(answer(question, Some(6), 5, &value), reply, "{question:?}");
    }
}
