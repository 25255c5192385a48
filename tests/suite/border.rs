//! A panic inside the module: answered, logged, and nothing more. In a build with a command that panics on purpose.

use crate::support::client::{Reply, bulk, call, error, nil, ok, words};
use crate::support::server::Server;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const INTERNAL: &str = "ERR internal error in module mtime, see the server's log";

/// The module with the feature `panic-injection`: `REDIS_MTIME_PANIC_MODULE`, or a build of our own. That one is moved
/// away from where cargo puts it, so that nobody installs it by mistake.
fn panicking_module() -> PathBuf {
    const FILE_NAME: &str = "libredis_mtime.so";
    if let Ok(path) = std::env::var("REDIS_MTIME_PANIC_MODULE") {
        return PathBuf::from(path);
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    // The profile of this very test, whose dependencies are there already.
    let output = Command::new(cargo)
        .args(["build", "--lib", "--features", "panic-injection", "--message-format=json-render-diagnostics"])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .stdin(Stdio::null())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).expect("cargo speaks UTF-8");
    let built = messages.split('"').rfind(|part| part.ends_with(FILE_NAME)).expect("cargo made the module");
    let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("libredis_mtime-panics.so");
    // Either may be the case when two runs of the suite meet.
    let _ = fs::remove_file(&kept);
    fs::rename(built, &kept).expect("to move the module");
    kept
}

#[test]
fn a_panic_is_an_error_reply_and_a_line_in_the_log() {
    let module = panicking_module();
    let server =
        Server::builder().without_module().with(&[&format!("loadmodule {}", module.display())]).start();
    let mut client = server.client();
    client.run("MTSET k v 500");
    for _ in 0..100 {
        assert_eq!(client.run("MTPANIC"), error(INTERNAL));
    }
    let unit = ["MULTI", "MTSET k w 501", "MTPANIC", "MTSET l w 501", "EXEC"].map(words);
    let replies = client.pipeline(&unit);
    assert_eq!(replies[4], Reply::Array(vec![ok(), error(INTERNAL), ok()]));

    let caught =
        "local failed = redis.pcall('MTPANIC') redis.call('MTSET', KEYS[1], 'x', 502) return failed.err";
    let reply = call!(client, "EVAL", caught, 1, "k").into_text();
    assert!(reply.contains("internal error in module mtime"), "{reply}");
    let reply = call!(client, "EVAL", "return redis.call('MTPANIC')", 0);
    assert!(
        matches!(&reply, Reply::Error(text) if text.contains("internal error in module mtime")),
        "{reply:?}"
    );

    // A crowd of them, and everything goes on.
    let crowd = vec![words("MTPANIC"); 2000];
    assert!(client.pipeline(&crowd).iter().all(|reply| *reply == error(INTERNAL)));
    assert_eq!(client.run("MTGET k 501"), bulk("x"));
    assert_eq!(client.run("MTGET k 502"), nil());
    assert_eq!(client.run("MTGET l 500"), bulk("w"));
    assert_eq!(client.run("PING").into_text(), "PONG");

    let log = server.log();
    let lines = log.lines().filter(|line| line.contains("<mtime> panic in mtpanic, answered as an error"));
    assert!(lines.count() > 10, "{log}");
    assert!(!log.contains("crashed"), "{log}");
}

#[test]
fn a_release_has_no_command_that_panics() {
    let server = Server::start();
    let reply = server.client().run("MTPANIC");
    assert!(matches!(&reply, Reply::Error(text) if text.contains("unknown command")), "{reply:?}");
}
