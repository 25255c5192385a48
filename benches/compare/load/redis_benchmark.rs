//! Most of the load is redis-benchmark, which anybody can run by hand.

use crate::Result;
use crate::arm::Arm;
use crate::resp::encode;
use crate::server::{Bytes, Server};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Sends `requests` requests of `arm`; returns requests a second.
pub(super) fn run(program: &str, socket: &Path, arm: &Arm, requests: usize) -> Result<f64> {
    let Some(template) = arm.commands.first() else { return Err("an arm without command".into()) };
    let mut command = Command::new(program);
    command.arg("-s").arg(socket);
    command.args(["-c", &arm.connections.to_string(), "-P", &arm.pipeline.to_string()]);
    command.args(["-n", &requests.to_string(), "-r", &arm.keys().to_string(), "--csv"]);
    command.args(template);
    let started = Instant::now();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    let wall = started.elapsed();
    let text = String::from_utf8_lossy(&output.stdout);
    // "name of the test","requests a second","avg","min","p50","p95","p99","max"; the name may hold anything.
    let rate = text.lines().last().and_then(|line| line.rsplit("\",\"").nth(6));
    let rate = rate.and_then(|rate| rate.parse::<f64>().ok()).filter(|_| output.status.success());
    // It counts milliseconds: a run of none is endlessly fast.
    let rate = rate.map(|rate| if rate.is_finite() { rate } else { requests as f64 / wall.as_secs_f64() });
    rate.ok_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("redis-benchmark failed on {}: {text}{errors}", arm.name).into()
    })
}

/// What it moves besides its load: it asks for some settings first.
pub(super) fn overhead(program: &str, server: &mut Server) -> Result<Bytes> {
    let (_, before) = server.counters()?;
    let mut command = Command::new(program);
    command.arg("-s").arg(&server.socket).args(["-c", "1", "-P", "1", "-n", "1", "--csv", "PING"]);
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program} does not run: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let (after, _) = server.counters()?;
    let mut ping = Vec::new();
    encode(&mut ping, &["PING"]);
    let pong = b"+PONG\r\n";
    Ok(Bytes {
        into: after.bytes.into - before.bytes.into - ping.len() as u64,
        out: after.bytes.out - before.bytes.out - pong.len() as u64,
    })
}
