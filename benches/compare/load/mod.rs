//! Timed load, and what it made the server do.

mod closed_loop;
pub(crate) mod fill;
mod memtier;
pub(crate) mod open_loop;
mod redis_benchmark;
mod replies;
mod request;

use crate::Result;
use crate::arm::{Arm, Generator, Traffic};
use crate::programs::Programs;
use crate::server::{Bytes, CpuTime, Server};
use crate::stats::{OwnQuantiles, Sample};
use closed_loop::Until;
use request::Request;
use std::time::Duration;

/// How long one look at what an arm can do takes.
const PROBE: Duration = Duration::from_millis(20);

/// How long to run.
#[derive(Clone, Copy)]
pub(crate) enum Length {
    /// About so many requests.
    Requests(usize),
    /// About that time, for something that does so many keys a second.
    Seconds { seconds: f64, rate: f64 },
}

/// The load generators.
pub(crate) struct Load {
    redis_benchmark: String,
    /// What redis-benchmark moves that is not the arm's.
    overhead: Bytes,
    memtier: Option<String>,
}

impl Load {
    pub(crate) fn new(programs: &Programs, server: &mut Server) -> Result<Self> {
        Ok(Self {
            redis_benchmark: programs.benchmark.clone(),
            overhead: redis_benchmark::overhead(&programs.benchmark, server)?,
            memtier: programs.memtier.clone(),
        })
    }

    /// Runs `arm` once.
    pub(crate) fn run(&self, server: &mut Server, arm: &Arm, length: Length) -> Result<Sample> {
        let requests = requests(arm, length);
        if let Traffic::InOrder { prepare, keys } = &arm.traffic {
            fill::template(&mut server.client, prepare, *keys)?;
        }
        let (_, before) = server.counters()?;
        let started = server.cpu_time()?;
        let nothing = Bytes { into: 0, out: 0 };
        let (rate, overhead, own) = match arm.generator {
            Generator::RedisBenchmark => {
                let rate = redis_benchmark::run(&self.redis_benchmark, &server.socket, arm, requests)?;
                (rate, self.overhead, None)
            }
            Generator::ClosedLoop => {
                (closed_loop::run(&server.socket, arm, &Until::Requests(requests))?, nothing, None)
            }
            Generator::Memtier => {
                let program = self.memtier.as_ref().ok_or("memtier_benchmark is not there")?;
                let totals = memtier::run(program, &server.socket, arm, requests)?;
                (totals.rate, nothing, Some(totals.quantiles))
            }
        };
        let ended = server.cpu_time()?;
        let (after, _) = server.counters()?;
        if after.errors != before.errors {
            return Err(format!("{}: the server answered errors under load", arm.name).into());
        }
        if after.misses != before.misses {
            return Err(format!("{}: keys were asked for that are not there", arm.name).into());
        }
        let into = (after.bytes.into - before.bytes.into).saturating_sub(overhead.into);
        let out = (after.bytes.out - before.bytes.out).saturating_sub(overhead.out);
        // All requests of an arm have the same length. This makes sure of the count of bytes, and that the generator
        // sent what it was told to.
        let expected = (Request::new(arm).len() * requests) as u64;
        if into != expected {
            return Err(format!("{}: {into} bytes arrived, {expected} were to be sent", arm.name).into());
        }
        let keys = requests * arm.keys_a_request;
        Ok(sample(started, ended, Bytes { into, out }, keys, rate * arm.keys_a_request as f64, own))
    }

    /// How often a second `arm` gets all replies to so many requests in one write, with one write in flight on each
    /// connection: the best of three short runs, as others on the machine can only make it less.
    pub(crate) fn capacity(server: &Server, arm: &Arm, together: usize) -> Result<f64> {
        let arm = Arm { generator: Generator::ClosedLoop, ..arm.clone() }.pipeline(together);
        let mut best = 0.0_f64;
        for _ in 0..3 {
            best = best.max(closed_loop::run(&server.socket, &arm, &Until::Over(PROBE))?);
        }
        Ok(best / together as f64)
    }
}

/// Whole pipelines on all connections only: redis-benchmark rounds up, and the CPU time is divided by what we asked for.
fn requests(arm: &Arm, length: Length) -> usize {
    if let Traffic::InOrder { keys, .. } = arm.traffic {
        return keys;
    }
    let batch = arm.connections * arm.pipeline;
    let pipelines = match length {
        Length::Requests(requests) => requests / batch / arm.keys_a_request,
        Length::Seconds { seconds, rate } => {
            (rate * seconds / (batch * arm.keys_a_request) as f64).ceil() as usize
        }
    };
    batch * pipelines.clamp(2, 1_000_000)
}

fn sample(
    before: CpuTime,
    after: CpuTime,
    bytes: Bytes,
    keys: usize,
    rate: f64,
    own: Option<OwnQuantiles>,
) -> Sample {
    let a_key =
        |before: Duration, after: Duration| after.saturating_sub(before).as_nanos() as f64 / keys as f64;
    let share = |nanoseconds: f64| (nanoseconds * rate / 1e9).min(1.0);
    let cpu = a_key(before.used, after.used);
    Sample {
        cpu,
        rate,
        busy: share(cpu),
        waited: share(a_key(before.waited, after.waited)),
        wire_in: bytes.into as f64 / keys as f64,
        wire_out: bytes.out as f64 / keys as f64,
        own,
    }
}
