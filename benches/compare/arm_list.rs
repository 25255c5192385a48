//! Which arms there are. What an arm is, is in `arm`; on which data and with how many connections they run, in
//! `sections`.

use crate::arm::{Arm, Expect};
use crate::dataset::{AFTER, BEFORE, Dataset, MTIME, since_for};
use crate::rig::INDEX;
use crate::scripts::{READ_FUNCTION, Scripts, WRITE_FUNCTION};

/// Keys in an MTMGET or MGET.
const BATCH: usize = 100;
/// Where the number of a key goes.
const KEY: &str = "key:__rand_int__";

/// How much of the list a table has.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Range {
    /// What the module replaces, and what it is measured against.
    Core,
    /// Also the same as functions, and done by the client.
    Wide,
}

/// GET where no module is: shows that the two servers are alike, and that the module costs plain reads nothing.
pub(crate) fn control(keys: usize) -> Arm {
    Arm::new("GET, no module", Expect::Value, &["GET", KEY]).plain().against("GET").random(keys)
}

/// The arms of the main tables. Reads run on the server with the module, which does not touch GET or the script's
/// reads. SET and the script's SET would be foreign writes there and cost more: they run on the one without.
pub(crate) fn reads_and_writes(range: Range, dataset: &Dataset, keys: usize, scripts: &Scripts) -> Vec<Arm> {
    let value = dataset.value();
    let script = |since| ["EVALSHA", &scripts.read, "1", KEY, since];
    let function = |since| ["FCALL", READ_FUNCTION, "1", KEY, since];
    // In one write and one round trip, as a careful client does it; the value travels whatever its mtime is.
    let client = |name, since, modified| {
        Arm::new(name, Expect::ByClient { since, modified }, &["HGET", INDEX, KEY]).then(&["GET", KEY])
    };
    let arms = [
        (Range::Core, Arm::new("GET", Expect::Value, &["GET", KEY])),
        (Range::Core, Arm::new("Lua read, modified", Expect::Value, &script(BEFORE)).against("GET")),
        (Range::Core, Arm::new("Lua read, not modified", Expect::Null, &script(AFTER)).against("GET")),
        (
            // The one above leaves out what a read is to do, and does not even look at the key.
            Range::Wide,
            Arm::new(
                "Lua read and TOUCH, not modified",
                Expect::Null,
                &["EVALSHA", &scripts.read_and_touch, "1", KEY, AFTER],
            )
            .against("GET"),
        ),
        (Range::Wide, Arm::new("FCALL read, modified", Expect::Value, &function(BEFORE)).against("GET")),
        (Range::Wide, Arm::new("FCALL read, not modified", Expect::Null, &function(AFTER)).against("GET")),
        (Range::Wide, client("HGET + GET by the client, modified", BEFORE, true).against("GET")),
        (Range::Wide, client("HGET + GET by the client, not modified", AFTER, false).against("GET")),
        (
            Range::Core,
            Arm::new("MTGET, modified", Expect::Value, &["MTGET", KEY, BEFORE])
                .against("GET")
                .rival("Lua read, modified")
                .in_both_storages(),
        ),
        (
            Range::Core,
            Arm::new("MTGET, not modified", Expect::Null, &["MTGET", KEY, AFTER])
                .against("GET")
                .rival("Lua read, not modified")
                .in_both_storages(),
        ),
        (Range::Core, Arm::new("SET", Expect::Ok, &["SET", KEY, &value]).plain()),
        (
            Range::Core,
            Arm::new("Lua write", Expect::Null, &["EVALSHA", &scripts.write, "1", KEY, &value, MTIME])
                .plain()
                .against("SET"),
        ),
        (
            Range::Wide,
            Arm::new("FCALL write", Expect::Null, &["FCALL", WRITE_FUNCTION, "1", KEY, &value, MTIME])
                .plain()
                .against("SET"),
        ),
        (
            // Without the transaction others would see the new value with the old mtime.
            Range::Wide,
            Arm::new("SET + HSET by the client", Expect::Transaction, &["MULTI"])
                .then(&["SET", KEY, &value])
                .then(&["HSET", INDEX, KEY, MTIME])
                .then(&["EXEC"])
                .plain()
                .against("SET"),
        ),
        (
            Range::Core,
            Arm::new("MTSET", Expect::Ok, &["MTSET", KEY, &value, MTIME])
                .against("SET")
                .rival("Lua write")
                .in_both_storages(),
        ),
    ];
    arms.into_iter()
        .filter(|(needs, _)| *needs == Range::Core || range == Range::Wide)
        .map(|(_, arm)| arm.random(keys))
        .collect()
}

/// Reads of which so many per cent find their key not modified.
pub(crate) fn shares(keys: usize, not_modified_percent: usize, scripts: &Scripts) -> Vec<Arm> {
    let since = since_for(not_modified_percent);
    let share = Expect::Share { not_modified_percent };
    let get = Arm::new("GET", Expect::Value, &["GET", KEY]);
    vec![
        // The keys that the others say nothing about: the same line of a chart.
        Arm { not_modified_percent, ..get },
        Arm::new("Lua read", share, &["EVALSHA", &scripts.read, "1", KEY, &since]).against("GET"),
        Arm::new("MTGET", share, &["MTGET", KEY, &since]).against("GET").rival("Lua read").in_both_storages(),
    ]
    .into_iter()
    .map(|arm| arm.random(keys))
    .collect()
}

/// Replies with the mtime, and many keys at once.
pub(crate) fn batch(keys: usize) -> Vec<Arm> {
    let mtget = |name, modified: bool| {
        let expect = if modified { Expect::Value } else { Expect::Null };
        Arm::new(name, expect, &["MTGET", KEY, if modified { BEFORE } else { AFTER }]).in_both_storages()
    };
    let with_mtime = |name, modified: bool| {
        let since = if modified { BEFORE } else { AFTER };
        Arm::new(name, Expect::WithMtime { modified }, &["MTGET", KEY, since, "WITHMTIME"]).in_both_storages()
    };
    let many = |name, expect, command: &str, arguments: &[&str]| {
        let command = [&[command], [arguments; BATCH].concat().as_slice()].concat();
        Arm { keys_a_request: BATCH, ..Arm::new(name, expect, &command) }.pipeline(1)
    };
    let mtmget = |name, modified: bool| {
        let since = if modified { BEFORE } else { AFTER };
        many(name, Expect::WithMtimes { modified }, "MTMGET", &[KEY, since]).in_both_storages()
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
        many("MGET of 100", Expect::Values, "MGET", &[KEY]).against("100 pipelined MTGET, modified"),
    ]
    .into_iter()
    .map(|arm| arm.random(keys))
    .collect()
}

/// Each command without the module, with it, and with it told to leave foreign writes alone. `in_order`: how many keys
/// the commands get that work on a key once only; too few and the time is too short to measure.
pub(crate) fn foreign(dataset: &Dataset, in_order: Option<usize>) -> Vec<Arm> {
    let value = dataset.value();
    let variants = |arm: Arm, names: [&str; 3], baseline: &'static str| {
        let named = |name: &str| Arm { name: name.to_owned(), ..arm.clone() };
        [
            named(names[0]).plain(),
            named(names[1]).against(baseline).in_both_storages(),
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
    let overwrite = ["SET", KEY, &value];
    let track = ["MTSET", KEY, &value, MTIME];
    let drops = |name, expect, command: &[&str]| Arm {
        drops: true,
        ..Arm::new(name, expect, command).in_order(&track, keys).in_both_storages()
    };
    arms.extend([
        Arm::new("SET in order, no module", Expect::Ok, &overwrite).in_order(&overwrite, keys).plain(),
        drops("SET, drops an entry", Expect::Ok, &overwrite).against("SET in order, no module"),
        drops("DEL, drops an entry", Expect::Integer, &["DEL", KEY]).against("DEL, no module"),
    ]);
    arms
}

/// Each command on a server alone and on a cluster node; also core ones, which cost more there without our doing. Reads also
/// one at a time, as most clients send them.
pub(crate) fn cluster(dataset: &Dataset) -> Vec<Arm> {
    let value = dataset.value();
    let both = |names: [&str; 2], expect, command: &[&str], keys| {
        let arm = |name: &str| Arm::new(name, expect, command).random(keys);
        [arm(names[0]), arm(names[1]).in_cluster().against(names[0])]
    };
    [
        both(["GET", "GET, cluster"], Expect::Value, &["GET", KEY], dataset.index),
        both(
            ["GET, alone in flight", "GET, alone in flight, cluster"],
            Expect::Value,
            &["GET", KEY],
            dataset.index,
        )
        .map(|arm| arm.pipeline(1)),
        both(
            ["MTGET, modified, alone in flight", "MTGET, modified, alone in flight, cluster"],
            Expect::Value,
            &["MTGET", KEY, BEFORE],
            dataset.index,
        )
        .map(|arm| arm.pipeline(1)),
        both(
            ["MTGET, not modified, alone in flight", "MTGET, not modified, alone in flight, cluster"],
            Expect::Null,
            &["MTGET", KEY, AFTER],
            dataset.index,
        )
        .map(|arm| arm.pipeline(1)),
        both(
            ["MTGET, modified", "MTGET, modified, cluster"],
            Expect::Value,
            &["MTGET", KEY, BEFORE],
            dataset.index,
        ),
        both(
            ["MTGET, not modified", "MTGET, not modified, cluster"],
            Expect::Null,
            &["MTGET", KEY, AFTER],
            dataset.index,
        ),
        // Only over keys that hold this value, so that all servers keep the same.
        both(["MTSET", "MTSET, cluster"], Expect::Ok, &["MTSET", KEY, &value, MTIME], dataset.large),
        both(
            ["SET, untracked key", "SET, untracked key, cluster"],
            Expect::Ok,
            &["SET", "plain:__rand_int__", &value],
            dataset.untracked,
        ),
    ]
    .concat()
}
