//! Timed load. Most of it is redis-benchmark, which anybody can run by hand; only commands that may meet each key
//! once (DEL, a write that drops an index entry) need keys in order, which redis-benchmark cannot do.

use crate::Result;
use crate::resp::{Client, encode};
use crate::server::{CpuTime, Server};
use crate::stats::Sample;
use crate::workload::{Arm, Traffic, instantiate};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

/// Connections, as many as redis-benchmark opens when nobody asks for another number.
pub(crate) const CLIENTS: usize = 50;

/// How long to run.
pub(crate) enum Length {
    /// That many pipelines on each connection.
    Pipelines(usize),
    /// About that time, for something that does so many keys a second.
    Seconds { seconds: f64, rate: f64 },
}

/// Runs `arm` once.
pub(crate) fn run(server: &mut Server, redis_benchmark: &str, arm: &Arm, length: Length) -> Result<Sample> {
    let errors_before = server.info("stats", "total_error_replies")?;
    let sample = match arm.traffic {
        Traffic::Random { keys } => {
            // Whole pipelines only: redis-benchmark rounds up, and the CPU time is divided by what we asked for.
            let batch = CLIENTS * arm.pipeline;
            let pipelines = match length {
                Length::Pipelines(pipelines) => pipelines,
                Length::Seconds { seconds, rate } => {
                    let pipelines = rate * seconds / (batch * arm.keys_a_request) as f64;
                    (pipelines.ceil() as usize).clamp(4, 100_000)
                }
            };
            random(server, redis_benchmark, arm, keys, batch * pipelines)?
        }
        Traffic::InOrder { ref prepare, keys } => {
            fill(&mut server.client, prepare, keys)?;
            in_order(server, arm, keys)?
        }
    };
    if server.info("stats", "total_error_replies")? != errors_before {
        return Err(format!("{}: the server answered errors under load", arm.name).into());
    }
    Ok(sample)
}

fn random(server: &Server, redis_benchmark: &str, arm: &Arm, keys: usize, requests: usize) -> Result<Sample> {
    let mut command = Command::new(redis_benchmark);
    command.arg("-s").arg(&server.socket);
    command.args(["-c", &CLIENTS.to_string(), "-P", &arm.pipeline.to_string()]);
    command.args(["-n", &requests.to_string(), "-r", &keys.to_string(), "--csv"]);
    command.args(&arm.command);

    let before = server.cpu_time()?;
    let output = command.output().map_err(|error| format!("{redis_benchmark}: {error}"))?;
    let after = server.cpu_time()?;

    let text = String::from_utf8_lossy(&output.stdout);
    // "name of the test","requests a second","avg","min","p50","p95","p99","max"; the name may hold anything.
    let rate = text.lines().last().and_then(|line| line.rsplit("\",\"").nth(6));
    let rate = rate.and_then(|rate| rate.parse::<f64>().ok()).filter(|_| output.status.success());
    let Some(rate) = rate else {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("redis-benchmark failed on {}: {text}{errors}", arm.name).into());
    };
    Ok(sample(before, after, requests * arm.keys_a_request, rate * arm.keys_a_request as f64))
}

/// Every key once, in order, `CLIENTS` connections with `arm.pipeline` requests in flight on each.
fn in_order(server: &Server, arm: &Arm, keys: usize) -> Result<Sample> {
    let mut connections = Vec::new();
    for _ in 0..CLIENTS {
        connections.push(UnixStream::connect(&server.socket)?);
    }
    // Encoded beforehand, so that the load keeps up with the server.
    let numbers: Vec<usize> = (0..keys).collect();
    let mut batches = Vec::new();
    for batch in numbers.chunks(arm.pipeline) {
        let mut bytes = Vec::new();
        for number in batch {
            encode(&mut bytes, &instantiate(&arm.command, &mut || *number));
        }
        batches.push((bytes, batch.len()));
    }

    let before = server.cpu_time()?;
    let started = Instant::now();
    let mut buffer = [0; 4096];
    for round in batches.chunks(CLIENTS) {
        for ((bytes, _), connection) in round.iter().zip(&mut connections) {
            connection.write_all(bytes)?;
        }
        for ((_, replies), connection) in round.iter().zip(&mut connections) {
            let mut missing = *replies;
            while missing > 0 {
                let length = connection.read(&mut buffer)?;
                // Every command loaded in this way answers one line.
                let lines = buffer[..length].iter().filter(|byte| **byte == b'\n').count();
                missing = missing.saturating_sub(lines);
                if length == 0 {
                    return Err("the server closed the connection".into());
                }
            }
        }
    }
    let wall = started.elapsed();
    let after = server.cpu_time()?;
    Ok(sample(before, after, keys, keys as f64 / wall.as_secs_f64()))
}

fn sample(before: CpuTime, after: CpuTime, keys: usize, rate: f64) -> Sample {
    let a_key =
        |before: Duration, after: Duration| after.saturating_sub(before).as_nanos() as f64 / keys as f64;
    let share = |nanoseconds: f64| (nanoseconds * rate / 1e9).min(1.0);
    let cpu = a_key(before.used, after.used);
    Sample { cpu, rate, busy: share(cpu), waited: share(a_key(before.waited, after.waited)) }
}

/// Sends `template` once for each of the first `keys` keys.
pub(crate) fn fill(client: &mut Client, template: &[String], keys: usize) -> Result<()> {
    let mut commands = Vec::new();
    let mut waiting = 0;
    for number in 0..keys {
        encode(&mut commands, &instantiate(template, &mut || number));
        waiting += 1;
        if commands.len() > 100_000 {
            client.must_all(&commands, waiting)?;
            commands.clear();
            waiting = 0;
        }
    }
    client.must_all(&commands, waiting)?;
    Ok(())
}
