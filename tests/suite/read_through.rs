//! The protocols of docs/patterns.md, with many fillers and writers at once: whatever the order in which they arrive, no old
//! value stays in the cache. Each is also shown where it ends.

use crate::support::client::{Client, Reply, args, bulk, call, nil, ok};
use crate::support::dice::Dice;
use crate::support::server::Server;
use crate::support::wait;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

const KEYS: u64 = 4;
const ROUNDS: usize = 60;
const THREADS: usize = 8;

/// What the cache is in front of: rows with a version that grows with each commit.
#[derive(Default)]
struct Database {
    versions: Mutex<BTreeMap<String, u64>>,
}

impl Database {
    fn version(&self, key: &str) -> u64 {
        self.versions.lock().expect("no panic").get(key).copied().unwrap_or(0)
    }

    fn commit(&self, key: &str) -> u64 {
        let mut versions = self.versions.lock().expect("no panic");
        let version = versions.entry(key.to_owned()).or_default();
        *version += 1;
        *version
    }
}

fn value(version: u64) -> String {
    format!("version {version}")
}

/// What a filler and a writer do. `dawdle` is where others get in between.
trait Protocol: Sync {
    fn fill(&self, client: &mut Client, database: &Database, key: &str, dawdle: &mut dyn FnMut());
    fn change(&self, client: &mut Client, database: &Database, key: &str, dawdle: &mut dyn FnMut());
}

/// "Write instead of delete."
struct WriteInstead;

impl Protocol for WriteInstead {
    fn fill(&self, client: &mut Client, database: &Database, key: &str, dawdle: &mut dyn FnMut()) {
        let version = database.version(key);
        dawdle();
        call!(client, "MTSET", key, value(version), version, "IFNEWER");
    }

    fn change(&self, client: &mut Client, database: &Database, key: &str, dawdle: &mut dyn FnMut()) {
        let version = database.commit(key);
        dawdle();
        call!(client, "MTSET", key, value(version), version, "IFNEWER");
    }
}

/// "Invalidate with a tombstone."
struct Tombstone;

impl Protocol for Tombstone {
    fn fill(&self, client: &mut Client, database: &Database, key: &str, dawdle: &mut dyn FnMut()) {
        WriteInstead.fill(client, database, key, dawdle);
    }

    fn change(&self, client: &mut Client, database: &Database, key: &str, dawdle: &mut dyn FnMut()) {
        let version = database.commit(key);
        dawdle();
        call!(client, "MTSET", key, "", format!("{}.5", version - 1), "IFNEWER", "PX", 60_000);
    }
}

/// "Fill with a lease." The lease is a counter here, which is as unique as a random number.
struct Lease(AtomicU64);

impl Protocol for Lease {
    fn fill(&self, client: &mut Client, database: &Database, key: &str, dawdle: &mut dyn FnMut()) {
        let lease = format!("-{}", self.0.fetch_add(1, Ordering::Relaxed));
        if call!(client, "MTSET", key, "", lease, "NX", "PX", 60_000) == Reply::Nil {
            return;
        }
        let version = database.version(key);
        dawdle();
        call!(client, "MTSET", key, value(version), "*", "IFEQ", lease);
    }

    fn change(&self, client: &mut Client, database: &Database, key: &str, dawdle: &mut dyn FnMut()) {
        database.commit(key);
        dawdle();
        call!(client, "DEL", key);
    }
}

/// "Fill, then look again."
struct LookAgain;

impl Protocol for LookAgain {
    fn fill(&self, client: &mut Client, database: &Database, key: &str, dawdle: &mut dyn FnMut()) {
        let version = database.version(key);
        dawdle();
        call!(client, "MTSET", key, value(version), version, "IFNEWER");
        dawdle();
        if database.version(key) != version {
            call!(client, "MTDEL", key, "IFEQ", version);
        }
    }

    fn change(&self, client: &mut Client, database: &Database, key: &str, dawdle: &mut dyn FnMut()) {
        database.commit(key);
        dawdle();
        call!(client, "DEL", key);
    }
}

/// The pattern that has the race.
struct Naive;

impl Protocol for Naive {
    fn fill(&self, client: &mut Client, database: &Database, key: &str, dawdle: &mut dyn FnMut()) {
        let version = database.version(key);
        dawdle();
        call!(client, "SET", key, value(version));
    }

    fn change(&self, client: &mut Client, database: &Database, key: &str, dawdle: &mut dyn FnMut()) {
        database.commit(key);
        dawdle();
        call!(client, "DEL", key);
    }
}

/// Rounds of fillers and writers that all start at once, on a few keys. After each round, when all are done, how many keys
/// have an old value. A key that has none, or a placeholder, is a miss.
fn stale_keys(protocol: &dyn Protocol, seed: u64) -> usize {
    let server = Server::start();
    let database = Database::default();
    let barrier = Barrier::new(THREADS + 1);
    let mut stale = 0;
    thread::scope(|scope| {
        for number in 0..THREADS {
            let mut dice = Dice::seeded(seed.wrapping_add(u64::try_from(number).expect("few")));
            let (server, database, barrier) = (&server, &database, &barrier);
            scope.spawn(move || {
                let mut client = server.client();
                for _ in 0..ROUNDS {
                    barrier.wait();
                    for _ in 0..4 {
                        let key = format!("row:{}", dice.below(KEYS));
                        let changes = dice.once_in(3);
                        let mut dawdle = || thread::sleep(Duration::from_micros(dice.below(400)));
                        if changes {
                            protocol.change(&mut client, database, &key, &mut dawdle);
                        } else {
                            protocol.fill(&mut client, database, &key, &mut dawdle);
                        }
                    }
                    barrier.wait();
                    barrier.wait();
                }
            });
        }
        let mut client = server.client();
        for _ in 0..ROUNDS {
            barrier.wait();
            barrier.wait();
            for number in 0..KEYS {
                let key = format!("row:{number}");
                let current = value(database.version(&key));
                match call!(client, "GET", key) {
                    Reply::Nil => {}
                    found if found == bulk("") => {}
                    found => stale += usize::from(found != bulk(&current)),
                }
            }
            // Every other round begins with an empty cache.
            if database.version("row:0") % 2 == 0 {
                call!(client, "FLUSHALL");
            }
            barrier.wait();
        }
    });
    stale
}

fn check(protocol: &dyn Protocol) {
    let dice = Dice::new();
    assert_eq!(stale_keys(protocol, dice.seed()), 0, "old values that stayed in the cache");
}

#[test]
fn writing_instead_of_deleting_leaves_no_old_value() {
    check(&WriteInstead);
}

#[test]
fn tombstones_leave_no_old_value() {
    check(&Tombstone);
}

#[test]
fn leases_leave_no_old_value() {
    check(&Lease(AtomicU64::new(1)));
}

#[test]
fn looking_again_leaves_no_old_value() {
    check(&LookAgain);
}

/// The test above can fail: without a protocol old values do stay.
#[test]
fn without_a_protocol_old_values_stay() {
    let seed = Dice::new().seed();
    let found = (0..10).map(|attempt| stale_keys(&Naive, seed.wrapping_add(attempt))).any(|stale| stale > 0);
    assert!(found, "ten runs without a single old value (seed {seed}): the test does not test anything");
}

/// A filler that has read the database and not yet written, and what happened in between.
fn after_a_slow_fill(protocol: &dyn Protocol, between: impl Fn(&mut Client, &Database)) -> Reply {
    let server = Server::start();
    let database = Arc::new(Database::default());
    database.commit("row");
    let mut other = server.client();
    let mut times = 0;
    protocol.fill(&mut server.client(), &database, "row", &mut || {
        times += 1;
        if times == 1 {
            between(&mut other, &database);
        }
    });
    call!(other, "GET", "row")
}

#[test]
fn a_slow_filler_is_refused_or_takes_it_back() {
    let lease = Lease(AtomicU64::new(1));
    let cases: [(&dyn Protocol, Reply); 4] =
        [(&WriteInstead, bulk("version 2")), (&Tombstone, bulk("")), (&lease, nil()), (&LookAgain, nil())];
    for (number, (protocol, expected)) in cases.into_iter().enumerate() {
        let found = after_a_slow_fill(protocol, |client, database| {
            protocol.change(client, database, "row", &mut || {})
        });
        assert_eq!(found, expected, "protocol {number}");
    }
}

#[test]
fn a_delete_does_not_keep_a_slow_filler_out() {
    for delete in [args!["DEL", "row"], args!["MTDEL", "row"], args!["MTDEL", "row", "IFNEWER", 2]] {
        let found = after_a_slow_fill(&WriteInstead, |client, database| {
            database.commit("row");
            client.call(&delete);
        });
        assert_eq!(found, bulk("version 1"), "{delete:?}");
    }
}

#[test]
fn a_late_invalidation_does_not_delete_what_is_newer() {
    let server = Server::start();
    let mut client = server.client();
    call!(client, "MTSET", "row", value(3), 3, "IFNEWER");
    assert_eq!(call!(client, "MTDEL", "row", "IFNEWER", 2), Reply::Int(0));
    assert_eq!(call!(client, "MTSET", "row", "", "1.5", "IFNEWER"), Reply::Nil);
    assert_eq!(call!(client, "GET", "row"), bulk("version 3"));
}

#[test]
fn a_tombstone_is_seen_by_a_reader_that_holds_the_version_before() {
    let server = Server::start();
    let mut client = server.client();
    call!(client, "MTSET", "row", value(7), 7, "IFNEWER");
    call!(client, "MTSET", "row", "", "7.5", "IFNEWER", "PX", 60_000);
    assert_eq!(call!(client, "MTGET", "row", 7), bulk(""));
    // As 2^61 + 1 would be between two versions of nanoseconds.
    call!(client, "MTSET", "ns", "old", 1_i64 << 61);
    assert_eq!(call!(client, "MTSET", "ns", "", (1_i64 << 61) + 1, "IFNEWER"), ok());
    assert_eq!(call!(client, "MTSET", "ns", "old", 1_i64 << 61, "IFNEWER"), Reply::Nil);
    assert_eq!(call!(client, "MTSET", "ns", "new", (1_i64 << 61) + 2, "IFNEWER"), ok());
}

#[test]
fn a_filler_that_is_slower_than_the_tombstone_is_not_refused() {
    let found = after_a_slow_fill(&Tombstone, |client, database| {
        database.commit("row");
        call!(client, "MTSET", "row", "", "1.5", "IFNEWER", "PX", 1);
        wait::until("the end of the tombstone", || {
            (call!(client, "EXISTS", "row") == Reply::Int(0)).then_some(())
        });
    });
    assert_eq!(found, bulk("version 1"));
}
