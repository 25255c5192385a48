//! `INFO mtime`: every counter counts exactly, and the reports of the server that modules have a part in stay whole.

use crate::support::client::{Client, Reply, call, int, nil, ok, words};
use crate::support::server::Server;
use crate::support::wait;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// The documented counters, in the order shown.
const COUNTERS: [&str; 12] = [
    "modified",
    "not_modified",
    "missing",
    "untracked",
    "bytes_sent",
    "bytes_saved",
    "sets",
    "sets_refused",
    "touches",
    "deletes",
    "foreign_writes_dropped",
    "cleaned",
];

type Counts = BTreeMap<&'static str, u64>;

fn counts(client: &mut Client) -> Counts {
    let text = client.run("INFO mtime").into_text();
    COUNTERS
        .iter()
        .map(|name| {
            let start = format!("mtime_{name}:");
            let line = text.lines().find_map(|line| line.strip_prefix(&start));
            let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
            (*name, line.trim_end().parse().expect("a number"))
        })
        .collect()
}

/// Runs a line and demands that exactly these counters moved, by so much.
#[track_caller]
fn counted(client: &mut Client, line: &str, expected: &[(&'static str, u64)]) {
    let before = counts(client);
    client.run(line);
    let after = counts(client);
    let moved: Vec<(&str, u64)> = COUNTERS
        .iter()
        .map(|name| (*name, after[name].wrapping_sub(before[name])))
        .filter(|(_, by)| *by != 0)
        .collect();
    let mut expected = expected.to_vec();
    expected.sort_by_key(|(name, _)| COUNTERS.iter().position(|counter| counter == name));
    assert_eq!(moved, expected, "{line}");
}

#[test]
fn it_begins_with_zeros_in_the_documented_order() {
    let server = Server::start();
    let mut client = server.client();
    let text = client.run("INFO mtime").into_text();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("# mtime"), "{text}");
    for name in COUNTERS {
        assert_eq!(lines.next(), Some(format!("mtime_{name}:0").as_str()), "{text}");
    }
}

#[test]
fn reads_are_counted_by_what_they_reply() {
    let server = Server::start();
    let mut client = server.client();
    client.run("RPUSH list a");
    for value in ["", "7", "short", &"x".repeat(60), &"x".repeat(5_000)] {
        let length = u64::try_from(value.len()).expect("small");
        let bytes = |name| if length == 0 { vec![] } else { vec![(name, length)] };
        let all = |mut counters: Vec<(&'static str, u64)>, more: Vec<(&'static str, u64)>| {
            counters.extend(more);
            counters
        };
        call!(client, "MTSET", "k", value, 100);
        call!(client, "SET", "plain", value);
        for line in ["MTGET k 99", "MTGET k 99 WITHMTIME", "MTGET k 101 EXACT", "MTMGET k 99"] {
            counted(&mut client, line, &all(vec![("modified", 1)], bytes("bytes_sent")));
        }
        for line in ["MTGET k 100", "MTGET k 101 WITHMTIME", "MTGET k 100 EXACT", "MTMGET k 100"] {
            counted(&mut client, line, &all(vec![("not_modified", 1)], bytes("bytes_saved")));
        }
        for line in ["MTGET plain 100", "MTGET plain 100 WITHMTIME", "MTMGET plain 5"] {
            counted(&mut client, line, &all(vec![("untracked", 1)], bytes("bytes_sent")));
        }
        for line in ["MTGET nokey 100", "MTGET nokey 100 WITHMTIME", "MTMGET nokey 5", "MTMGET list 5"] {
            counted(&mut client, line, &[("missing", 1)]);
        }
        let mut expected = vec![("modified", 1), ("not_modified", 2), ("missing", 1), ("untracked", 1)];
        if length > 0 {
            expected.extend([("bytes_sent", 2 * length), ("bytes_saved", 2 * length)]);
        }
        counted(&mut client, "MTMGET k 99 k 100 nokey 1 plain 1 k 1000", &expected);
    }
    for line in ["MTTIME k", "MTTIME plain", "MTTIME nokey", "GET k"] {
        counted(&mut client, line, &[]);
    }
    for line in
        ["MTGET list 1", "MTGET k abc", "MTGET k", "MTMGET k 1 k", "MTMGET k 1 k x", "MTGET MY_KEYSMTIME 1"]
    {
        counted(&mut client, line, &[]);
    }
}

#[test]
fn writes_are_counted_when_they_write() {
    let server = Server::start();
    let mut client = server.client();
    client.run("RPUSH list a");
    counted(&mut client, "MTSET k v 100", &[("sets", 1)]);
    counted(&mut client, "MTSET k v 100 EX 1000", &[("sets", 1)]);
    counted(&mut client, "MTSET k v 200 IFNEWER", &[("sets", 1)]);
    counted(&mut client, "MTSET k v *", &[("sets", 1)]);
    counted(&mut client, "MTSET list v 200", &[("sets", 1)]);
    counted(&mut client, "MTSET k v 100 IFNEWER", &[("sets_refused", 1)]);
    counted(&mut client, "MTSET k v 100 IFEQ 5", &[("sets_refused", 1)]);
    counted(&mut client, "MTSET k v 100 NX", &[("sets_refused", 1)]);
    counted(&mut client, "MTSET nokey v 100 XX", &[("sets_refused", 1)]);
    for line in ["MTSET k v abc", "MTSET k v 100 EX 0", "MTSET MY_KEYSMTIME v 100", "MTSET k v"] {
        counted(&mut client, line, &[]);
    }
    counted(&mut client, "MTTOUCH k 100", &[("touches", 1)]);
    for line in ["MTTOUCH k 50 IFNEWER", "MTTOUCH k 50 IFEQ 5", "MTTOUCH nokey 50", "MTTOUCH k x"] {
        counted(&mut client, line, &[]);
    }
    for line in ["MTDEL k IFNEWER 50", "MTDEL k IFEQ 5", "MTDEL nokey"] {
        counted(&mut client, line, &[]);
    }
    counted(&mut client, "MTDEL k", &[("deletes", 1)]);
    client.run("SET plain v");
    counted(&mut client, "MTDEL plain", &[("deletes", 1)]);
}

#[test]
fn dropped_and_cleaned_entries_are_counted() {
    let server = Server::start();
    let mut client = server.client();
    for line in
        ["SET k v", "APPEND k v", "RENAME k new", "COPY src k REPLACE", "DEL k", "EXPIRE k 0", "GETDEL k"]
    {
        client.run("SET src v");
        client.run("MTSET k value 100");
        counted(&mut client, line, &[("foreign_writes_dropped", 1)]);
        counted(&mut client, "SET k again", &[]);
        client.run("DEL new");
    }
    for line in ["EXPIRE k 1000", "PERSIST k", "GETEX k EX 1000", "GET k", "SET untracked v"] {
        client.run("MTSET k value 100");
        counted(&mut client, line, &[]);
    }
    client.run("MTSET other value 100");
    counted(&mut client, "MSET k v other v untracked v", &[("foreign_writes_dropped", 2)]);
    client.run("MTSET k value 100");
    client.run("MTSET other value 100");
    counted(&mut client, "RENAME k other", &[("foreign_writes_dropped", 2)]);
    counted(&mut client, "FLUSHALL", &[]);
    client.run("HSET MY_KEYSMTIME gone1 1 gone2 2 gone3 3");
    counted(&mut client, "MTCLEAN 0 COUNT 100", &[("cleaned", 3)]);
    counted(&mut client, "MTCLEAN 0 COUNT 100", &[]);
    client.run("HSET MY_KEYSMTIME gone1 1");
    counted(&mut client, "HDEL MY_KEYSMTIME gone1", &[]);
}

#[test]
fn units_of_work_count_like_single_commands() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k value 100");
    let before = counts(&mut client);
    let unit = ["MULTI", "MTGET k 99", "MTGET k 100", "MTSET k value 100 NX", "EXEC"];
    client.pipeline(&unit.map(words));
    let script = "redis.call('MTGET', 'k', '99') redis.call('MTGET', 'k', '100') redis.call('MTSET', 'k', 'v', '1', 'NX')";
    call!(client, "EVAL", script, 0);
    let after = counts(&mut client);
    for name in ["modified", "not_modified", "sets_refused"] {
        assert_eq!(after[name] - before[name], 2, "{name}");
    }
    assert_eq!(after["bytes_sent"] - before["bytes_sent"], 10);
    assert_eq!(after["bytes_saved"] - before["bytes_saved"], 10);
    assert_eq!(after["sets"], before["sets"]);
}

#[test]
fn the_section_is_where_sections_of_modules_are() {
    let server = Server::start();
    for mut client in [server.client(), server.resp3()] {
        for line in ["INFO mtime", "INFO MTIME", "INFO everything", "INFO modules", "INFO server mtime"] {
            let text = client.run(line).into_text();
            assert_eq!(text.matches("# mtime\r\n").count(), 1, "{line}: {text}");
            assert_eq!(text.matches("\r\nmtime_sets:").count(), 1, "{line}: {text}");
        }
        for line in ["INFO server", "INFO commandstats"] {
            assert!(!client.run(line).into_text().contains("mtime_sets"), "{line}");
        }
        let everything = client.run("INFO everything").into_text();
        for section in ["# Server", "# Memory", "# Stats", "# Modules", "# Keyspace"] {
            assert!(everything.contains(section), "{section}");
        }
    }
}

#[test]
fn redis_cli_shows_it() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 5");
    let output =
        match Command::new("redis-cli").arg("-s").arg(server.socket()).args(["INFO", "mtime"]).output() {
            Ok(output) => output,
            Err(failure) => {
                eprintln!("NEEDS redis-cli: {failure}");
                return;
            }
        };
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.contains("# mtime") && text.contains("mtime_sets:1"), "{text}");
}

#[test]
fn other_reports_are_unharmed() {
    let server = Server::start();
    let mut client = server.client();
    for i in 0..100 {
        call!(client, "MTSET", format!("k{i}"), "value", i);
        call!(client, "SET", format!("k{i}"), "foreign");
    }
    let modules = client.run("MODULE LIST").into_items();
    let ours = modules
        .iter()
        .find(|module| module.field("name").map(Reply::into_text).as_deref() == Some("mtime"))
        .unwrap_or_else(|| panic!("mtime is not in {modules:?}"));
    assert!(ours.field("ver").expect("a version").into_int() > 0);
    let doctor = client.run("MEMORY DOCTOR").into_text();
    assert!(!doctor.is_empty() && !doctor.contains("mtime"), "{doctor}");
    let statistics = client.run("MEMORY STATS");
    assert!(statistics.field("peak.allocated").expect("a peak").into_int() > 0);
    assert!(statistics.field("keys.count").expect("a count").into_int() >= 100);
    assert!(client.run("MEMORY USAGE k1").into_int() > 0);
    assert!(!client.run("LATENCY DOCTOR").is_error());
    assert!(!client.run("SLOWLOG GET").is_error());
    let statistics = client.run("INFO commandstats").into_text();
    assert!(statistics.contains("cmdstat_mtset:calls=100,"), "{statistics}");
    assert!(client.run("DEBUG OBJECT nokey").is_error());
    assert_eq!(client.run("PING").into_text(), "PONG");
}

/// The log of a server that died, once it is complete.
fn crash_report(server: &Server) -> String {
    wait::until("the end of the crash report", || {
        let text = fs::read(server.directory().join("log")).ok()?;
        let text = String::from_utf8_lossy(&text).into_owned();
        text.contains("BUG REPORT END").then_some(text)
    })
}

#[test]
fn a_crash_report_is_complete_and_has_our_section() {
    for by_signal in [false, true] {
        let server = Server::with(&["crash-memcheck-enabled no"]);
        let mut client = server.client();
        client.run("MTSET k v 5");
        client.run("MTGET k 1");
        if by_signal {
            let pid = client.info("server", "process_id");
            let status =
                Command::new("sh").args(["-c", &format!("kill -SEGV {pid}")]).status().expect("a shell");
            assert!(status.success());
        } else {
            assert!(client.try_call(&words("DEBUG SEGFAULT")).is_err());
        }
        let report = crash_report(&server);
        let mut rest = report.as_str();
        for part in [
            "BUG REPORT START",
            "INFO OUTPUT",
            "# Server",
            "# Memory",
            "CLIENT LIST OUTPUT",
            "MODULES INFO OUTPUT",
            "# mtime",
            "mtime_modified:1",
            "mtime_sets:1",
            "mtime_cleaned:0",
            "BUG REPORT END",
        ] {
            let at =
                rest.find(part).unwrap_or_else(|| panic!("{part} is missing or out of order:\n{report}"));
            rest = &rest[at..];
        }
        wait::until("the server to be gone", || client.try_call(&words("PING")).is_err().then_some(()));
    }
}

#[test]
fn counting_goes_on_over_loads_and_role_changes() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MTSET k v 5");
    assert_eq!(client.run("DEBUG RELOAD"), ok());
    client.run("FLUSHALL");
    assert_eq!(client.run("MTGET k 5"), nil());
    assert_eq!(client.run("MTDEL k"), int(0));
    let counts = counts(&mut client);
    assert_eq!((counts["sets"], counts["missing"], counts["deletes"]), (1, 1, 0));
}
