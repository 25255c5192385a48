//! What is measured: the commands, on which data, and what each must answer.

use crate::options::{Options, Storage};
use std::borrow::Cow;

/// redis-benchmark puts a random number of twelve digits in its place.
const NUMBER: &str = "__rand_int__";
/// The mtime of every tracked key, and a reader's since before and after it.
pub(crate) const MTIME: &str = "1700000000";
const BEFORE: &str = "1699999900";
const AFTER: &str = "1700000100";
/// Keys in an MTMGET or MGET.
const BATCH: usize = 100;
/// Keys asked for where only the size of the index may make a difference: few enough for the CPU's caches.
const HOT_KEYS: usize = 100;
/// Bytes of large values in one server, so that the benchmark fits into a small machine.
const VALUE_BYTES: usize = 512 << 20;

/// What a server holds before its arms run. Key `key:<i>` for each of `index` keys, all tracked.
#[derive(Clone, PartialEq)]
pub(crate) struct Dataset {
    pub(crate) index: usize,
    /// Bytes of a value.
    pub(crate) value: usize,
    /// How many keys hold a value of that size; the others hold a byte.
    pub(crate) large: usize,
    /// How many of each of `plain:<i>` and `counter:<i>`, which have no mtime.
    pub(crate) untracked: usize,
    /// Whether a cluster node holds the same, too.
    pub(crate) in_cluster: bool,
}

impl Dataset {
    fn new(options: &Options, index: usize, value: usize) -> Self {
        let most = if options.smoke { 100 } else { VALUE_BYTES / value };
        Self { index, value, large: index.min(most), untracked: 0, in_cluster: false }
    }

    pub(crate) fn value(&self) -> String {
        value(self.value)
    }
}

/// Which of two servers an arm runs on.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Side {
    /// With the module.
    Module,
    /// With the module and hash storage, where the storage that is measured is another one.
    Hash,
    /// The same binary and data, no module: what a write cost before the module came.
    Plain,
    /// With the module, as a cluster node that has all slots.
    Cluster,
}

/// Which keys an arm's requests are for.
#[derive(Clone)]
pub(crate) enum Traffic {
    /// Each time a random one of the first `keys`.
    Random { keys: usize },
    /// Each of the first `keys` once, after `prepare` was sent for each of them.
    InOrder { prepare: Vec<String>, keys: usize },
}

/// What a reply must be, so that arms that are compared do the same work.
#[derive(Clone, Copy)]
pub(crate) enum Expect {
    /// As GET answers.
    Value,
    Null,
    Ok,
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
    /// The reply's bytes, from those of `GET` of the command's keys; None where any integer will do.
    pub(crate) fn reply(self, values: &[Vec<u8>]) -> Option<Vec<u8>> {
        const NULL: &[u8] = b"$-1\r\n";
        let one = || values.first().cloned().unwrap_or_default();
        let with_mtime = |value: &[u8], modified: bool| {
            let head = format!("*2\r\n${}\r\n{MTIME}\r\n", MTIME.len());
            [head.as_bytes(), if modified { value } else { NULL }].concat()
        };
        let head = format!("*{}\r\n", values.len()).into_bytes();
        Some(match self {
            Self::Value => one(),
            Self::Null => NULL.to_vec(),
            Self::Ok => b"+OK\r\n".to_vec(),
            Self::Integer => return None,
            Self::WithMtime { modified } => with_mtime(&one(), modified),
            Self::Values => values.iter().fold(head, |reply, value| [reply, value.clone()].concat()),
            Self::WithMtimes { modified } => {
                values.iter().fold(head, |reply, value| [reply, with_mtime(value, modified)].concat())
            }
        })
    }
}

/// One thing that is measured.
#[derive(Clone)]
pub(crate) struct Arm {
    pub(crate) name: String,
    pub(crate) side: Side,
    pub(crate) command: Vec<String>,
    pub(crate) expect: Expect,
    pub(crate) traffic: Traffic,
    pub(crate) pipeline: usize,
    pub(crate) keys_a_request: usize,
    /// The arm (GET, SET) whose CPU time this one's is a multiple of.
    pub(crate) baseline: Option<&'static str>,
    /// The arm (the script) whose throughput this one's is a multiple of.
    pub(crate) rival: Option<&'static str>,
    /// `mtime.invalidate-on-write` while it runs.
    pub(crate) invalidate: &'static str,
    /// Whether each request takes an entry out of the index.
    pub(crate) drops: bool,
}

impl Arm {
    fn new(name: &str, expect: Expect, command: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            side: Side::Module,
            command: command.iter().map(|&argument| argument.to_owned()).collect(),
            expect,
            traffic: Traffic::Random { keys: 1 },
            pipeline: 16,
            keys_a_request: 1,
            baseline: None,
            rival: None,
            invalidate: "yes",
            drops: false,
        }
    }

    fn against(mut self, baseline: &'static str) -> Self {
        self.baseline = Some(baseline);
        self
    }

    fn rival(mut self, rival: &'static str) -> Self {
        self.rival = Some(rival);
        self
    }

    fn plain(mut self) -> Self {
        self.side = Side::Plain;
        self
    }

    fn in_cluster(mut self) -> Self {
        self.side = Side::Cluster;
        self
    }

    fn random(mut self, keys: usize) -> Self {
        self.traffic = Traffic::Random { keys };
        self
    }

    fn in_order(mut self, prepare: &[&str], keys: usize) -> Self {
        let prepare = prepare.iter().map(|&argument| argument.to_owned()).collect();
        self.traffic = Traffic::InOrder { prepare, keys };
        self
    }

    fn pipeline(mut self, pipeline: usize) -> Self {
        self.pipeline = pipeline;
        self
    }
}

/// Arms that run in turn on the same data.
pub(crate) struct Point {
    pub(crate) label: String,
    pub(crate) dataset: Dataset,
    pub(crate) arms: Vec<Arm>,
    pub(crate) writers: Writers,
}

impl Point {
    fn new(label: &str, dataset: Dataset, arms: Vec<Arm>) -> Self {
        Self { label: label.to_owned(), dataset, arms, writers: Writers::Module }
    }
}

/// Who writes mtimes. Where scripts do, the module cannot know all tracked keys, and has to look every key that is
/// written up in the index.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Writers {
    Module,
    Scripts,
}

/// Points that make up one table.
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What CPU time is a multiple of.
    pub(crate) baseline: &'static str,
    pub(crate) points: Vec<Point>,
}

/// The scripts' names for EVALSHA.
pub(crate) struct Scripts {
    pub(crate) read: String,
    pub(crate) write: String,
}

/// Names of all sections, in the order of the report.
pub(crate) const SECTIONS: [&str; 7] = ["base", "value", "pipeline", "index", "batch", "foreign", "cluster"];

/// Everything that `options` ask for.
pub(crate) fn sections(options: &Options, scripts: &Scripts) -> Vec<Section> {
    let base = || Dataset::new(options, 20_000, 64);
    let mut sections = vec![
        Section {
            name: "base",
            title: "64-byte values, pipeline 16, index of 20,000 keys",
            baseline: "GET or SET",
            points: vec![Point::new(
                "64 B",
                base(),
                [vec![control(20_000)], reads_and_writes(&base(), 20_000, scripts)].concat(),
            )],
        },
        Section {
            name: "value",
            title: "By size of the value (pipeline 16, index of 20,000 keys)",
            baseline: "GET or SET",
            points: [(20, "20 B"), (1 << 10, "1 KiB"), (16 << 10, "16 KiB"), (100 << 10, "100 KiB")]
                .map(|(size, label)| {
                    let dataset = Dataset::new(options, 20_000, size);
                    let arms = reads_and_writes(&dataset, dataset.large, scripts);
                    Point::new(label, dataset, arms)
                })
                .into(),
        },
        Section {
            name: "pipeline",
            title: "Without pipelining (64-byte values, index of 20,000 keys)",
            baseline: "GET or SET",
            points: vec![Point::new(
                "pipeline 1",
                base(),
                reads_and_writes(&base(), 20_000, scripts).into_iter().map(|arm| arm.pipeline(1)).collect(),
            )],
        },
        Section {
            name: "index",
            title: "By size of the index (64-byte values, pipeline 16)",
            baseline: "GET or SET",
            points: index_points(options, scripts),
        },
        Section {
            name: "batch",
            title: "Replies with the mtime, and batches of 100 keys: CPU and throughput a key (64-byte values, index of 20,000 keys)",
            baseline: "MTGET",
            points: vec![Point::new("64 B", base(), batch(20_000))],
        },
        Section {
            name: "foreign",
            title: "Other commands, with and without the module (64-byte values, pipeline 16)",
            baseline: "no module",
            points: foreign_points(options),
        },
        Section {
            name: "cluster",
            title: "A cluster node with all slots, and thousands of small indexes (64-byte values, pipeline 16, 20,000 keys)",
            baseline: "alone",
            points: vec![cluster_point(options)],
        },
    ];
    if options.storage == Storage::Keymeta {
        for section in &mut sections {
            with_keymeta(section);
        }
    }
    sections.retain(|section| options.sections.iter().any(|name| name == section.name));
    for point in sections.iter_mut().flat_map(|section| &mut section.points) {
        point.arms.retain(|arm| {
            let name = arm.name.to_lowercase();
            options.arms.is_empty() || options.arms.iter().any(|part| name.contains(&part.to_lowercase()))
        });
    }
    sections
}

/// As it is with keymeta storage: the scripts have no index to share, and hash storage is one more rival.
fn with_keymeta(section: &mut Section) {
    section.points.retain(|point| point.writers == Writers::Module);
    for point in &mut section.points {
        let mut arms = Vec::new();
        for mut arm in point.arms.drain(..) {
            if arm.name.starts_with("Lua") {
                arm.side = Side::Plain;
            }
            if section.name == "base" && arm.name.starts_with("MT") {
                let name = format!("{}, hash storage", arm.name);
                arms.push(Arm { side: Side::Hash, name, rival: None, ..arm.clone() });
            }
            arms.push(arm);
        }
        point.arms = arms;
    }
}

/// GET where no module is: shows that the two servers are alike, and that the module costs plain reads nothing.
fn control(keys: usize) -> Arm {
    Arm::new("GET, no module", Expect::Value, &["GET", "key:__rand_int__"])
        .plain()
        .against("GET")
        .random(keys)
}

/// The arms of the main tables. Reads run on the server with the module, which does not touch GET or the script's
/// reads. SET and the script's SET would be foreign writes there and cost more: they run on the one without.
fn reads_and_writes(dataset: &Dataset, keys: usize, scripts: &Scripts) -> Vec<Arm> {
    let value = dataset.value();
    let read = |since| ["EVALSHA", &scripts.read, "1", "key:__rand_int__", since];
    [
        Arm::new("GET", Expect::Value, &["GET", "key:__rand_int__"]),
        Arm::new("Lua read, modified", Expect::Value, &read(BEFORE)).against("GET"),
        Arm::new("Lua read, not modified", Expect::Null, &read(AFTER)).against("GET"),
        Arm::new("MTGET, modified", Expect::Value, &["MTGET", "key:__rand_int__", BEFORE])
            .against("GET")
            .rival("Lua read, modified"),
        Arm::new("MTGET, not modified", Expect::Null, &["MTGET", "key:__rand_int__", AFTER])
            .against("GET")
            .rival("Lua read, not modified"),
        Arm::new("SET", Expect::Ok, &["SET", "key:__rand_int__", &value]).plain(),
        Arm::new(
            "Lua write",
            Expect::Null,
            &["EVALSHA", &scripts.write, "1", "key:__rand_int__", &value, MTIME],
        )
        .plain()
        .against("SET"),
        Arm::new("MTSET", Expect::Ok, &["MTSET", "key:__rand_int__", &value, MTIME])
            .against("SET")
            .rival("Lua write"),
    ]
    .map(|arm| arm.random(keys))
    .into()
}

/// Once with the same few keys asked for whatever the size, so that the index alone makes the difference, and once
/// with all keys asked for, where memory is slower than caches for GET too.
fn index_points(options: &Options, scripts: &Scripts) -> Vec<Point> {
    let mut sizes = vec![1, 100, 400, 500, 20_000, 1_000_000];
    if options.huge {
        sizes.push(10_000_000);
    }
    sizes.retain(|size| options.at_most(*size) == *size);
    let mut points = Vec::new();
    for index in sizes {
        let dataset = Dataset::new(options, index, 64);
        let hot = index.min(HOT_KEYS);
        let keys = if index == 1 { "key" } else { "keys" };
        let label = format!("{} {keys}, {hot} asked for", thousands(index));
        points.push(Point::new(&label, dataset.clone(), reads_and_writes(&dataset, hot, scripts)));
        if index >= 1_000_000 {
            let label = format!("{} {keys}, all asked for", thousands(index));
            points.push(Point::new(&label, dataset.clone(), reads_and_writes(&dataset, index, scripts)));
        }
    }
    points
}

fn batch(keys: usize) -> Vec<Arm> {
    let mtget = |name, modified: bool| {
        let expect = if modified { Expect::Value } else { Expect::Null };
        Arm::new(name, expect, &["MTGET", "key:__rand_int__", if modified { BEFORE } else { AFTER }])
    };
    let with_mtime = |name, modified: bool| {
        let since = if modified { BEFORE } else { AFTER };
        Arm::new(name, Expect::WithMtime { modified }, &["MTGET", "key:__rand_int__", since, "WITHMTIME"])
    };
    let many = |name, expect, command: &str, arguments: &[&str]| {
        let command = [&[command], [arguments; BATCH].concat().as_slice()].concat();
        Arm { keys_a_request: BATCH, ..Arm::new(name, expect, &command) }.pipeline(1)
    };
    let mtmget = |name, modified: bool| {
        let since = if modified { BEFORE } else { AFTER };
        many(name, Expect::WithMtimes { modified }, "MTMGET", &["key:__rand_int__", since])
    };
    vec![
        mtget("MTGET, modified", true),
        with_mtime("MTGET WITHMTIME, modified", true).against("MTGET, modified"),
        mtget("MTGET, not modified", false),
        with_mtime("MTGET WITHMTIME, not modified", false).against("MTGET, not modified"),
        mtget("100 pipelined MTGET, modified", true).pipeline(BATCH),
        mtmget("MTMGET of 100, modified", true).against("100 pipelined MTGET, modified"),
        mtget("100 pipelined MTGET, not modified", false).pipeline(BATCH),
        mtmget("MTMGET of 100, not modified", false).against("100 pipelined MTGET, not modified"),
        many("MGET of 100", Expect::Values, "MGET", &["key:__rand_int__"])
            .against("100 pipelined MTGET, modified"),
    ]
    .into_iter()
    .map(|arm| arm.random(keys))
    .collect()
}

fn foreign_points(options: &Options) -> Vec<Point> {
    let dataset = |index| Dataset { untracked: index, ..Dataset::new(options, index, 64) };
    let small = dataset(20_000);
    let large = dataset(options.at_most(1_000_000));
    let label = format!("{} keys", thousands(large.index));
    // Fewer of the commands that work on a key once only, but enough that the time can be measured.
    let arms = foreign(&large, Some(options.at_most(300_000)));
    let commands = ["SET", "INCR", "DEL"];
    let names =
        commands.map(|command| [format!("{command}, no module"), format!("{command}, untracked key")]);
    let untracked = |arm: &Arm| names.as_flattened().contains(&arm.name);
    vec![
        Point::new("20,000 keys", small.clone(), foreign(&small, None)),
        Point::new(&label, large.clone(), arms.clone()),
        Point {
            writers: Writers::Scripts,
            ..Point::new(
                &format!("{label}, scripts write too"),
                large,
                arms.into_iter().filter(untracked).collect(),
            )
        },
    ]
}

/// Each command without the module, with it, and with it told to leave foreign writes alone. `in_order`: how many keys
/// the commands get that work on a key once only; too few and the time is too short to measure.
fn foreign(dataset: &Dataset, in_order: Option<usize>) -> Vec<Arm> {
    let value = dataset.value();
    let variants = |arm: Arm, names: [&str; 3], baseline: &'static str| {
        let named = |name: &str| Arm { name: name.to_owned(), ..arm.clone() };
        [
            named(names[0]).plain(),
            named(names[1]).against(baseline),
            Arm { invalidate: "no", ..named(names[2]).against(baseline) },
        ]
    };
    let set = Arm::new("", Expect::Ok, &["SET", "plain:__rand_int__", &value]).random(dataset.untracked);
    let incr = Arm::new("", Expect::Integer, &["INCR", "counter:__rand_int__"]).random(dataset.untracked);
    let mut arms = Vec::new();
    arms.extend(variants(
        set,
        ["SET, no module", "SET, untracked key", "SET, invalidation off"],
        "SET, no module",
    ));
    // Names that begin as tracked ones do take the module longer to tell.
    let alike = Arm::new("SET, untracked, named alike", Expect::Ok, &["SET", "key:new:__rand_int__", &value]);
    arms.push(alike.random(dataset.untracked).against("SET, no module"));
    arms.extend(variants(
        incr,
        ["INCR, no module", "INCR, untracked key", "INCR, invalidation off"],
        "INCR, no module",
    ));
    let Some(keys) = in_order else { return arms };

    let del = Arm::new("", Expect::Integer, &["DEL", "gone:__rand_int__"])
        .in_order(&["SET", "gone:__rand_int__", &value], keys);
    arms.extend(variants(
        del,
        ["DEL, no module", "DEL, untracked key", "DEL, invalidation off"],
        "DEL, no module",
    ));
    let overwrite = ["SET", "key:__rand_int__", &value];
    let track = ["MTSET", "key:__rand_int__", &value, MTIME];
    let drops = |name, expect, command: &[&str]| Arm {
        drops: true,
        ..Arm::new(name, expect, command).in_order(&track, keys)
    };
    arms.extend([
        Arm::new("SET in order, no module", Expect::Ok, &overwrite).in_order(&overwrite, keys).plain(),
        drops("SET, drops an entry", Expect::Ok, &overwrite).against("SET in order, no module"),
        drops("DEL, drops an entry", Expect::Integer, &["DEL", "key:__rand_int__"]).against("DEL, no module"),
    ]);
    arms
}

/// Each command on a server alone and on a cluster node; also core ones, which cost more there without our doing.
fn cluster_point(options: &Options) -> Point {
    let untracked = options.at_most(20_000);
    let dataset = Dataset { untracked, in_cluster: true, ..Dataset::new(options, 20_000, 64) };
    let value = dataset.value();
    let both = |names: [&'static str; 2], expect, command: &[&str], keys| {
        let arm = |name: &str| Arm::new(name, expect, command).random(keys);
        [arm(names[0]), arm(names[1]).in_cluster().against(names[0])]
    };
    let key = "key:__rand_int__";
    let arms = [
        both(["GET", "GET, cluster"], Expect::Value, &["GET", key], dataset.index),
        both(
            ["MTGET, modified", "MTGET, modified, cluster"],
            Expect::Value,
            &["MTGET", key, BEFORE],
            dataset.index,
        ),
        both(
            ["MTGET, not modified", "MTGET, not modified, cluster"],
            Expect::Null,
            &["MTGET", key, AFTER],
            dataset.index,
        ),
        // Only over keys that hold this value, so that all servers keep the same.
        both(["MTSET", "MTSET, cluster"], Expect::Ok, &["MTSET", key, &value, MTIME], dataset.large),
        both(
            ["SET, untracked key", "SET, untracked key, cluster"],
            Expect::Ok,
            &["SET", "plain:__rand_int__", &value],
            untracked,
        ),
    ];
    Point::new("20,000 keys", dataset, arms.concat())
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

/// A text of that many bytes that no server takes for a number.
pub(crate) fn value(bytes: usize) -> String {
    "abcdefghijklmnopqrstuvwxyz0123456789".chars().cycle().take(bytes).collect()
}

/// 20000 as 20,000.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
