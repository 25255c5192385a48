//! Against real servers: REDIS_PORT is one that stands alone, REDIS_CLUSTER_PORT a node of a cluster.

use redis::cluster::ClusterClient;
use redis::{Commands, Connection};
use redis_mtime_example_redis_rs::{MtimeCache, MtimeCommands, Versioned, mtget_exact, mtset_if_newer};
use std::sync::Arc;

/// One more would be lost in an f64.
const BEYOND_FLOATS: i64 = (1 << 53) + 1;

fn port(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} names the port of a server"))
}

fn connection() -> Connection {
    let url = format!("redis://127.0.0.1:{}", port("REDIS_PORT"));
    redis::Client::open(url).and_then(|client| client.get_connection()).expect("a server")
}

fn counted(connection: &mut Connection, field: &str) -> u64 {
    let info: redis::InfoDict = redis::cmd("INFO").arg("mtime").query(connection).expect("INFO");
    info.get(&format!("mtime_{field}")).expect("a counter")
}

fn text(value: Option<Arc<[u8]>>) -> Option<String> {
    value.map(|value| String::from_utf8_lossy(&value).into_owned())
}

#[test]
fn a_value_is_fetched_once_and_then_revalidated() {
    let (mut other, mut cache) = (connection(), MtimeCache::new(connection()));
    let binary: Vec<u8> = (0..=255).collect();
    assert!(other.del::<_, i64>("rs:once").is_ok());
    assert!(cache.set("rs:once", &binary, 100).expect("a reply"));
    let first = cache.get("rs:once").expect("a reply").expect("a value");
    assert_eq!(first[..], binary[..]);
    let saved = counted(&mut other, "bytes_saved");
    let again = cache.get("rs:once").expect("a reply").expect("a value");
    assert!(Arc::ptr_eq(&first, &again));
    assert!(counted(&mut other, "bytes_saved") >= saved + 256);
}

#[test]
fn what_others_do_is_seen_at_once() {
    let (mut other, mut cache) = (connection(), MtimeCache::new(connection()));
    assert!(other.del::<_, i64>("rs:others").is_ok());
    assert!(cache.set("rs:others", b"mine", BEYOND_FLOATS).expect("a reply"));
    assert_eq!(text(cache.get("rs:others").expect("a reply")).as_deref(), Some("mine"));
    assert_eq!(cache.held_mtime("rs:others"), Some("9007199254740993"));
    assert!(other.mtset_if_newer("rs:others", "theirs", BEYOND_FLOATS + 1).expect("a reply"));
    assert_eq!(text(cache.get("rs:others").expect("a reply")).as_deref(), Some("theirs"));
    // Older and equal writes, and a late invalidation.
    assert!(!cache.set("rs:others", b"old", BEYOND_FLOATS).expect("a reply"));
    assert!(!cache.set("rs:others", b"equal", BEYOND_FLOATS + 1).expect("a reply"));
    assert!(!cache.delete("rs:others", BEYOND_FLOATS).expect("a reply"));
    assert_eq!(text(cache.get("rs:others").expect("a reply")).as_deref(), Some("theirs"));
    // A plain write, then none at all.
    other.set::<_, _, ()>("rs:others", "plain").expect("a reply");
    assert_eq!(text(cache.get("rs:others").expect("a reply")).as_deref(), Some("plain"));
    assert_eq!(cache.held_mtime("rs:others"), None);
    assert_eq!(other.mtget_exact("rs:others", 0).expect("a reply"), Versioned::Untracked(b"plain".to_vec()));
    assert!(cache.delete("rs:others", BEYOND_FLOATS).expect("a reply"));
    assert_eq!(cache.get("rs:others").expect("a reply"), None);
}

#[test]
fn the_commands_in_a_transaction() {
    let mut connection = connection();
    connection.del::<_, ()>("rs:pipe").expect("a reply");
    let replies: (Option<()>, Versioned, Versioned, Versioned) = redis::pipe()
        .atomic()
        .add_command(mtset_if_newer("rs:pipe", "v", 100))
        .add_command(mtget_exact("rs:pipe", 99))
        .add_command(mtget_exact("rs:pipe", 100))
        .add_command(mtget_exact("rs:none", 100))
        .query(&mut connection)
        .expect("replies");
    let modified = Versioned::Modified("100".to_owned(), b"v".to_vec());
    assert_eq!(replies, (Some(()), modified, Versioned::NotModified("100".to_owned()), Versioned::Missing));
}

#[test]
fn in_a_cluster_every_key_is_found_on_its_node() {
    let url = format!("redis://127.0.0.1:{}", port("REDIS_CLUSTER_PORT"));
    // No retries: a command that is sent to the wrong node fails.
    let cluster = ClusterClient::builder([url]).retries(0).build().expect("a client");
    let mut other = cluster.get_connection().expect("a cluster");
    let mut cache = MtimeCache::new(cluster.get_connection().expect("a cluster"));
    for number in 0..50 {
        let key = format!("rs:key:{number}");
        other.del::<_, ()>(&key).expect("a reply");
        assert!(cache.set(&key, key.as_bytes(), 100).expect("a reply"));
        let first = cache.get(&key).expect("a reply").expect("a value");
        assert_eq!(first[..], *key.as_bytes());
        assert!(Arc::ptr_eq(&first, &cache.get(&key).expect("a reply").expect("a value")));
    }
}
