//! Every command of the server that can write is run against tracked keys: what changes, replaces, creates, moves or
//! removes a value drops its entry, and nothing else does. The server itself is asked which commands there are, and
//! one that [`TABLE`] does not know fails the test: a later server cannot slip one in.

use crate::support::aof::{AOF, Stream};
use crate::support::client::{
    Args, Client, Reply, array, bulk, call, int, modified, nil, not_modified, show, untracked,
};
use crate::support::dataset::{INDEX, digest, index_entries};
use crate::support::errors::WRONG_TYPE;
use crate::support::server::Server;
use crate::support::storage::{has_no_index, is_keymeta, spartan, wait_until_known};
use crate::support::wait;
use std::collections::{BTreeMap, BTreeSet};

/// `command | outcome | more to prepare | what is run`. Commands are separated by `;`, `"..."` holds blanks.
///
/// Before each line two databases are filled: see [`PREPARED`]. A command may be followed by the first Redis and Valkey that
/// know this form of it, `-` for none.
///
/// Outcomes: `drops KEY...` (`>KEY` is in the second database), `keeps` (every entry stays), `refused TEXT` (an error
/// with that text, every entry stays), or why the command cannot touch a string: it is for another type, which must
/// then be a WRONGTYPE error, or not about keys at all (`functions`, `clusters`).
const TABLE: &str = r#"
append                | drops k        |                   | APPEND k x
append                | drops ghost    |                   | APPEND ghost x
bitfield              | drops k        |                   | BITFIELD k SET u8 0 1
bitfield              | drops k        |                   | BITFIELD k INCRBY u8 0 1 GET u8 0
bitfield              | keeps          |                   | BITFIELD k GET u8 0
bitop                 | drops k        |                   | BITOP AND k other src
bitop                 | drops k        |                   | BITOP NOT k k
bitop                 | drops k        |                   | BITOP OR k nosuch
bitop                 | drops ghost    |                   | BITOP XOR ghost k src
bitop (8.2, -)        | drops k        |                   | BITOP DIFF k other src
blmove                | lists          |                   | BLMOVE k list LEFT LEFT 1
blmove                | lists          |                   | BLMOVE list k LEFT RIGHT 1
blmpop                | lists          |                   | BLMPOP 1 1 k LEFT
blpop                 | lists          |                   | BLPOP k 1
brpop                 | lists          |                   | BRPOP k 1
brpoplpush            | lists          |                   | BRPOPLPUSH k list 1
brpoplpush            | lists          |                   | BRPOPLPUSH list k 1
bzmpop                | zsets          |                   | BZMPOP 1 1 k MIN
bzpopmax              | zsets          |                   | BZPOPMAX k 1
bzpopmin              | zsets          |                   | BZPOPMIN k 1
cluster|flushslot     | clusters       |                   | CLUSTER FLUSHSLOT 1
copy                  | keeps          |                   | COPY k new
copy                  | keeps          |                   | COPY src other
copy                  | drops k        |                   | COPY src k REPLACE
copy                  | drops k        |                   | COPY other k REPLACE
copy                  | drops k        |                   | COPY list k REPLACE
copy                  | drops ghost    |                   | COPY k ghost
copy                  | drops >k       |                   | COPY k k DB {b}
copy                  | drops >other   |                   | COPY k other DB {b} REPLACE
copy                  | keeps          |                   | COPY k other DB {b}
decr                  | drops k        | MTSET k 10 100    | DECR k
decrby                | drops k        | MTSET k 10 100    | DECRBY k 5
del                   | drops k        |                   | DEL k
del                   | drops k other  |                   | DEL k nosuch other
del                   | drops k        |                   | DEL k k
del                   | keeps          |                   | DEL nosuch src
delex                 | drops k        |                   | DELEX k
delex                 | drops k        |                   | DELEX k IFEQ value
delex                 | drops k        |                   | DELEX k IFNE wrong
delex                 | keeps          |                   | DELEX k IFEQ wrong
delex                 | keeps          |                   | DELEX k IFNE value
delifeq               | drops k        |                   | DELIFEQ k value
delifeq               | keeps          |                   | DELIFEQ k wrong
eval                  | drops k        |                   | EVAL "return redis.call('SET', KEYS[1], 'w')" 1 k
eval                  | drops k other  |                   | EVAL "redis.call('DEL', KEYS[1]) return redis.call('APPEND', KEYS[2], 'w')" 2 k other
eval                  | keeps          |                   | EVAL "return redis.call('GET', KEYS[1])" 1 k
eval                  | drops >other   |                   | EVAL "return redis.call('COPY', 'k', 'other', 'DB', ARGV[1], 'REPLACE')" 0 {b}
eval                  | drops k >k     |                   | EVAL "return redis.call('MOVE', 'k', ARGV[1])" 0 {b}
evalsha               | drops k        |                   | EVALSHA {sha} 1 k
exec                  | drops k        |                   | MULTI ; SET k w ; EXEC
exec                  | drops k other  |                   | MULTI ; INCR n ; RENAME k other ; EXEC
exec                  | keeps          |                   | MULTI ; GET k ; EXEC
exec                  | drops >other   |                   | MULTI ; COPY k other DB {b} REPLACE ; EXEC
exec                  | drops k >k     |                   | MULTI ; MOVE k {b} ; EXEC
exec                  | drops >other k |                   | MULTI ; SELECT {b} ; SET other w ; SELECT {a} ; SET k w ; EXEC
expire                | keeps          |                   | EXPIRE k 1000
expire                | keeps          | EXPIRE k 1000     | EXPIRE k 2000 GT ; EXPIRE k 3000 XX ; EXPIRE k 1000 LT ; EXPIRE k 1 NX
expire                | drops k        |                   | EXPIRE k 0
expire                | drops k        |                   | EXPIRE k -1
expireat              | keeps          |                   | EXPIREAT k 4102444800
expireat              | drops k        |                   | EXPIREAT k 1
fcall                 | drops k        | FUNCTION LOAD REPLACE {library} | FCALL put 1 k w
fcall                 | keeps          | FUNCTION LOAD REPLACE {library} | FCALL look 1 k
function|delete       | functions      | FUNCTION LOAD REPLACE {library} | FUNCTION DELETE foreign
function|flush        | functions      |                   | FUNCTION FLUSH
function|load         | functions      | FUNCTION FLUSH    | FUNCTION LOAD {library}
function|restore      | functions      |                   | FUNCTION RESTORE {functions} FLUSH
geoadd                | zsets          |                   | GEOADD k 1 1 m
georadius             | drops k        |                   | GEORADIUS geo 1 1 200 km STORE k
georadius             | drops k        |                   | GEORADIUS geo 1 1 200 km STOREDIST k
georadius             | drops k        |                   | GEORADIUS geo 90 45 1 m STORE k
georadius             | drops k        |                   | GEORADIUS nosuch 1 1 200 km STORE k
georadiusbymember     | drops k        |                   | GEORADIUSBYMEMBER geo m 200 km STORE k
georadiusbymember     | drops k        |                   | GEORADIUSBYMEMBER nosuch m 200 km STORE k
geosearchstore        | drops k        |                   | GEOSEARCHSTORE k geo FROMLONLAT 1 1 BYRADIUS 200 km
geosearchstore        | drops k        |                   | GEOSEARCHSTORE k geo FROMLONLAT 1 1 BYBOX 9 9 km STOREDIST
geosearchstore        | drops k        |                   | GEOSEARCHSTORE k geo FROMLONLAT 90 45 BYRADIUS 1 m
geosearchstore        | drops k        |                   | GEOSEARCHSTORE k nosuch FROMLONLAT 1 1 BYRADIUS 200 km
getdel                | drops k        |                   | GETDEL k
getex                 | keeps          |                   | GETEX k
getex                 | keeps          |                   | GETEX k EX 1000
getex                 | keeps          |                   | GETEX k PX 1000000
getex                 | keeps          |                   | GETEX k EXAT 4102444800
getex                 | keeps          |                   | GETEX k PXAT 4102444800000
getex                 | keeps          | EXPIRE k 1000     | GETEX k PERSIST
getex                 | drops k        |                   | GETEX k EXAT 1
getex                 | drops k        |                   | GETEX k PXAT 1
getset                | drops k        |                   | GETSET k w
getset                | drops ghost    |                   | GETSET ghost w
hdel                  | hashes         |                   | HDEL k f
hexpire               | hashes         |                   | HEXPIRE k 100 FIELDS 1 f
hexpireat             | hashes         |                   | HEXPIREAT k 4102444800 FIELDS 1 f
hgetdel               | hashes         |                   | HGETDEL k FIELDS 1 f
hgetex                | hashes         |                   | HGETEX k EX 100 FIELDS 1 f
hincrby               | hashes         |                   | HINCRBY k f 1
hincrbyfloat          | hashes         |                   | HINCRBYFLOAT k f 1
hmset                 | hashes         |                   | HMSET k f v
hpersist              | hashes         |                   | HPERSIST k FIELDS 1 f
hpexpire              | hashes         |                   | HPEXPIRE k 100 FIELDS 1 f
hpexpireat            | hashes         |                   | HPEXPIREAT k 4102444800000 FIELDS 1 f
hset                  | hashes         |                   | HSET k f v
hsetex                | hashes         |                   | HSETEX k EX 100 FIELDS 1 f v
hsetnx                | hashes         |                   | HSETNX k f v
incr                  | drops k        | MTSET k 10 100    | INCR k
incr                  | refused not an integer |           | INCR k
incrby                | drops k        | MTSET k 10 100    | INCRBY k 5
incrby                | drops k        | MTSET k 10 100    | INCRBY k 0
incrby                | drops ghost    |                   | INCRBY ghost 5
incrbyfloat           | drops k        | MTSET k 10 100    | INCRBYFLOAT k 0.5
linsert               | lists          |                   | LINSERT k BEFORE a b
lmove                 | lists          |                   | LMOVE k list LEFT LEFT
lmove                 | lists          |                   | LMOVE list k LEFT LEFT
lmpop                 | lists          |                   | LMPOP 1 k LEFT
lpop                  | lists          |                   | LPOP k
lpush                 | lists          |                   | LPUSH k a
lpushx                | lists          |                   | LPUSHX k a
lrem                  | lists          |                   | LREM k 0 a
lset                  | lists          |                   | LSET k 0 a
ltrim                 | lists          |                   | LTRIM k 0 0
migrate               | drops k        |                   | MIGRATE 127.0.0.1 {port} k 0 30000 REPLACE
migrate               | keeps          |                   | MIGRATE 127.0.0.1 {port} k 0 30000 COPY REPLACE
migrate               | drops k other  |                   | MIGRATE 127.0.0.1 {port} "" 0 30000 REPLACE KEYS k nosuch other
move                  | drops k >k     |                   | MOVE k {b}
move                  | keeps          |                   | MOVE other {b}
mset                  | drops k other  |                   | MSET k v src w other x
mset                  | drops ghost    |                   | MSET ghost v
msetex                | drops k other  |                   | MSETEX 2 k v other w
msetex                | drops k other  |                   | MSETEX 2 k v other w XX EX 1000
msetex                | drops k        | EXPIRE k 1000     | MSETEX 1 k v KEEPTTL
msetex                | keeps          |                   | MSETEX 2 new v k v NX
msetex                | keeps          |                   | MSETEX 2 k v new v XX
msetnx                | keeps          |                   | MSETNX new v k v
msetnx                | drops ghost    |                   | MSETNX new v ghost v
persist               | keeps          | EXPIRE k 1000     | PERSIST k
pexpire               | keeps          |                   | PEXPIRE k 1000000
pexpire               | drops k        |                   | PEXPIRE k 0
pexpireat             | keeps          |                   | PEXPIREAT k 4102444800000
pexpireat             | drops k        |                   | PEXPIREAT k 1
pfadd                 | drops k        | DEL k ; PFADD k a ; MTTOUCH k 100 | PFADD k b
pfadd                 | keeps          | DEL k ; PFADD k a ; MTTOUCH k 100 | PFADD k a
pfadd                 | drops ghost    |                   | PFADD ghost a
pfadd                 | refused WRONGTYPE |                | PFADD k a
# Counting caches the count in the bytes of the string, and PFDEBUG changes how the same set is represented. Both say
# nothing about it to anybody; to the server PFCOUNT is a read.
pfcount               | keeps          | DEL k ; PFADD k a ; MTTOUCH k 100 | PFCOUNT k
pfcount               | keeps          | DEL k ; PFADD k a ; MTTOUCH k 100 | PFCOUNT k hll
pfdebug               | keeps          | DEL k ; PFADD k a ; MTTOUCH k 100 | PFDEBUG GETREG k
pfdebug               | keeps          | DEL k ; PFADD k a ; MTTOUCH k 100 | PFDEBUG TODENSE k
pfmerge               | drops k        | DEL k ; PFADD k a ; MTTOUCH k 100 | PFMERGE k hll
pfmerge               | drops ghost    |                   | PFMERGE ghost hll
pfmerge               | refused WRONGTYPE |                | PFMERGE k hll
psetex                | drops k        |                   | PSETEX k 1000000 v
rename                | drops k        |                   | RENAME k new
rename                | drops k        |                   | RENAME src k
rename                | drops k other  |                   | RENAME other k
rename                | drops k ghost  |                   | RENAME k ghost
rename                | drops k        |                   | RENAME list k
rename                | keeps          |                   | RENAME k k
renamenx              | drops k        |                   | RENAMENX k new
renamenx              | drops k ghost  |                   | RENAMENX k ghost
renamenx              | keeps          |                   | RENAMENX k other
restore               | drops k        |                   | RESTORE k 0 {dump} REPLACE
restore               | drops k        |                   | RESTORE k 1000000 {dump} REPLACE
restore               | drops k        |                   | RESTORE k 4102444800000 {dump} REPLACE ABSTTL FREQ 5
restore               | drops k        |                   | RESTORE k 1 {dump} REPLACE ABSTTL
restore               | drops ghost    |                   | RESTORE ghost 0 {dump}
restore               | refused BUSYKEY |                  | RESTORE k 0 {dump}
restore-asking        | drops k        |                   | RESTORE-ASKING k 0 {dump} REPLACE
restore-asking        | refused BUSYKEY |                  | RESTORE-ASKING k 0 {dump}
rpop                  | lists          |                   | RPOP k
rpoplpush             | lists          |                   | RPOPLPUSH k list
rpoplpush             | lists          |                   | RPOPLPUSH list k
rpush                 | lists          |                   | RPUSH k a
rpushx                | lists          |                   | RPUSHX k a
sadd                  | sets           |                   | SADD k a
sdiffstore            | drops k        |                   | SDIFFSTORE k set nosuch
sdiffstore            | drops k        |                   | SDIFFSTORE k set set
sdiffstore            | drops k        |                   | SDIFFSTORE k nosuch
set                   | drops k        |                   | SET k v
set                   | drops k        |                   | SET k value
set                   | drops ghost    |                   | SET ghost v
set                   | drops k        |                   | SET k v XX
set                   | drops k        |                   | SET k v GET
set                   | drops k        |                   | SET k v XX GET
set                   | drops k        |                   | SET k v EX 1000
set                   | drops k        |                   | SET k v PX 1000000 GET
set                   | drops k        |                   | SET k v EXAT 4102444800
set                   | drops k        |                   | SET k v PXAT 4102444800000 XX
set                   | drops k        |                   | SET k v EXAT 1
set                   | drops k        |                   | SET k v PXAT 1 GET
set                   | drops k        | EXPIRE k 1000     | SET k v KEEPTTL
set                   | drops k        | EXPIRE k 1000     | SET k v XX KEEPTTL GET
set                   | keeps          |                   | SET k v NX
set                   | keeps          |                   | SET k v NX GET
set                   | drops ghost    |                   | SET ghost v NX
set                   | keeps          |                   | SET ghost v XX
set                   | keeps          |                   | SET new v NX
set (8.4, 8.1)        | drops k        |                   | SET k v IFEQ value
set (8.4, 8.1)        | drops k        |                   | SET k v IFEQ value GET
set (8.4, 8.1)        | keeps          |                   | SET k v IFEQ wrong
set (8.4, -)          | drops k        |                   | SET k v IFNE wrong
set (8.4, -)          | keeps          |                   | SET k v IFNE value
setbit                | drops k        |                   | SETBIT k 1 0
setbit                | drops ghost    |                   | SETBIT ghost 1 1
setex                 | drops k        |                   | SETEX k 1000 v
setnx                 | keeps          |                   | SETNX k v
setnx                 | drops ghost    |                   | SETNX ghost v
setrange              | drops k        |                   | SETRANGE k 1 x
setrange              | drops k        |                   | SETRANGE k 100 x
setrange              | drops ghost    |                   | SETRANGE ghost 1 x
setrange              | keeps          |                   | SETRANGE k 0 ""
sinterstore           | drops k        |                   | SINTERSTORE k set set
sinterstore           | drops k        |                   | SINTERSTORE k set nosuch
smove                 | sets           |                   | SMOVE k set a
smove                 | sets           |                   | SMOVE set k a
sort                  | drops k        |                   | SORT list STORE k
sort                  | drops k        |                   | SORT list BY nosort LIMIT 0 1 STORE k
sort                  | drops k        |                   | SORT nosuch STORE k
sort                  | lists          |                   | SORT k STORE new
spop                  | sets           |                   | SPOP k
srem                  | sets           |                   | SREM k a
sunionstore           | drops k        |                   | SUNIONSTORE k set nosuch
sunionstore           | drops k        |                   | SUNIONSTORE k nosuch
sunionstore           | sets           |                   | SUNIONSTORE new k
trimslots             | clusters       |                   | TRIMSLOTS RANGES 1 0 1
unlink                | drops k        |                   | UNLINK k
unlink                | drops k other  |                   | UNLINK k nosuch other
vadd                  | vectors        |                   | VADD k VALUES 1 1 e
vrem                  | vectors        |                   | VREM k e
vsetattr              | vectors        |                   | VSETATTR k e "{}"
xack                  | streams        |                   | XACK k g 1-1
xackdel               | streams        |                   | XACKDEL k g IDS 1 1-1
xadd                  | streams        |                   | XADD k * f v
xautoclaim            | streams        |                   | XAUTOCLAIM k g c 0 0
xcfgset               | streams        |                   | XCFGSET k IDMP-MAXSIZE 10
xclaim                | streams        |                   | XCLAIM k g c 0 1-1
xdel                  | streams        |                   | XDEL k 1-1
xdelex                | streams        |                   | XDELEX k IDS 1 1-1
xgroup|create         | streams        |                   | XGROUP CREATE k g $
xgroup|createconsumer | streams        |                   | XGROUP CREATECONSUMER k g c
xgroup|delconsumer    | streams        |                   | XGROUP DELCONSUMER k g c
xgroup|destroy        | streams        |                   | XGROUP DESTROY k g
xgroup|setid          | streams        |                   | XGROUP SETID k g $
xidmprecord           | streams        |                   | XIDMPRECORD k p i 1-1
xreadgroup            | streams        |                   | XREADGROUP GROUP g c STREAMS k >
xsetid                | streams        |                   | XSETID k 1-1
xtrim                 | streams        |                   | XTRIM k MAXLEN 1
zadd                  | zsets          |                   | ZADD k 1 m
zdiffstore            | drops k        |                   | ZDIFFSTORE k 1 zset
zdiffstore            | drops k        |                   | ZDIFFSTORE k 2 zset zset
zincrby               | zsets          |                   | ZINCRBY k 1 m
zinterstore           | drops k        |                   | ZINTERSTORE k 2 zset zset
zinterstore           | drops k        |                   | ZINTERSTORE k 2 zset nosuch
zmpop                 | zsets          |                   | ZMPOP 1 k MIN
zpopmax               | zsets          |                   | ZPOPMAX k
zpopmin               | zsets          |                   | ZPOPMIN k
zrangestore           | drops k        |                   | ZRANGESTORE k zset 0 -1
zrangestore           | drops k        |                   | ZRANGESTORE k zset (8 9 BYSCORE
zrangestore           | drops k        |                   | ZRANGESTORE k nosuch 0 -1
zrem                  | zsets          |                   | ZREM k m
zremrangebylex        | zsets          |                   | ZREMRANGEBYLEX k - +
zremrangebyrank       | zsets          |                   | ZREMRANGEBYRANK k 0 -1
zremrangebyscore      | zsets          |                   | ZREMRANGEBYSCORE k 0 1
zunionstore           | drops k        |                   | ZUNIONSTORE k 1 zset
zunionstore           | drops k        |                   | ZUNIONSTORE k 1 nosuch
"#;

/// What both databases hold before each line of the table.
///
/// `ghost`, and `k` in the second database, have an entry but no value: whoever creates them must not inherit it.
const PREPARED: [&str; 2] = [
    "MTSET k value 100 ; MTSET other value 100 ; HSET MY_KEYSMTIME ghost 100 ; SET src plain ; RPUSH list 2 1 ; SADD set a ; \
     ZADD zset 1 m ; GEOADD geo 1 1 m ; PFADD hll z",
    "MTSET other value 100 ; HSET MY_KEYSMTIME k 100",
];

/// Commands that replace whole databases together with their indexes: [`flushing_takes_the_index_along`],
/// [`swapping_takes_the_index_along`].
const WHOLE_DATABASES: [&str; 3] = ["flushall", "flushdb", "swapdb"];

/// Commands about data that neither write nor count as reads, and what they are about.
const HARMLESS: [(&str, &str); 26] = [
    ("discard", "transactions"),
    ("function|dump", "functions"),
    ("function|help", "functions"),
    ("function|kill", "functions"),
    ("function|list", "functions"),
    ("function|stats", "functions"),
    ("multi", "transactions"),
    ("object|help", "help"),
    ("pfselftest", "itself"),
    ("script|debug", "scripts"),
    ("script|exists", "scripts"),
    ("script|flush", "scripts"),
    ("script|help", "scripts"),
    ("script|kill", "scripts"),
    ("script|load", "scripts"),
    ("script|show", "scripts"),
    ("unwatch", "transactions"),
    ("wait", "replicas"),
    ("waitaof", "replicas"),
    ("watch", "transactions"),
    ("xgroup|help", "help"),
    ("xinfo|help", "help"),
    // What they run is in the table.
    ("eval", "scripts"),
    ("evalsha", "scripts"),
    ("exec", "transactions"),
    ("fcall", "functions"),
];

/// Groups whose commands are about the server. Those that are flagged as writes are not exempt.
const NOT_ABOUT_DATA: [&str; 5] = ["cluster", "connection", "pubsub", "sentinel", "server"];

const LIBRARY: &str = "#!lua name=foreign
redis.register_function('put', function(keys, args) return redis.call('SET', keys[1], args[1]) end)
redis.register_function{function_name='look', flags={'no-writes'}, callback=function(keys) return redis.call('GET', keys[1]) end}";

/// A time that a reader has from before, and later ones.
const OLD_TIMES: [&str; 3] = ["100", "101", "1e300"];

struct Recipe {
    number: usize,
    line: &'static str,
    command: &'static str,
    /// The first Redis and Valkey that know the form; `None` for none.
    versions: Option<[Option<(u32, u32)>; 2]>,
    outcome: Outcome,
    prepare: &'static str,
    run: &'static str,
}

#[derive(PartialEq)]
enum Outcome {
    /// The entries of these keys go; `true` is the second database.
    Drops(Vec<(bool, &'static str)>),
    Keeps,
    Refused(&'static str),
}

fn recipes() -> Vec<Recipe> {
    TABLE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .enumerate()
        .map(|(number, line)| {
            let columns: Vec<&str> = line.split(" | ").map(str::trim).collect();
            let [command, outcome, prepare, run] = columns[..] else { panic!("four columns: {line}") };
            let (command, versions) = match command.split_once(" (") {
                Some((command, versions)) => (command, Some(parse_versions(versions))),
                None => (command, None),
            };
            let outcome = parse_outcome(outcome);
            Recipe { number, line, command, versions, outcome, prepare, run }
        })
        .collect()
}

fn parse_outcome(text: &'static str) -> Outcome {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match word {
        "drops" => Outcome::Drops(
            rest.split(' ')
                .map(|key| match key.strip_prefix('>') {
                    Some(key) => (true, key),
                    None => (false, key),
                })
                .collect(),
        ),
        "keeps" | "functions" => Outcome::Keeps,
        "refused" => Outcome::Refused(rest),
        "lists" | "sets" | "zsets" | "hashes" | "streams" | "vectors" => Outcome::Refused("WRONGTYPE"),
        "clusters" => Outcome::Refused("cluster support disabled"),
        other => panic!("no outcome: {other}"),
    }
}

fn parse_versions(text: &str) -> [Option<(u32, u32)>; 2] {
    let (redis, valkey) = text.trim_end_matches(')').split_once(", ").expect("two versions");
    [redis, valkey].map(|version| {
        let (major, minor) = version.split_once('.')?;
        Some((major.parse().expect("a number"), minor.parse().expect("a number")))
    })
}

/// Splits at blanks, except between double quotes.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (i, part) in line.split('"').enumerate() {
        if i % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_ascii_whitespace().map(str::to_owned));
        }
    }
    words
}

/// The servers that a line of the table is run on.
struct Rig {
    master: Server,
    /// With the module and without.
    replicas: [Server; 2],
    /// Where MIGRATE goes.
    elsewhere: Server,
    sha: String,
}

const DATABASES: &str = "databases 2000";
/// So that moments of peace are short.
const QUICK: &str = "hz 500";

impl Rig {
    fn start() -> Self {
        let builder = || Server::builder().with(&[DATABASES, QUICK]);
        let master = builder().with(AOF).tcp().start();
        let replicas = [builder(), spartan(builder())].map(|replica| Server::replica_of(&master, replica));
        let elsewhere = Server::builder().without_module().tcp().start();
        let sha =
            call!(master.client(), "SCRIPT", "LOAD", "return redis.call('SET', KEYS[1], 'w')").into_text();
        Self { master, replicas, elsewhere, sha }
    }

    /// The commands of a line, with what only the servers know filled in.
    fn commands(&self, client: &mut Client, recipe: &Recipe, lines: &str) -> Vec<Args> {
        let mut filled = |word: String| match word.as_str() {
            "{a}" => recipe.databases()[0].to_string().into_bytes(),
            "{b}" => recipe.databases()[1].to_string().into_bytes(),
            "{port}" => self.elsewhere.port().to_string().into_bytes(),
            "{sha}" => self.sha.clone().into_bytes(),
            "{library}" => LIBRARY.as_bytes().to_vec(),
            "{dump}" => client.run("DUMP src").into_bytes(),
            "{functions}" => client.run("FUNCTION DUMP").into_bytes(),
            _ => word.into_bytes(),
        };
        let commands = lines.split(';').map(|line| split(line).into_iter().map(&mut filled).collect());
        commands.filter(|command: &Args| !command.is_empty()).collect()
    }

    /// Waits until both replicas have what `client` has caused.
    fn sync(&self, client: &mut Client) {
        assert_eq!(call!(client, "WAIT", 2, 30_000), int(2), "replicas that follow");
    }
}

impl Recipe {
    /// Each line of the table has two databases of its own, so that all of them can be looked at again at the end.
    fn databases(&self) -> [usize; 2] {
        [2 * self.number + 1, 2 * self.number + 2]
    }

    fn is_known_to(&self, server: &Server) -> bool {
        let mut client = server.client();
        let form = match self.versions {
            None => true,
            Some([redis, valkey]) => {
                const NEVER: (u32, u32) = (u32::MAX, 0);
                server.has(self.run, redis.unwrap_or(NEVER), valkey.unwrap_or(NEVER))
            }
        };
        form && call!(client, "COMMAND", "INFO", self.command) != array([nil()])
    }
}

/// Key, database and entry: everything that the indexes of a line's two databases hold.
type Entries = BTreeMap<(usize, String), String>;

fn entries(client: &mut Client, databases: [usize; 2]) -> Entries {
    let mut all = BTreeMap::new();
    for database in databases {
        call!(client, "SELECT", database);
        all.extend(index_entries(client).into_iter().map(|(key, mtime)| ((database, key), mtime)));
    }
    all
}

/// What a line of the table must leave behind, on every server.
struct Expected<'a> {
    recipe: &'a Recipe,
    /// Every key that had an entry.
    before: Entries,
    after: Entries,
}

impl Expected<'_> {
    #[track_caller]
    fn check(&self, client: &mut Client, place: &str) {
        let line = self.recipe.line;
        assert_eq!(entries(client, self.recipe.databases()), self.after, "the index, {place}: {line}");
        for (database, key) in self.before.keys() {
            call!(client, "SELECT", database);
            let is_tracked = self.after.contains_key(&(*database, key.clone()));
            check_reads(client, key, is_tracked, &format!("{key} in {database}, {place}: {line}"));
        }
    }
}

/// What reads say of a key whose entry, if there is one, is 100.
#[track_caller]
fn check_reads(client: &mut Client, key: &str, is_tracked: bool, what: &str) {
    let kind = call!(client, "TYPE", key).into_text();
    let get = |client: &mut Client, since: &str| call!(client, "MTGET", key, since);
    let get_with_mtime = |client: &mut Client, since: &str| call!(client, "MTGET", key, since, "WITHMTIME");
    let mtime = call!(client, "MTTIME", key);
    match (kind.as_str(), is_tracked) {
        ("string", true) => {
            let value = call!(client, "GET", key).into_bytes();
            assert_eq!(mtime, bulk("100"), "{what}");
            assert_eq!(get(client, "99"), bulk(&value), "{what}");
            assert_eq!(get(client, "100"), nil(), "{what}");
            assert_eq!(get_with_mtime(client, "99"), modified("100", &value), "{what}");
            assert_eq!(get_with_mtime(client, "100"), not_modified("100"), "{what}");
        }
        ("string", false) => {
            let value = call!(client, "GET", key).into_bytes();
            assert_eq!(mtime, nil(), "{what}");
            for since in OLD_TIMES {
                assert_eq!(get(client, since), bulk(&value), "{what}");
                assert_eq!(get_with_mtime(client, since), untracked(&value), "{what}");
            }
        }
        ("none", _) => {
            assert_eq!(mtime, nil(), "{what}");
            for since in OLD_TIMES {
                assert_eq!(get_with_mtime(client, since), nil(), "{what}");
            }
        }
        (_, false) => {
            assert_eq!(mtime, Reply::Error(WRONG_TYPE.to_owned()), "{what}");
            assert_eq!(get(client, "100"), Reply::Error(WRONG_TYPE.to_owned()), "{what}");
        }
        (_, true) => panic!("a {kind} with an entry: {what}"),
    }
}

/// Runs the commands and demands no error, not even inside a transaction.
#[track_caller]
fn run_all(client: &mut Client, commands: &[Args], what: &str) {
    for command in commands {
        let reply = client.call(command);
        let failed = match &reply {
            Reply::Array(items) => items.iter().any(Reply::is_error),
            other => other.is_error(),
        };
        assert!(!failed, "{}: {reply:?} ({what})", show(command));
    }
}

fn run_recipe<'a>(
    rig: &Rig,
    client: &mut Client,
    stream: &mut Stream<'_>,
    recipe: &'a Recipe,
) -> Expected<'a> {
    for (database, lines) in recipe.databases().into_iter().zip(PREPARED).rev() {
        call!(client, "SELECT", database);
        let mut commands = rig.commands(client, recipe, lines);
        if is_keymeta() {
            commands.retain(|command| command[0] != b"HSET");
        }
        run_all(client, &commands, recipe.line);
    }
    let commands = rig.commands(client, recipe, recipe.prepare);
    run_all(client, &commands, recipe.line);

    let before = entries(client, recipe.databases());
    call!(client, "SELECT", recipe.databases()[0]);
    let commands = rig.commands(client, recipe, recipe.run);
    wait_until_known(client);
    stream.take();
    let mut after = before.clone();
    match &recipe.outcome {
        Outcome::Keeps => run_all(client, &commands, recipe.line),
        Outcome::Refused(text) => {
            let reply = client.call(&commands[0]);
            assert!(
                matches!(&reply, Reply::Error(line) if line.contains(text)),
                "{}: {reply:?}",
                recipe.line
            );
        }
        Outcome::Drops(keys) => {
            run_all(client, &commands, recipe.line);
            for (elsewhere, key) in keys {
                let database = recipe.databases()[usize::from(*elsewhere)];
                let dropped = after.remove(&(database, (*key).to_owned()));
                // Where there is no index, there is no entry without its key.
                assert!(dropped.is_some() || is_keymeta(), "an entry to drop");
            }
        }
    }
    // Metadata go without a word in the stream.
    let told = if is_keymeta() { 0 } else { before.len() - after.len() };
    check_stream(&stream.take(), told, recipe.line);
    Expected { recipe, before, after }
}

/// As many entries were dropped in the stream, each in one transaction with the write that caused it.
#[track_caller]
fn check_stream(stream: &[String], dropped: usize, what: &str) {
    let is_drop = |line: &String| line.starts_with(&format!("HDEL {INDEX} "));
    assert_eq!(stream.iter().filter(|line| is_drop(line)).count(), dropped, "{what}: {stream:#?}");
    let mut units: Vec<Vec<&String>> = Vec::new();
    let mut is_open = false;
    for line in stream {
        match line.as_str() {
            "MULTI" => {
                is_open = true;
                units.push(Vec::new());
            }
            "EXEC" => is_open = false,
            _ if is_open => units.last_mut().expect("an open unit").push(line),
            _ => units.push(vec![line]),
        }
    }
    for unit in units {
        let drops = unit.iter().filter(|line| is_drop(line)).count();
        assert!(drops == 0 || drops < unit.len(), "{what}: dropped in a unit of its own: {stream:#?}");
    }
}

#[test]
fn every_command_drops_exactly_the_entries_of_the_values_it_changes() {
    let mut rig = Rig::start();
    let recipes = recipes();
    let mut client = rig.master.client();
    let mut expectations = Vec::new();
    {
        let mut stream = Stream::of(&rig.master);
        for recipe in recipes.iter().filter(|recipe| recipe.is_known_to(&rig.master)) {
            let expected = run_recipe(&rig, &mut client, &mut stream, recipe);
            expected.check(&mut client, "on the master");
            rig.sync(&mut client);
            let ours = digest(&mut client);
            for replica in &rig.replicas {
                assert_eq!(digest(&mut replica.client()), ours, "a replica's digest: {}", recipe.line);
            }
            expected.check(&mut rig.replicas[0].client(), "on the replica");
            expectations.push(expected);
        }
    }
    assert!(expectations.len() > 200, "most of the table applies to every server");

    let dropped: usize = expectations.iter().map(|e| e.before.len() - e.after.len()).sum();
    // Preparing a line drops entries too.
    let counted: usize =
        client.info("mtime", "mtime_foreign_writes_dropped").parse().expect("a counter is a number");
    assert!(counted >= dropped, "{counted} of {dropped}");
    assert_eq!(rig.replicas[0].client().info("mtime", "mtime_foreign_writes_dropped"), "0", "on the replica");

    let before = digest(&mut client);
    rig.master.restart();
    let mut client = rig.master.client();
    assert_eq!(digest(&mut client), before, "after a restart from the append-only file");
    for expected in &expectations {
        expected.check(&mut client, "after a restart");
    }
    assert_eq!(client.info("mtime", "mtime_foreign_writes_dropped"), "0", "while loading");
}

/// Every command and subcommand of the server but ours: name, flags, group.
fn commands_of(client: &mut Client) -> BTreeMap<String, (BTreeSet<String>, String)> {
    fn collect(
        info: &Reply,
        group: &str,
        exempt: &BTreeSet<String>,
        all: &mut BTreeMap<String, (BTreeSet<String>, String)>,
    ) {
        let fields = info.clone().into_items();
        let name = fields[0].clone().into_text().to_lowercase();
        if exempt.contains(&name) {
            return;
        }
        let flags = fields[2].clone().into_items().into_iter().map(Reply::into_text).collect();
        let subcommands = fields.get(9).cloned().map(Reply::into_items).unwrap_or_default();
        for subcommand in &subcommands {
            collect(subcommand, group, exempt, all);
        }
        // A container does nothing itself.
        if subcommands.is_empty() {
            all.insert(name, (flags, group.to_owned()));
        }
    }

    let ours = client.run("COMMAND LIST FILTERBY MODULE mtime").into_items();
    let ours: BTreeSet<String> = ours.into_iter().map(Reply::into_text).collect();
    assert!(ours.contains("mtget"), "{ours:?}");
    let docs = client.run("COMMAND DOCS");
    let groups: BTreeMap<String, String> = docs
        .into_pairs()
        .into_iter()
        .filter_map(|(name, doc)| Some((name.into_text().to_lowercase(), doc.field("group")?.into_text())))
        .collect();
    let mut all = BTreeMap::new();
    for info in client.run("COMMAND INFO").into_items() {
        let name = info.clone().into_items()[0].clone().into_text().to_lowercase();
        let group = groups.get(&name).map_or("no group", String::as_str);
        collect(&info, group, &ours, &mut all);
    }
    all
}

#[test]
fn the_table_knows_every_command_that_can_write() {
    let server = Server::start();
    let tested: BTreeSet<&str> =
        recipes().iter().map(|recipe| recipe.command).chain(WHOLE_DATABASES).collect();
    let harmless: BTreeSet<&str> = HARMLESS.iter().map(|(command, _)| *command).collect();
    let mut unknown = Vec::new();
    let mut writes = 0;
    for (command, (flags, group)) in commands_of(&mut server.client()) {
        if flags.contains("write") {
            writes += 1;
            if !tested.contains(command.as_str()) {
                unknown.push(format!("{command} ({group}) writes"));
            }
        } else if !flags.contains("readonly")
            && !NOT_ABOUT_DATA.contains(&group.as_str())
            && !tested.contains(command.as_str())
            && !harmless.contains(command.as_str())
        {
            unknown.push(format!("{command} ({group}) is neither a write nor a read"));
        }
    }
    assert!(writes > 100, "{writes} commands that write");
    assert!(unknown.is_empty(), "commands that this test has to learn: {unknown:#?}");
}

#[test]
fn flushing_takes_the_index_along() {
    if has_no_index("the index as a key") {
        return;
    }
    let mut master = Server::builder().with(AOF).tcp().start();
    let replicas =
        [Server::builder(), spartan(Server::builder())].map(|replica| Server::replica_of(&master, replica));
    let mut client = master.client();
    for line in [
        "FLUSHDB",
        "FLUSHDB SYNC",
        "FLUSHDB ASYNC",
        "FLUSHALL",
        "FLUSHALL SYNC",
        "FLUSHALL ASYNC",
        "EVAL return(redis.call('FLUSHDB')) 0",
    ] {
        call!(client, "SELECT", 1);
        client.run("MTSET k there 100");
        call!(client, "SELECT", 0);
        client.run("MTSET k value 100");
        assert!(!client.run(line).is_error(), "{line}");
        check_reads(&mut client, "k", false, line);
        assert_eq!(client.run("DBSIZE"), int(0), "{line}");
        client.run("SET k foreign");
        check_reads(&mut client, "k", false, line);
        client.run("MTSET other value 100");
        check_reads(&mut client, "other", true, line);
        assert_eq!(call!(client, "OBJECT", "ENCODING", INDEX), bulk("hashtable"), "{line}");
        call!(client, "SELECT", 1);
        check_reads(&mut client, "k", line.contains("FLUSHDB"), line);
        call!(client, "SELECT", 0);
        let ours = digest(&mut client);
        for replica in &replicas {
            replica.sync_with(&master);
            assert_eq!(digest(&mut replica.client()), ours, "{line}");
        }
        check_reads(&mut replicas[0].client(), "k", false, line);
    }
    let before = digest(&mut client);
    master.restart();
    assert_eq!(digest(&mut master.client()), before);
}

#[test]
fn swapping_takes_the_index_along() {
    if has_no_index("the index as a key") {
        return;
    }
    let mut master = Server::builder().with(AOF).tcp().start();
    let replica = Server::replica_of(&master, Server::builder());
    let mut client = master.client();
    client.run("MTSET k value 100");
    client.run("SET untracked value");
    client.run("SELECT 1");
    client.run("SET k foreign");
    client.run("MTSET untracked value 100");
    assert_eq!(client.run("SWAPDB 0 1").into_text(), "OK");
    let check = |client: &mut Client, changed: bool| {
        call!(client, "SELECT", 0);
        check_reads(client, "k", false, "database 0");
        check_reads(client, "untracked", true, "database 0");
        call!(client, "SELECT", 1);
        check_reads(client, "k", !changed, "database 1");
        check_reads(client, "untracked", false, "database 1");
        assert_eq!(call!(client, "EXISTS", INDEX), int(i64::from(!changed)));
    };
    check(&mut client, false);
    client.run("APPEND k x");
    check(&mut client, true);
    replica.sync_with(&master);
    check(&mut replica.client(), true);
    let before = digest(&mut client);
    assert_eq!(digest(&mut replica.client()), before);
    master.restart();
    check(&mut master.client(), true);
    assert_eq!(digest(&mut master.client()), before);
}

/// A client that blocks on a list and would get a tracked string in its way when it is served.
#[test]
fn a_blocked_command_does_not_touch_a_string() {
    let server = Server::start();
    for blocked in ["BLMOVE list k LEFT RIGHT 0", "BRPOPLPUSH list k 0", "BLPOP list 0"] {
        let mut client = server.client();
        client.run("FLUSHALL");
        client.run("MTSET k value 100");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| server.client().run(blocked));
            wait::until("a blocked client", || {
                (client.info("clients", "blocked_clients") == "1").then_some(())
            });
            client.run("RPUSH list a");
            let reply = waiting.join().expect("a reply to the blocked client");
            assert_eq!(reply.is_error(), blocked.contains(" k "), "{blocked}: {reply:?}");
        });
        check_reads(&mut client, "k", true, blocked);
    }
}

/// Others push a value onto a tracked key of ours.
#[test]
fn a_migrated_key_drops_the_entry_at_its_target() {
    let target = Server::builder().tcp().start();
    let source = Server::plain();
    let mut client = target.client();
    for line in
        ["MIGRATE 127.0.0.1 {port} k 0 30000 REPLACE", "MIGRATE 127.0.0.1 {port} k 0 30000 COPY REPLACE"]
    {
        client.run("MTSET k value 100");
        let mut sender = source.client();
        sender.run("SET k theirs");
        assert_eq!(sender.run(&line.replace("{port}", &target.port().to_string())).into_text(), "OK");
        assert_eq!(client.run("GET k"), bulk("theirs"));
        check_reads(&mut client, "k", false, line);
        assert!(!index_entries(&mut client).contains_key("k"));
    }
}

/// Servers tell modules about keys by name, and a name is any bytes.
#[test]
fn keys_of_any_bytes() {
    let server = Server::with(AOF);
    let mut client = server.client();
    let long = vec![b'k'; 1000];
    for key in [&b""[..], b"\0", b"\r\n\xff", b"*", b"123", &long] {
        client.run("FLUSHALL");
        call!(client, "MTSET", key, "value", 100);
        call!(client, "MTSET", "other", "value", 100);
        call!(client, "SET", key, "foreign");
        assert_eq!(call!(client, "MTGET", key, 100, "WITHMTIME"), untracked("foreign"), "{key:?}");
        let left: Vec<String> = index_entries(&mut client).into_keys().collect();
        assert_eq!(left, ["other"], "{key:?}");
    }
}

/// Valkey 8.1 hands a module the executing client itself and selects the event's database on it (valkey-io/valkey#4024).
#[test]
fn a_client_stays_in_its_database() {
    let master = Server::builder().tcp().start();
    let replica = Server::replica_of(&master, spartan(Server::builder()));
    let mut client = master.client();
    for line in [
        "COPY k k DB 1",
        "COPY k k DB 1 REPLACE",
        "MOVE k 1",
        "MULTI ; COPY k k DB 1 ; EXEC",
        "MULTI ; MOVE k 1 ; EXEC",
        "EVAL \"return redis.call('COPY', 'k', 'k', 'DB', '1')\" 0",
        "EVAL \"return redis.call('MOVE', 'k', '1')\" 0",
    ] {
        client.run("FLUSHALL");
        client.run("MTSET k value 100");
        let commands: Vec<Args> =
            line.split(';').map(|line| split(line).into_iter().map(String::into_bytes).collect()).collect();
        run_all(&mut client, &commands, line);
        let info = client.run("CLIENT INFO").into_text();
        assert!(info.contains(" db=0 "), "{line}: {info}");
        client.run("MTSET after value 100");
        replica.sync_with(&master);
        assert_eq!(digest(&mut replica.client()), digest(&mut client), "{line}");
    }
}

/// Valkey 9 tells a module the database of the transaction where it asks for that of the event.
#[test]
fn a_write_to_another_database_drops_the_entry_there() {
    let server = Server::with(&[QUICK]);
    let mut client = server.client();
    for line in [
        "COPY new k DB 1 REPLACE",
        "MULTI ; COPY new k DB 1 REPLACE ; EXEC",
        "EVAL \"return redis.call('COPY', 'new', 'k', 'DB', '1', 'REPLACE')\" 0",
        "EVAL \"redis.call('SELECT', '1') return redis.call('SET', 'k', 'w')\" 0",
        "MULTI ; SELECT 1 ; SET k w ; SELECT 0 ; EXEC",
        "MULTI ; SELECT 1 ; COPY k new ; SELECT 0 ; COPY new k DB 1 REPLACE ; EXEC",
    ] {
        call!(client, "SELECT", 0);
        client.run("FLUSHALL");
        client.run("MTSET other value 100");
        client.run("SET new v");
        call!(client, "SELECT", 1);
        client.run("MTSET other value 100");
        client.run("MTSET k value 100");
        call!(client, "SELECT", 0);
        wait_until_known(&mut client);
        let commands: Vec<Args> =
            line.split(';').map(|line| split(line).into_iter().map(String::into_bytes).collect()).collect();
        run_all(&mut client, &commands, line);
        call!(client, "SELECT", 1);
        check_reads(&mut client, "k", false, line);
        let left: Vec<String> = index_entries(&mut client).into_keys().collect();
        assert_eq!(left, ["other"], "{line}");
    }
}

/// The index is no tracked key itself: what happens to it is not a foreign write.
#[test]
fn writes_to_the_index_are_the_applications_business() {
    if has_no_index("the index as a key") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    for (line, tracked) in [
        ("HSET MY_KEYSMTIME MY_KEYSMTIME 100", true),
        ("EXPIRE MY_KEYSMTIME 1000", true),
        ("PERSIST MY_KEYSMTIME", true),
        ("HDEL MY_KEYSMTIME nosuch", true),
        ("HDEL MY_KEYSMTIME k", false),
        ("DEL MY_KEYSMTIME", false),
        ("UNLINK MY_KEYSMTIME", false),
        ("RENAME MY_KEYSMTIME elsewhere", false),
        ("COPY empty MY_KEYSMTIME REPLACE", false),
        ("SET MY_KEYSMTIME v", false),
        ("SUNIONSTORE MY_KEYSMTIME set", false),
    ] {
        client.run("FLUSHALL");
        client.run("HSET empty nosuch 1");
        client.run("SADD set a");
        client.run("MTSET k value 100");
        assert!(!client.run(line).is_error(), "{line}");
        check_reads(&mut client, "k", tracked, line);
        client.run("SET k foreign");
        check_reads(&mut client, "k", false, line);
    }
    assert_eq!(client.run("PING").into_text(), "PONG");
}

#[test]
fn an_index_renamed_into_place_is_the_index() {
    if has_no_index("the index as a key") {
        return;
    }
    let server = Server::start();
    let mut client = server.client();
    for line in ["RENAME saved MY_KEYSMTIME", "COPY saved MY_KEYSMTIME REPLACE"] {
        client.run("FLUSHALL");
        client.run("SET k value");
        client.run("HSET saved k 100");
        client.run(line);
        check_reads(&mut client, "k", true, line);
        client.run("SET k foreign");
        check_reads(&mut client, "k", false, line);
        assert_eq!(call!(client, "EXISTS", INDEX), int(0), "the last entry takes the index along");
    }
}

#[test]
fn a_foreign_write_makes_no_index() {
    let server = Server::start();
    let mut client = server.client();
    for line in
        ["SET k v", "APPEND k x", "RENAME k new", "COPY new k", "DEL k", "EXPIRE new 0", "SET k v PX 1"]
    {
        client.run(line);
        assert_eq!(call!(client, "EXISTS", INDEX), int(0), "{line}");
    }
    assert_eq!(client.info("mtime", "mtime_foreign_writes_dropped"), "0");
}

#[test]
fn another_index_name_is_heeded() {
    if has_no_index("the index as a key") {
        return;
    }
    let server = Server::with(&["mtime.index-key {times}"]);
    let mut client = server.client();
    client.run("MTSET k value 100");
    client.run("MTSET other value 100");
    client.run("SET k foreign");
    assert_eq!(call!(client, "HKEYS", "{times}"), array([bulk("other")]));
    check_reads(&mut client, "k", false, "after SET");
}

#[test]
fn the_quoting_of_the_table() {
    assert_eq!(split(r#"a "b c" d """#), ["a", "b c", "d", ""]);
}
