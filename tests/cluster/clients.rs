//! Cluster clients of real ecosystems, without a special setting: they find the key of each command by themselves.

use crate::cluster_manager::reshard;
use crate::nodes::Cluster;
use redis::cluster::ClusterClient;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

/// Python's redis-py asks COMMAND where the keys of a command are.
#[test]
fn redis_py_while_slots_move_and_a_master_hands_over() {
    let cluster = Cluster::of_six();
    let mut client = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/python"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/clients/redis_py.py"))
        .arg(cluster.nodes[1].port().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("scripts/python runs");
    let mut said = BufReader::new(client.stdout.take().expect("its output")).lines();
    let ready = said.next().and_then(Result::ok);
    if ready.as_deref() == Some("ready") {
        reshard(&cluster, 0, 1, 300);
        cluster.hand_over(2);
    }
    // It may have ended already, with an error.
    let _ = client.stdin.take().expect("its input").write_all(b"enough\n");
    let status = client.wait().expect("an end");
    let last = said.next().and_then(Result::ok).unwrap_or_default();
    assert!(ready.is_some() && status.success(), "{ready:?}, {last}, {status}");
    assert!(last.ends_with(" rounds"), "{last}");
    cluster.wait_until_fine();
    cluster.check_filing();
}

/// Rust's redis-rs takes the first argument of a command that it does not know for its key.
#[test]
fn redis_rs_while_slots_move() {
    let cluster = Cluster::of_masters(3);
    let nodes = cluster.nodes.iter().map(|node| format!("redis://127.0.0.1:{}", node.port()));
    let client = ClusterClient::builder(nodes).retries(50).build().expect("a client");
    let mut connection = client.get_connection().expect("a connection");
    let mut run = |words: &[&str]| -> Option<String> {
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query(&mut connection).unwrap_or_else(|failure| panic!("{words:?}: {failure}"))
    };
    std::thread::scope(|scope| {
        let mover = scope.spawn(|| reshard(&cluster, 0, 1, 300));
        let mut number = 0;
        while number < 300 || !mover.is_finished() {
            number += 1;
            let (key, value) = (format!("rs:{}", number % 100), format!("v{number}"));
            run(&["MTSET", &key, &value, &number.to_string()]);
            let since = (number - 1).to_string();
            assert_eq!(run(&["MTGET", &key, &since]), Some(value), "{key}");
            let mtime = run(&["MTTIME", &key]);
            assert!(mtime.is_none() || mtime == Some(number.to_string()), "{mtime:?}");
        }
        mover.join().expect("the slots have moved");
    });
    assert_eq!(run(&["MTSET", "rs:1", "v", "5"]), Some("OK".to_owned()));
    assert_eq!(run(&["MTGET", "rs:1", "5"]), None);
    assert_eq!(run(&["MTDEL", "rs:1"]), Some("1".to_owned()));
}
