//! redis-cli's cluster manager, used as a careful operator does: it begins when the cluster is fine, and what stopped it is
//! looked at. After what a busy machine does to a cluster the slot that was left half moved is [mended](crate::half_moved), and
//! it goes on; after anything else, a key in the way first of all, the test fails.

use crate::nodes::Cluster;
use std::process::{Command, Stdio};

/// How often it may be stopped before that is no longer for being busy.
const STOPS: usize = 5;

/// What stops it through no fault of the module.
#[derive(Clone, Copy, Debug)]
enum Stop {
    /// A node was not heard of for the node timeout. Until all are, nobody executes MIGRATE, nor takes what it brings.
    ClusterDown,
    /// Valkey wants a replica to know of every slot, and one that has just come back does not yet.
    NoReplica,
    /// It did not begin: a failover has brought back the marks of a slot.
    OpenSlot,
    /// Nothing was said: a connection was lost.
    Silent,
}

/// How it ended.
enum End {
    Done,
    Stopped(Stop, String),
}

/// Moves slots from one node to another. Says how often it was stopped in between.
pub(crate) fn reshard(cluster: &Cluster, from: usize, to: usize, slots: usize) -> usize {
    cluster.wait_until_up();
    let (from_id, to_id) = (cluster.id(from), cluster.id(to));
    let goal = cluster.count_slots(to) + slots;
    go_on_until_done(cluster, from, || {
        let left = goal.saturating_sub(cluster.count_slots(to)).to_string();
        let options = ["--cluster-from", &from_id, "--cluster-to", &to_id, "--cluster-slots", &left];
        let words = ["reshard"].iter().chain(&options).chain(&["--cluster-yes"]);
        (left != "0").then(|| words.map(ToString::to_string).collect())
    })
}

/// Gives all masters the same number of slots. Says how often it was stopped in between.
pub(crate) fn rebalance(cluster: &Cluster) -> usize {
    let words = ["rebalance", "--cluster-threshold", "1", "--cluster-pipeline", "3"];
    go_on_until_done(cluster, 0, || Some(words.map(ToOwned::to_owned).to_vec()))
}

/// Runs a command until it comes to its end, or there is no more to do.
fn go_on_until_done(
    cluster: &Cluster,
    asked: usize,
    mut command: impl FnMut() -> Option<Vec<String>>,
) -> usize {
    let address = format!("127.0.0.1:{}", cluster.nodes[asked].port());
    for stops in 0..STOPS {
        cluster.wait_until_up();
        cluster.finish_moves();
        let Some(words) = command() else { return stops };
        match run(&address, &words) {
            End::Done => return stops,
            End::Stopped(stop, report) => {
                eprintln!("redis-cli was stopped: {stop:?}\n{report}");
            }
        }
    }
    panic!("redis-cli was stopped {STOPS} times, see above");
}

/// Runs a command once. Fails if it was stopped by anything that must not be.
fn run(address: &str, words: &[String]) -> End {
    let output = Command::new("redis-cli")
        .arg("--cluster")
        .arg(&words[0])
        .arg(address)
        .args(&words[1..])
        .stdin(Stdio::null())
        .output()
        .expect("redis-cli runs");
    let said =
        format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let report = format!("redis-cli --cluster {words:?}: {}\n{}", output.status, reasons_first(&said));
    // It goes on after this one by itself if both keys are the same. They must not meet at all.
    let in_the_way = ["BUSYKEY", "Target key exists"].iter().any(|fault| said.contains(fault));
    assert!(!in_the_way, "a key was in the way of one that moved\n{report}");
    if output.status.success() && !said.contains("[ERR]") {
        return End::Done;
    }
    let stops = [
        ("CLUSTERDOWN", Stop::ClusterDown),
        ("NOREPLICAS", Stop::NoReplica),
        ("slots are open", Stop::OpenSlot),
    ];
    // It says nothing when it loses a connection, and ends. Every error reply of a server it does print.
    let is_silent =
        !output.status.success() && !["ERR", "***", "failed", "rror"].iter().any(|word| said.contains(word));
    let known = stops.into_iter().find_map(|(reason, stop)| said.contains(reason).then_some(stop));
    let known = known.or(is_silent.then_some(Stop::Silent));
    End::Stopped(known.unwrap_or_else(|| panic!("{report}")), report)
}

/// What it said, for people: the errors, then the end, without colours and without the plan. A log that is cut after some
/// lines shows the reason.
fn reasons_first(said: &str) -> String {
    const SHOWN_LINES: usize = 25;
    let lines: Vec<String> = said.lines().map(without_colours).collect();
    let is_plan = |line: &str| line.starts_with("    Moving slot");
    let told: Vec<&str> =
        lines.iter().map(|line| line.trim_end()).filter(|line| !line.is_empty() && !is_plan(line)).collect();
    let is_reason = |line: &&&str| {
        ["ERR", "***", "DOWN", "KEY", "failed", "rror", "Could not"].iter().any(|word| line.contains(word))
    };
    let reasons: Vec<&str> = told.iter().filter(is_reason).copied().collect();
    let end = &told[told.len().saturating_sub(SHOWN_LINES)..];
    format!("errors:\n  {}\nthe end of what it said:\n  {}", reasons.join("\n  "), end.join("\n  "))
}

/// A line without the escape sequences of a terminal.
fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // "[31;1mtext"
        text.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    text
}

#[test]
fn what_redis_cli_says_is_told_from_its_reason_on() {
    let plan: String = (0..500).map(|slot| format!("    Moving slot {slot} from 931f0989\n")).collect();
    let moves: String = (0..100).map(|slot| format!("Moving slot {slot} from :1 to :2: ..\n")).collect();
    let error = "\u{1b}[31;1mclusterManagerMoveSlot failed: CLUSTERDOWN The cluster is down\n\u{1b}[0m";
    let told =
        reasons_first(&format!("\u{1b}[0m>>> Check\n  Resharding plan:\n{plan}{moves}{error}\nnot a line"));
    let lines: Vec<&str> = told.lines().map(str::trim).collect();
    let reason = "clusterManagerMoveSlot failed: CLUSTERDOWN The cluster is down";
    assert_eq!(lines[..3], ["errors:", reason, "the end of what it said:"]);
    assert_eq!(lines[lines.len() - 3..], ["Moving slot 99 from :1 to :2: ..", reason, "not a line"]);
    assert_eq!(lines.len(), 3 + 25);
}
