//! An open loop: each request has its time, and is sent then whether or not earlier ones were answered, on many
//! connections in turn. How long it took counts from that time. A closed loop would wait with a server that stalls, ask
//! nothing meanwhile, and count one slow reply where all who wanted to ask had to wait (coordinated omission).

use super::replies::Replies;
use super::request::{Numbers, Request};
use crate::Result;
use crate::arm::Arm;
use crate::latency::{LatencyRun, histogram};
use hdrhistogram::Histogram;
use mio::net::UnixStream;
use mio::{Events, Interest, Poll, Token};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Without a reply for that long, the server hangs.
const PATIENCE: Duration = Duration::from_secs(60);

struct Connection {
    stream: UnixStream,
    replies: Replies,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
    /// How much of that it has taken meanwhile.
    gone: usize,
    /// When the requests were due whose replies have not come yet.
    due: VecDeque<Instant>,
    /// Replies that have come to the first of them.
    replied: usize,
}

/// Sends so many requests of `arm` together, at `rate` a second for about `seconds`.
pub(crate) fn run(socket: &Path, arm: &Arm, together: usize, rate: f64, seconds: f64) -> Result<LatencyRun> {
    let mut poll = Poll::new()?;
    let mut connections = Vec::new();
    for number in 0..arm.connections {
        // Waits while the server has many others to accept.
        let stream = std::os::unix::net::UnixStream::connect(socket)?;
        stream.set_nonblocking(true)?;
        let mut stream = UnixStream::from_std(stream);
        poll.registry().register(&mut stream, Token(number), Interest::READABLE | Interest::WRITABLE)?;
        connections.push(Connection {
            stream,
            replies: Replies::new(),
            unsent: Vec::new(),
            gone: 0,
            due: VecDeque::new(),
            replied: 0,
        });
    }
    let mut request = Request::new(arm);
    let mut numbers = Numbers::new(arm.keys());
    let mut events = Events::with_capacity(arm.connections.max(16));
    let mut buffer = vec![0; 256 << 10];
    let mut histogram = histogram()?;

    let requests = ((rate * seconds) as usize).max(20);
    let (mut sent, mut answered) = (0, 0);
    let started = Instant::now();
    let mut last_reply = started;
    while answered < requests {
        let now = Instant::now();
        // No more than a few at a time, so that replies are not left lying when it is late.
        for _ in 0..16 {
            let due = started + Duration::from_secs_f64(sent as f64 / rate);
            if sent == requests || due > now {
                break;
            }
            let number = sent % connections.len();
            let connection = &mut connections[number];
            connection.due.push_back(due);
            for _ in 0..together {
                connection.unsent.extend_from_slice(request.next(&mut || numbers.next()));
            }
            connection.flush()?;
            sent += 1;
        }
        // It has a CPU to itself, and sleeping would be late.
        match poll.poll(&mut events, Some(Duration::ZERO)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            let connection = &mut connections[event.token().0];
            if event.is_writable() {
                connection.flush()?;
            }
            let complete = connection.receive(&mut buffer, request.replies * together, &mut histogram)?;
            if complete > 0 {
                answered += complete;
                last_reply = Instant::now();
            }
        }
        if last_reply.elapsed() > PATIENCE {
            return Err("the server does not answer any more".into());
        }
    }
    // All were sent in the time of as many intervals; what it took beyond that is lag.
    let took = last_reply.duration_since(started).as_secs_f64().max(requests as f64 / rate);
    Ok(LatencyRun { histogram, achieved: requests as f64 / took })
}

impl Connection {
    /// Until the socket takes no more: the poll tells of changes only.
    fn flush(&mut self) -> Result<()> {
        while self.gone < self.unsent.len() {
            match self.stream.write(&self.unsent[self.gone..]) {
                Ok(taken) => self.gone += taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.unsent.clear();
        self.gone = 0;
        Ok(())
    }

    /// All that has come; how many requests it answers.
    fn receive(
        &mut self,
        buffer: &mut [u8],
        replies_a_request: usize,
        histogram: &mut Histogram<u64>,
    ) -> Result<usize> {
        let mut answered = 0;
        loop {
            let length = match self.stream.read(buffer) {
                Ok(0) => return Err("the server closed the connection".into()),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(answered),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let now = Instant::now();
            self.replied += self.replies.count(&buffer[..length])?;
            while self.replied >= replies_a_request {
                self.replied -= replies_a_request;
                let due = self.due.pop_front().ok_or("more replies than requests")?;
                let took = now.saturating_duration_since(due).as_nanos();
                histogram.saturating_record(u64::try_from(took).unwrap_or(u64::MAX).max(1));
                answered += 1;
            }
        }
    }
}
