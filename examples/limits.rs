//! Measures what a very large index costs: memory a key, an MTSET while the index grows and is rehashed, and the end of
//! the whole index by DEL, UNLINK, eviction and FLUSHALL. Prints a table; takes minutes and some 3 GB.
//!
//! `cargo run --example limits [ENTRIES]` with `REDIS_SERVER` and `REDIS_MTIME_MODULE` as for the tests; 10,000,000
//! entries unless told otherwise. Times of small commands are the server's own (`latency-tracking`), those of large ones a
//! client's on a unix socket.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a measurement that cannot go on should stop with a message"
)]

#[path = "../tests/suite/support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the harness of the tests, of which this uses a part"
)]
mod support;

use std::time::Instant;
use support::client::{Client, args, call};
use support::server::Server;

/// Work that the server does in one script, so that filling is not a matter of the client.
const CHUNK: u64 = 20_000;

/// Runs `command` on the keys of a range, inside the server.
fn each(client: &mut Client, command: &str, from: u64, to: u64) {
    let script = format!(
        "for i = ARGV[1], ARGV[2] - 1 do local k = 'key:' .. string.format('%010d', i) {command} end"
    );
    let mut at = from;
    while at < to {
        let end = (at + CHUNK).min(to);
        let reply = call!(client, "EVAL", script, 0, at.to_string(), end.to_string());
        assert!(!reply.is_error(), "{reply:?}");
        at = end;
    }
}

fn used_memory(client: &mut Client) -> u64 {
    client.info("memory", "used_memory").parse().expect("a number")
}

/// Single commands in a row, and how long the server says that it took for each.
fn times(client: &mut Client, what: &str, count: u64, mut command: impl FnMut(u64) -> Vec<Vec<u8>>) {
    let name = String::from_utf8(command(0).remove(0)).expect("a name").to_ascii_lowercase();
    client.run("CONFIG RESETSTAT");
    for number in 0..count {
        let reply = client.call(&command(number));
        assert!(!reply.is_error(), "{reply:?}");
    }
    show_times(client, what, &name);
}

/// What the server says about a command since the last RESETSTAT.
fn show_times(client: &mut Client, what: &str, name: &str) {
    let times = client.info("latencystats", &format!("latency_percentiles_usec_{name}"));
    let times: Vec<&str> = times.split(',').filter_map(|part| Some(part.split_once('=')?.1)).collect();
    let [p50, p99, p999, max] = times[..] else { panic!("{times:?}") };
    println!("{what:60} p50 {p50:>8}   p99 {p99:>8}   p99.9 {p999:>8}   max {max:>10} us");
}

/// One command that takes long, and how long.
fn once(client: &mut Client, what: &str, line: &str) {
    let start = Instant::now();
    let reply = client.run(line);
    let time = start.elapsed().as_secs_f64() * 1e3;
    assert!(!reply.is_error(), "{line}: {reply:?}");
    println!("{what:60} {time:.1} ms");
}

/// Makes the server evict the index, the only key with a TTL, and tells how long the slowest command took meanwhile, and
/// after which time a write found memory again: freed in the background it comes late.
fn evict(client: &mut Client, lazily: &str) {
    call!(client, "CONFIG", "SET", "lazyfree-lazy-eviction", lazily);
    client.run("CONFIG SET maxmemory-policy volatile-ttl");
    client.run("EXPIRE MY_KEYSMTIME 100000");
    let limit = used_memory(client) - (1 << 20);
    let start = Instant::now();
    call!(client, "CONFIG", "SET", "maxmemory", limit);
    let mut slowest = start.elapsed().as_secs_f64() * 1e3;
    support::wait::until("memory", || {
        let command = Instant::now();
        let done = !client.run("SET one more").is_error();
        slowest = slowest.max(command.elapsed().as_secs_f64() * 1e3);
        done.then_some(())
    });
    let total = start.elapsed().as_secs_f64() * 1e3;
    let what = format!("eviction of the index, lazyfree-lazy-eviction {lazily}");
    println!("{what:60} {total:.1} ms, the slowest command {slowest:.1} ms");
    assert_eq!(client.run("EXISTS MY_KEYSMTIME").into_int(), 0, "something else was evicted");
    client.run("CONFIG SET maxmemory 0");
}

fn key(number: u64) -> String {
    format!("key:{number:010}")
}

fn main() {
    let entries: u64 =
        std::env::args().nth(1).map_or(10_000_000, |text| text.parse().expect("a number of entries"));
    let server = Server::with(&[
        "maxmemory 0",
        "busy-reply-threshold 60000",
        "latency-tracking-info-percentiles 50 99 99.9 100",
    ]);
    let mut client = server.client();
    let version = client.try_info("server", "valkey_version");
    let version = version.unwrap_or_else(|| client.info("server", "redis_version"));
    println!("server {version}, {entries} entries, keys of 14 bytes, mtimes of 13 digits");

    each(&mut client, "redis.call('SET', k, 'v')", 0, entries);
    let keys_only = used_memory(&mut client);
    // The table of the index doubles at powers of two: the largest below the target is where to look closely.
    let doubling = entries.next_power_of_two() / 2;
    let (near, window) = (doubling.saturating_sub(20_000), 60_000);
    let touch = "redis.call('MTTOUCH', k, 1700000000000 + i)";
    each(&mut client, touch, 0, near);
    let mtset = |number: u64| args!["MTSET", key(number), "v", 1_700_000_000_000 + number];
    let set = |number: u64| args!["SET", format!("free:{}", number % 1000), "v"];
    times(&mut client, &format!("MTSET, new entries past {doubling}: the table doubles"), window, |n| {
        mtset(near + n)
    });
    times(&mut client, "MTSET, known entries, while the rehash goes on", window, mtset);
    each(&mut client, "redis.call('HSET', 'plain', k, 1700000000000 + i)", 0, near);
    times(&mut client, "HSET, new fields of a plain hash there, for comparison", window, |n| {
        args!["HSET", "plain", key(near + n), 1_700_000_000_000 + n]
    });
    client.run("UNLINK plain");
    support::wait::until("the memory of the plain hash", || {
        (client.info("memory", "lazyfree_pending_objects") == "0").then_some(())
    });
    each(&mut client, touch, (near + window).min(entries), entries);
    let index = used_memory(&mut client) - keys_only;
    let tenths = index * 10 / entries;
    println!(
        "{:60} {}.{} bytes an entry, {} MB in all; {} MB of keys",
        "memory of the index",
        tenths / 10,
        tenths % 10,
        index >> 20,
        keys_only >> 20
    );
    times(&mut client, "MTSET, known entries, at rest", 100_000, mtset);
    times(&mut client, "MTGET, not modified, at rest", 100_000, |n| {
        args!["MTGET", key(n), 1_800_000_000_000_u64]
    });
    times(&mut client, "SET, untracked keys, at rest", 100_000, set);
    // Somebody else has written to the index: the module has to find out what is in it.
    client.run("RENAME MY_KEYSMTIME aside");
    client.run("RENAME aside MY_KEYSMTIME");
    times(&mut client, "SET, untracked keys, after the index was replaced", 100_000, set);
    times(&mut client, "MTSET, known entries, after the index was replaced", 100_000, mtset);
    once(&mut client, "UNLINK of the index", "UNLINK MY_KEYSMTIME");
    times(&mut client, "MTSET, the first of a new index", 1000, mtset);
    each(&mut client, touch, 0, entries);
    once(&mut client, "DEL of the index", "DEL MY_KEYSMTIME");
    for lazily in ["yes", "no"] {
        each(&mut client, touch, 0, entries);
        evict(&mut client, lazily);
    }
    each(&mut client, touch, 0, entries);
    // Keys go behind the module's back.
    client.run("CONFIG SET mtime.invalidate-on-write no");
    each(&mut client, "if i % 2 == 0 then redis.call('UNLINK', k) end", 0, entries);
    client.run("CONFIG RESETSTAT");
    let mut cursor = "0".to_owned();
    for _ in 0..1000 {
        let parts = call!(client, "MTCLEAN", cursor, "COUNT", 1000).into_items();
        cursor = parts[0].clone().into_text();
    }
    show_times(&mut client, "MTCLEAN COUNT 1000, half of the entries are orphans", "mtclean");
    once(&mut client, "FLUSHALL SYNC, keys and index", "FLUSHALL SYNC");
}
