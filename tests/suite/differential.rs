//! Random conversations held with the module and, at the same time, with oracles: a plain server that runs the Lua
//! scripts (for the two commands they know), a plain server that is told in core commands what should have changed
//! (for all commands), and the pure model, which knows every reply. After each step both servers must hold the same.

use crate::support::client::{
    Args, BOTH_PROTOCOLS, Client, Protocol, Reply, args, bulk, call, error, nil, ok, show, words,
};
use crate::support::dataset::{INDEX, dataset, digest};
use crate::support::errors::{
    INVALID_EXPIRE, NOT_A_SINCE, NOT_AN_INTEGER, NOT_AN_MTIME, RESERVED, SYNTAX, wrong_arity,
};
use crate::support::lua::Scripts;
use crate::support::model::{Condition, Content, Model, Number};
use crate::support::random;
use crate::support::server::Server;
use crate::support::storage::{OUT_OF_RANGE, fits, has_no_index, is_keymeta};
use crate::support::wait;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::cmp::Ordering;

/// Few keys, so that steps meet. Option names among them, because a parser might trip.
const KEYS: [&str; 5] = ["a", "b", "key:3", "NX", "*"];

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&KEYS[..])
}

/// Values of every encoding.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        Just(b"EX".to_vec()),
        (-100_i64..100_000).prop_map(|number| number.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..60),
        (60_usize..300).prop_map(|length| vec![b'x'; length]),
    ]
}

fn pick(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(texts).prop_map(str::to_owned)
}

/// Numbers whose `%.17g` is also their canonical text, so that what Lua stores is what the module stores.
fn common_number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (-3_i64..6).prop_map(|number| number.to_string()),
        1 => (-3_i64..6).prop_map(|number| format!("{number}.25")),
        1 => pick(&["007", "1e3", "1.50", "1700000000", "1700000000123", "9007199254740991", "-9007199254740992"]),
    ]
}

/// Any number, the hard ones included.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => common_number(),
        1 => pick(&[
            "0.1", "-0", "2.5e-7", "1e-9", "9007199254740993", "9223372036854775806", "9223372036854775807",
            "9223372036854775808", "18446744073709551615", "-9223372036854775808", "1e300", "1700000000.1234", "4102444800000",
        ]),
    ]
}

// The two commands of the beginning against the scripts.

#[derive(Clone, Debug)]
enum Seed {
    Read { key: &'static str, since: String, native: bool },
    Write { key: &'static str, value: Vec<u8>, mtime: String, native: bool },
}

fn seed_step() -> impl Strategy<Value = Seed> {
    prop_oneof![
        (key(), common_number(), any::<bool>()).prop_map(|(key, since, native)| Seed::Read {
            key,
            since,
            native
        }),
        (key(), value(), common_number(), any::<bool>())
            .prop_map(|(key, value, mtime, native)| Seed::Write { key, value, mtime, native }),
    ]
}

/// Module and Lua take turns on the same keys of one server; on the other only Lua works.
#[test]
fn mtget_and_mtset_do_what_the_scripts_do() {
    if has_no_index("the scripts") {
        return;
    }
    const LEAST_STEPS: u64 = 10_000;
    let (server, plain) = (Server::start(), Server::plain());
    let steps_done = Cell::new(0);
    for protocol in BOTH_PROTOCOLS {
        let clients = RefCell::new((server.client_speaking(protocol), plain.client()));
        let (lua, plain_lua) = {
            let mut clients = clients.borrow_mut();
            (Scripts::load(&mut clients.0), Scripts::load(&mut clients.1))
        };
        random::check(60, prop::collection::vec(seed_step(), 1..=200), |steps| {
            let (subject, reference) = &mut *clients.borrow_mut();
            subject.run("FLUSHALL");
            reference.run("FLUSHALL");
            let mut model = Model::default();
            for step in &steps {
                steps_done.set(steps_done.get() + 1);
                seed_compare(step, (subject, &lua), (reference, &plain_lua), &mut model)?;
            }
            Ok(())
        });
    }
    if std::env::var("PROPTEST_CASES").is_err() {
        assert!(steps_done.get() >= LEAST_STEPS, "only {} steps", steps_done.get());
    }
}

fn seed_compare(
    step: &Seed,
    (subject, lua): (&mut Client, &Scripts),
    (reference, plain_lua): (&mut Client, &Scripts),
    model: &mut Model,
) -> Result<(), TestCaseError> {
    let (command, reference_command, modelled) = match step {
        Seed::Read { key, since, native } => {
            let bytes = (key.as_bytes(), since.as_bytes());
            let command = if *native { args!["MTGET", key, since] } else { lua.read(bytes.0, bytes.1) };
            (command, plain_lua.read(bytes.0, bytes.1), model.mtget(key, since, false, false))
        }
        Seed::Write { key, value, mtime, native } => {
            model.put(key, value, Number::parse(mtime.as_bytes()).expect("a number"));
            let bytes = (key.as_bytes(), mtime.as_bytes());
            let by_lua = lua.write(bytes.0, value, bytes.1);
            let command = if *native { args!["MTSET", key, value, mtime] } else { by_lua };
            // The one intended difference: OK, where the script says nothing.
            (command, plain_lua.write(bytes.0, value, bytes.1), if *native { ok() } else { nil() })
        }
    };
    let replies = subject.pipeline(&[command, args!["DEBUG", "DIGEST"]]);
    let reference_replies = reference.pipeline(&[reference_command, args!["DEBUG", "DIGEST"]]);
    prop_assert_eq!(&replies[0], &modelled, "{:?}: the model", step);
    let native_write = matches!(step, Seed::Write { native: true, .. });
    let by_script = if native_write { ok() } else { reference_replies[0].clone() };
    prop_assert_eq!(&replies[0], &by_script, "{:?}: the script", step);
    prop_assert_eq!(&replies[1], &reference_replies[1], "{:?}: the datasets differ", step);
    Ok(())
}

// Every command with every option against the model.

#[derive(Clone, Debug)]
enum Time {
    Forget,
    Keep,
    /// Option and argument, far enough in the future to stay out of the way.
    Set(&'static str, i64),
    /// Option and argument that are refused, and how.
    Bad(&'static str, &'static str, &'static str),
}

#[derive(Clone, Debug)]
enum Step {
    Get {
        key: &'static str,
        since: String,
        exact: bool,
        with_mtime: bool,
    },
    /// `None` is `*`.
    Set {
        key: &'static str,
        value: Vec<u8>,
        mtime: Option<String>,
        condition: Condition,
        time: Time,
        time_first: bool,
    },
    MultiGet(Vec<(String, String)>),
    TimeOf(&'static str),
    Touch {
        key: &'static str,
        mtime: String,
        condition: Condition,
    },
    Delete {
        key: &'static str,
        newer: Option<String>,
        equal: Option<String>,
    },
    /// A command in error, and the error.
    Broken(Args, String),
    ScriptRead {
        key: &'static str,
        since: String,
    },
    ScriptWrite {
        key: &'static str,
        value: Vec<u8>,
        mtime: String,
    },
    /// Core commands, which this configuration of the module lets pass.
    PlainSet {
        key: &'static str,
        value: Vec<u8>,
    },
    PlainDelete(&'static str),
    WrongType(&'static str),
    Entry {
        key: &'static str,
        text: &'static str,
    },
    NoEntry(&'static str),
    /// The controlled clock step: the key's time runs out while nobody looks.
    Expire(&'static str),
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        2 => Just(Condition::Always),
        2 => Just(Condition::IfNewer),
        2 => number().prop_map(Condition::IfEqual),
        1 => Just(Condition::IfMissing),
        1 => Just(Condition::IfExists),
    ]
}

fn touch_condition() -> impl Strategy<Value = Condition> {
    prop_oneof![Just(Condition::Always), Just(Condition::IfNewer), number().prop_map(Condition::IfEqual)]
}

/// The distance between absolute times, so large that a confusion cannot hide in the tolerance of relative ones.
const TIME_STEP: i64 = 1_000_000;

fn time() -> impl Strategy<Value = Time> {
    const MAX: &str = "9223372036854775807";
    prop_oneof![
        6 => Just(Time::Forget),
        2 => Just(Time::Keep),
        1 => (0_i64..5).prop_map(|n| Time::Set("PXAT", 4_102_444_800_000 + n * TIME_STEP)),
        1 => (0_i64..5).prop_map(|n| Time::Set("EXAT", 4_102_444_800 + n * TIME_STEP)),
        1 => (1_i64..5).prop_map(|n| Time::Set("EX", n * TIME_STEP)),
        1 => (1_i64..5).prop_map(|n| Time::Set("PX", n * TIME_STEP * 10)),
        1 => prop::sample::select(vec![
            ("EX", "0", INVALID_EXPIRE), ("PX", "-1", INVALID_EXPIRE), ("EXAT", "0", INVALID_EXPIRE),
            ("EX", MAX, INVALID_EXPIRE), ("PX", MAX, INVALID_EXPIRE), ("EXAT", MAX, INVALID_EXPIRE),
            ("PX", "1.5", NOT_AN_INTEGER), ("PXAT", "", NOT_AN_INTEGER), ("EX", "abc", NOT_AN_INTEGER),
        ]).prop_map(|(option, argument, line)| Time::Bad(option, argument, line)),
    ]
}

fn broken() -> impl Strategy<Value = Step> {
    let templates: Vec<(&str, String)> = vec![
        ("MTGET K abc", NOT_A_SINCE.to_owned()),
        ("MTGET K 5 EXACT EXACT", SYNTAX.to_owned()),
        ("MTGET K 5 NX", SYNTAX.to_owned()),
        ("MTGET K", wrong_arity("mtget")),
        ("MTGET MY_KEYSMTIME 5", RESERVED.to_owned()),
        ("MTSET K v", wrong_arity("mtset")),
        ("MTSET K v 0x10", NOT_AN_MTIME.to_owned()),
        ("MTSET K v 5 NX XX", SYNTAX.to_owned()),
        ("MTSET K v 5 IFNEWER NX", SYNTAX.to_owned()),
        ("MTSET K v 5 EX 5 PX 5", SYNTAX.to_owned()),
        ("MTSET K v 5 KEEPTTL EX 5", SYNTAX.to_owned()),
        ("MTSET K v 5 IFEQ", SYNTAX.to_owned()),
        ("MTSET K v 5 IFEQ nan", NOT_AN_MTIME.to_owned()),
        ("MTSET MY_KEYSMTIME v 5", RESERVED.to_owned()),
        ("MTMGET K 5 K", wrong_arity("mtmget")),
        ("MTMGET K 5 K inf", NOT_A_SINCE.to_owned()),
        ("MTMGET K 5 MY_KEYSMTIME 5", RESERVED.to_owned()),
        ("MTTIME K K", wrong_arity("mttime")),
        ("MTTIME MY_KEYSMTIME", RESERVED.to_owned()),
        ("MTTOUCH K", wrong_arity("mttouch")),
        ("MTTOUCH K 1e400", NOT_AN_MTIME.to_owned()),
        ("MTTOUCH K 5 NX", SYNTAX.to_owned()),
        ("MTTOUCH MY_KEYSMTIME 5", RESERVED.to_owned()),
        ("MTDEL K K", SYNTAX.to_owned()),
        ("MTDEL K IFNEWER x", NOT_AN_MTIME.to_owned()),
        ("MTDEL MY_KEYSMTIME", RESERVED.to_owned()),
    ];
    (prop::sample::select(templates), key()).prop_map(|((template, line), key)| {
        let words = template.split(' ').map(|word| if word == "K" { key } else { word });
        Step::Broken(words.map(|word| word.as_bytes().to_vec()).collect(), line)
    })
}

fn step() -> impl Strategy<Value = Step> {
    let mtime = prop_oneof![5 => number().prop_map(Some), 1 => Just(None)];
    prop_oneof![
        8 => (key(), number(), any::<bool>(), any::<bool>())
            .prop_map(|(key, since, exact, with_mtime)| Step::Get { key, since, exact, with_mtime }),
        8 => (key(), value(), mtime, condition(), time(), any::<bool>())
            .prop_map(|(key, value, mtime, condition, time, time_first)| {
                Step::Set { key, value, mtime, condition, time, time_first }
            }),
        3 => prop::collection::vec((key().prop_map(str::to_owned), number()), 1..8).prop_map(Step::MultiGet),
        2 => key().prop_map(Step::TimeOf),
        3 => (key(), number(), touch_condition())
            .prop_map(|(key, mtime, condition)| Step::Touch { key, mtime, condition }),
        1 => key().prop_map(|key| Step::Delete { key, newer: None, equal: None }),
        1 => (key(), number()).prop_map(|(key, newer)| Step::Delete { key, newer: Some(newer), equal: None }),
        1 => (key(), number()).prop_map(|(key, equal)| Step::Delete { key, newer: None, equal: Some(equal) }),
        2 => broken(),
        1 => (key(), common_number()).prop_map(|(key, since)| Step::ScriptRead { key, since }),
        1 => (key(), value(), common_number())
            .prop_map(|(key, value, mtime)| Step::ScriptWrite { key, value, mtime }),
        1 => (key(), value()).prop_map(|(key, value)| Step::PlainSet { key, value }),
        1 => key().prop_map(Step::PlainDelete),
        1 => key().prop_map(Step::WrongType),
        1 => (key(), prop::sample::select(vec!["", "abc", "0x10", "5\0", "1.7000000000000002e+18", "0.10000000000000001", "3"]))
            .prop_map(|(key, text)| Step::Entry { key, text }),
        1 => key().prop_map(Step::NoEntry),
        1 => key().prop_map(Step::Expire),
    ]
}

fn condition_words(condition: &Condition) -> Args {
    match condition {
        Condition::Always => Vec::new(),
        Condition::IfNewer => args!["IfNewer"],
        Condition::IfEqual(mtime) => args!["IFEQ", mtime],
        Condition::IfMissing => args!["nx"],
        Condition::IfExists => args!["XX"],
    }
}

/// What has to come out of a step.
struct Expected {
    reply: ExpectedReply,
    /// What the other server is told in core commands. The first ones only touch the keys that the step looks at,
    /// because looking reaps what has expired.
    effects: Vec<Args>,
}

enum ExpectedReply {
    Exactly(Reply),
    /// The number a `*` gave: the write is completed with it.
    Assigned {
        key: &'static str,
        value: Vec<u8>,
        time: Time,
    },
}

fn exactly(reply: Reply, effects: Vec<Args>) -> Expected {
    Expected { reply: ExpectedReply::Exactly(reply), effects }
}

fn set_effects(key: &str, value: &[u8], mtime: &str, time: &Time) -> Vec<Args> {
    let mut set = args!["SET", key, value];
    match time {
        Time::Keep => set.extend(args!["KEEPTTL"]),
        Time::Set(option, amount) => set.extend(args![option, amount]),
        Time::Forget | Time::Bad(..) => {}
    }
    vec![set, args!["HSET", INDEX, key, mtime]]
}

/// The command for the module and what has to come out; the model has made the step when this returns, except for
/// a `*`, whose number it does not know yet.
fn plan(step: &Step, model: &mut Model, subject_lua: &Scripts, reference_lua: &Scripts) -> (Args, Expected) {
    let look = |key: &str| args!["EXISTS", key];
    let parse = |text: &str| Number::parse(text.as_bytes()).expect("a number");
    let nothing = || (args!["PING"], exactly(Reply::Status("PONG".to_owned()), Vec::new()));
    match step {
        // Where there is no index, the scripts and those who write to it are of no interest.
        Step::ScriptRead { .. } | Step::ScriptWrite { .. } | Step::Entry { .. } | Step::NoEntry(_)
            if is_keymeta() =>
        {
            nothing()
        }
        Step::Get { key, since, exact, with_mtime } => {
            let mut command = args!["MTGET", key, since];
            // Both orders of the two options come up, by the parity of the key.
            let mut options: Args = Vec::new();
            if *exact {
                options.extend(args!["EXACT"]);
            }
            if *with_mtime {
                options.extend(args!["withMTIME"]);
            }
            if key.len() == 1 {
                options.reverse();
            }
            command.extend(options);
            (command, exactly(model.mtget(key, since, *exact, *with_mtime), vec![look(key)]))
        }
        Step::Set { key, value, mtime, condition, time, time_first } => {
            let mut command = args!["MTSET", key, value, mtime.as_deref().unwrap_or("*")];
            let time_words = match time {
                Time::Forget => Vec::new(),
                Time::Keep => args!["KeepTtl"],
                Time::Set(option, amount) => args![option, amount],
                Time::Bad(option, argument, _) => args![option, argument],
            };
            let (first, second) = (condition_words(condition), time_words);
            let (first, second) = if *time_first { (second, first) } else { (first, second) };
            command.extend(first);
            command.extend(second);
            if let Time::Bad(_, _, line) = time {
                return (command, exactly(error(line), Vec::new()));
            }
            let parsed = mtime.as_deref().map(parse);
            if parsed.is_some_and(|mtime| !fits(mtime)) {
                return (command, exactly(error(OUT_OF_RANGE), Vec::new()));
            }
            // Nothing comes after the largest number: conditions.rs says what is answered then.
            if parsed.is_none()
                && model.entry(key).is_some_and(|stored| !stored.successor().is_some_and(fits))
            {
                return nothing();
            }
            if !model.allows(key, parsed, condition) {
                return (command, exactly(nil(), vec![look(key)]));
            }
            let Some(mtime) = parsed else {
                let reply = ExpectedReply::Assigned { key, value: value.clone(), time: time.clone() };
                return (command, Expected { reply, effects: vec![look(key)] });
            };
            model.put(key, value, mtime);
            let mut effects = vec![look(key)];
            effects.extend(set_effects(key, value, &mtime.canonical(), time));
            (command, exactly(ok(), effects))
        }
        Step::MultiGet(pairs) => {
            let mut command = args!["MTMGET"];
            for (key, since) in pairs {
                command.extend(args![key, since]);
            }
            let effects = pairs.iter().map(|(key, _)| look(key)).collect();
            (command, exactly(model.mtmget(pairs), effects))
        }
        Step::TimeOf(key) => (args!["MTTIME", key], exactly(model.mttime(key), vec![look(key)])),
        Step::Touch { key, mtime, condition } => {
            let mut command = args!["MTTOUCH", key, mtime];
            command.extend(condition_words(condition));
            let mtime = parse(mtime);
            if !fits(mtime) {
                return (command, exactly(error(OUT_OF_RANGE), Vec::new()));
            }
            let reply = model.mttouch(key, mtime, condition);
            let mut effects = vec![look(key)];
            if reply == Reply::Int(1) {
                effects.push(args!["HSET", INDEX, key, mtime.canonical()]);
            }
            (command, exactly(reply, effects))
        }
        Step::Delete { key, newer, equal } => {
            let mut command = args!["MTDEL", key];
            let condition = match (newer, equal) {
                (Some(newer), _) => {
                    command.extend(args!["IFNEWER", newer]);
                    Condition::IfNewer
                }
                (None, Some(equal)) => {
                    command.extend(args!["IFEQ", equal]);
                    Condition::IfEqual(equal.clone())
                }
                (None, None) => Condition::Always,
            };
            let reply = model.mtdel(key, newer.as_deref().map(parse), &condition);
            let mut effects = vec![look(key)];
            if reply == Reply::Int(1) {
                effects.extend([args!["DEL", key], args!["HDEL", INDEX, key]]);
            }
            (command, exactly(reply, effects))
        }
        Step::Broken(command, line) => (command.clone(), exactly(error(line), Vec::new())),
        Step::ScriptRead { key, since } => {
            // The script asks the index first and does not look at a key that is not modified. Its number is Lua's,
            // so only entries that mean the same to both are compared.
            let reply = match model.keys.get(*key) {
                Some(Content::Text(_)) | None if lua_agrees(model, key) => {
                    model.mtget(key, since, false, false)
                }
                _ => return nothing(),
            };
            let effects = vec![reference_lua.read(key.as_bytes(), since.as_bytes())];
            (subject_lua.read(key.as_bytes(), since.as_bytes()), exactly(reply, effects))
        }
        Step::ScriptWrite { key, value, mtime } => {
            model.put(key, value, parse(mtime));
            let effects = vec![reference_lua.write(key.as_bytes(), value, mtime.as_bytes())];
            (subject_lua.write(key.as_bytes(), value, mtime.as_bytes()), exactly(nil(), effects))
        }
        Step::PlainSet { key, value } => {
            model.write_plainly(key, Some(Content::Text(value.clone())));
            let command = args!["SET", key, value];
            (command.clone(), exactly(ok(), vec![command]))
        }
        Step::PlainDelete(key) => {
            let existed = model.write_plainly(key, None);
            let command = args!["DEL", key];
            (command.clone(), exactly(Reply::Int(i64::from(existed)), vec![command]))
        }
        Step::WrongType(key) => {
            model.write_plainly(key, Some(Content::Other));
            let script = "redis.call('DEL', KEYS[1]) return redis.call('RPUSH', KEYS[1], 'a')";
            let command = args!["EVAL", script, 1, key];
            (command.clone(), exactly(Reply::Int(1), vec![command]))
        }
        Step::Entry { key, text } => {
            let is_new = model.index.insert((*key).to_owned(), text.as_bytes().to_vec()).is_none();
            let command = args!["HSET", INDEX, key, text];
            (command.clone(), exactly(Reply::Int(i64::from(is_new)), vec![command]))
        }
        Step::NoEntry(key) => {
            let existed = model.index.remove(*key).is_some();
            let command = args!["HDEL", INDEX, key];
            (command.clone(), exactly(Reply::Int(i64::from(existed)), vec![command]))
        }
        Step::Expire(_) => unreachable!("made by the driver"),
    }
}

/// Whether Lua reads the entry of a key as the same number: it takes hex and stops counting at 2^53.
fn lua_agrees(model: &Model, key: &str) -> bool {
    const EXACT: i64 = 1 << 53;
    match model.index.get(key) {
        None => true,
        Some(text) => match Number::parse(text) {
            Some(Number::Integer(integer)) => (-EXACT..=EXACT).contains(&integer),
            Some(Number::Fraction(_)) => true,
            None => text == b"abc" || text.is_empty(),
        },
    }
}

/// Whether an assigned number is the one the contract allows: the clock, or the stored mtime + 1.
fn check_assigned(model: &Model, key: &str, assigned: &str, clock: (i64, i64)) -> Result<(), TestCaseError> {
    let number = Number::parse(assigned.as_bytes());
    let Some(number) = number else { return Err(TestCaseError::fail(format!("{assigned} is no mtime"))) };
    prop_assert_eq!(number.canonical(), assigned);
    let is_clock = matches!(number, Number::Integer(integer) if (clock.0..=clock.1).contains(&integer));
    let stored = model.entry(key);
    let is_next =
        stored.and_then(Number::successor).is_some_and(|next| next.compare(number) == Ordering::Equal);
    prop_assert!(is_clock || is_next, "{} after {:?} at {:?}", assigned, stored, clock);
    if let Some(stored) = stored.filter(|_| model.keys.contains_key(key)) {
        prop_assert!(number.compare(stored) == Ordering::Greater, "{assigned} after {stored:?}");
    }
    Ok(())
}

/// Two servers in step.
struct Pair {
    directives: &'static [&'static str],
    /// Held because the servers end with their handles.
    _servers: [Server; 2],
    subjects: [Client; 2],
    reference: Client,
    subject_lua: Scripts,
    reference_lua: Scripts,
}

impl Pair {
    /// A server with the module and these directives, and a plain one.
    fn start(directives: &'static [&'static str]) -> Self {
        let (server, plain) = (Server::with(directives), Server::plain());
        let mut subjects = [server.client_speaking(Protocol::Resp2), server.client_speaking(Protocol::Resp3)];
        let mut reference = plain.client();
        for client in [&mut subjects[0], &mut reference] {
            client.run("DEBUG SET-ACTIVE-EXPIRE 0");
        }
        let subject_lua = Scripts::load(&mut subjects[0]);
        let reference_lua = Scripts::load(&mut reference);
        Self { directives, _servers: [server, plain], subjects, reference, subject_lua, reference_lua }
    }

    /// Empty servers for the next case; new ones, if the last case took one down: shrinking goes on after that.
    fn clear(&mut self) {
        if self.subjects.iter_mut().any(|client| client.try_call(&words("PING")).is_err()) {
            *self = Self::start(self.directives);
        }
        self.subjects[0].run("FLUSHALL");
        self.reference.run("FLUSHALL");
    }

    fn expire(&mut self, key: &str, model: &mut Model) {
        if !model.write_plainly(key, None) {
            return;
        }
        for client in [&mut self.subjects[0], &mut self.reference] {
            assert_eq!(call!(client, "PEXPIRE", key, 1), Reply::Int(1));
        }
        let end = self.reference.clock_us() + 2_000;
        let client = &mut self.reference;
        wait::until("two milliseconds to pass", || (client.clock_us() > end).then_some(()));
        // A server that stalls for a millisecond finds the time in the past and deletes at once. Then both shall.
        if digest(&mut self.subjects[0]) != digest(&mut self.reference) {
            for client in [&mut self.subjects[0], &mut self.reference] {
                assert_eq!(call!(client, "EXISTS", key), Reply::Int(0));
            }
        }
    }

    fn compare(&mut self, step: &Step, resp3: bool, model: &mut Model) -> Result<(), TestCaseError> {
        if let Step::Expire(key) = step {
            self.expire(key, model);
            return Ok(());
        }
        let (command, expected) = plan(step, model, &self.subject_lua, &self.reference_lua);
        let line = show(&command);
        let subject = &mut self.subjects[usize::from(resp3)];
        let mut replies = subject
            .try_pipeline(&[args!["TIME"], command, args!["TIME"], args!["DEBUG", "DIGEST"]])
            .map_err(|failure| TestCaseError::fail(format!("{line} took the server down: {failure}")))?
            .into_iter();
        let mut next = || replies.next().expect("four replies");
        let before = milliseconds(next());
        let reply = next();
        let after = milliseconds(next());
        let found = next();

        let mut effects = expected.effects;
        match expected.reply {
            ExpectedReply::Exactly(wanted) => prop_assert_eq!(reply, wanted, "{}", line),
            ExpectedReply::Assigned { key, value, time } => {
                prop_assert!(!reply.is_error(), "{line}: {reply:?}");
                let assigned = reply.into_text();
                check_assigned(model, key, &assigned, (before, after))?;
                model.put(key, &value, Number::parse(assigned.as_bytes()).expect("checked"));
                effects.extend(set_effects(key, &value, &assigned, &time));
            }
        }
        if is_keymeta() {
            effects.retain(|command| !command.contains(&INDEX.as_bytes().to_vec()));
        }
        effects.push(args!["DEBUG", "DIGEST"]);
        let wanted = self.reference.pipeline(&effects).pop().expect("a digest");
        if found != wanted {
            // Reading them reaps what has expired, but it is too late for that to matter.
            let (ours, theirs) = (dataset(&mut self.subjects[0]), dataset(&mut self.reference));
            return Err(TestCaseError::fail(format!("after {line} there is {ours:?}, should be {theirs:?}")));
        }
        if is_keymeta() {
            // A digest knows nothing of metadata; the model does.
            let mtimes = self.subjects[0].pipeline(&KEYS.map(|key| args!["MTTIME", key]));
            for (key, mtime) in KEYS.iter().zip(mtimes) {
                prop_assert_eq!(mtime, model.mttime(key), "the mtime of {} after {}", key, line);
            }
            // Looking reaps what has expired.
            self.reference.pipeline(&KEYS.map(|key| args!["EXISTS", key]));
        }
        Ok(())
    }

    /// The times, which a digest only knows to be there or not. Those counted from the clock may differ a little.
    fn compare_times(&mut self) -> Result<(), TestCaseError> {
        const TOLERANCE: i64 = TIME_STEP / 10;
        let questions: Vec<Args> = KEYS.iter().map(|key| args!["PEXPIRETIME", key]).collect();
        let ours = self.subjects[0].pipeline(&questions);
        let theirs = self.reference.pipeline(&questions);
        for ((key, ours), theirs) in KEYS.iter().zip(ours).zip(theirs) {
            let (ours, theirs) = (ours.into_int(), theirs.into_int());
            let close = ours == theirs || (ours > 0 && theirs > 0 && (ours - theirs).abs() < TOLERANCE);
            prop_assert!(close, "{key} expires at {ours}, should at {theirs}");
        }
        Ok(())
    }
}

fn milliseconds(time: Reply) -> i64 {
    let parts: Vec<i64> =
        time.into_items().into_iter().map(|part| part.into_text().parse().expect("a number")).collect();
    parts[0] * 1000 + parts[1] / 1000
}

#[test]
fn every_command_does_what_the_model_says() {
    const LEAST_STEPS: u64 = 50_000;
    // Core commands are among the steps, so their effect on the index has to be known: none.
    let pair = RefCell::new(Pair::start(&["mtime.invalidate-on-write no"]));
    let steps_done = Cell::new(0);
    random::check(350, prop::collection::vec((step(), any::<bool>()), 1..=320), |steps| {
        let pair = &mut *pair.borrow_mut();
        pair.clear();
        let mut model = Model::default();
        for (step, resp3) in &steps {
            steps_done.set(steps_done.get() + 1);
            pair.compare(step, *resp3, &mut model)?;
        }
        pair.compare_times()
    });
    if std::env::var("PROPTEST_CASES").is_err() {
        assert!(steps_done.get() >= LEAST_STEPS, "only {} steps", steps_done.get());
    }
}

/// With invalidation on, as it comes: the same, without core writes among the steps.
#[test]
fn every_command_does_what_the_model_says_with_invalidation() {
    let pair = RefCell::new(Pair::start(&[]));
    let own = step().prop_filter("a command of ours or of the scripts", |step| {
        !matches!(step, Step::PlainSet { .. } | Step::PlainDelete(_) | Step::WrongType(_) | Step::Expire(_))
    });
    random::check(40, prop::collection::vec((own, any::<bool>()), 1..=320), |steps| {
        let pair = &mut *pair.borrow_mut();
        pair.clear();
        let mut model = Model::default();
        for (step, resp3) in &steps {
            pair.compare(step, *resp3, &mut model)?;
        }
        pair.compare_times()
    });
}

#[test]
fn bulk_replies_are_compared_as_bytes() {
    // The comparison above is only worth something if unequal replies are told apart.
    assert_ne!(bulk("1"), Reply::Int(1));
    assert_ne!(bulk("OK"), ok());
    assert_ne!(nil(), bulk(""));
}
