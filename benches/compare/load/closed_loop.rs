//! A closed loop for what redis-benchmark cannot do: requests of several commands, and each key once, in order. Each
//! connection has a pipeline in flight, and gets the next when all replies have come.

use super::replies::Replies;
use super::request::{Numbers, Request};
use crate::Result;
use crate::arm::{Arm, Traffic};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

struct Connection {
    stream: UnixStream,
    replies: Replies,
    /// Replies that have not come yet.
    missing: usize,
}

/// When to stop.
pub(super) enum Until {
    /// After so many requests.
    Requests(usize),
    /// After that time.
    Over(Duration),
}

/// Sends requests of `arm`; returns requests a second.
pub(super) fn run(socket: &Path, arm: &Arm, until: &Until) -> Result<f64> {
    let mut connections = Vec::new();
    for _ in 0..arm.connections {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        connections.push(Connection { stream, replies: Replies::new(), missing: 0 });
    }
    let mut request = Request::new(arm);
    let in_order = matches!(arm.traffic, Traffic::InOrder { .. });
    let (mut numbers, mut successor) = (Numbers::new(arm.keys()), 0..);
    let mut number = || if in_order { successor.next().unwrap_or_default() } else { numbers.next() };

    let started = Instant::now();
    let (mut pipeline, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    let mut sent = 0;
    let mut busy = true;
    while busy {
        busy = false;
        for connection in &mut connections {
            connection.finish(&mut buffer)?;
            let next = match until {
                Until::Requests(requests) => arm.pipeline.min(requests - sent),
                Until::Over(time) if started.elapsed() < *time => arm.pipeline,
                Until::Over(_) => 0,
            };
            if next > 0 {
                pipeline.clear();
                for _ in 0..next {
                    pipeline.extend_from_slice(request.next(&mut number));
                }
                connection.stream.write_all(&pipeline)?;
                connection.missing = next * request.replies;
                sent += next;
                busy = true;
            }
        }
    }
    Ok(sent as f64 / started.elapsed().as_secs_f64())
}

impl Connection {
    /// Waits for the replies that have not come yet.
    fn finish(&mut self, buffer: &mut [u8]) -> Result<()> {
        while self.missing > 0 {
            let length = self.stream.read(buffer)?;
            if length == 0 {
                return Err("the server closed the connection".into());
            }
            let complete = self.replies.count(&buffer[..length])?;
            self.missing = self.missing.checked_sub(complete).ok_or("more replies than requests")?;
        }
        Ok(())
    }
}
