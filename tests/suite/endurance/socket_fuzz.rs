//! Bytes that no client library would send: random lines of our grammar, mutated, truncated and misframed, over several
//! connections at once. The server stays up, answers in time, keeps no memory, and an error changes nothing.
//!
//! `REDIS_MTIME_FUZZ_COMMANDS` says how many commands (default 100,000; a thorough run takes 1,000,000).

use crate::support::client::{Args, Client, Reply, args, bulk, ok, show, words};
use crate::support::dataset::digest;
use crate::support::dice::{Dice, number_of};
use crate::support::server::Server;
use crate::support::wait::{self, DEADLINE};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

const CONNECTIONS: u64 = 4;
const BATCH: u64 = 100;

// Command lines.

const NAMES: [&str; 10] =
    ["MTGET", "MTSET", "MTMGET", "MTTIME", "MTTOUCH", "MTDEL", "MTCLEAN", "mtget", "MtSeT", "mtset"];
const FOREIGN: [&str; 10] =
    ["SET", "GET", "DEL", "HSET", "HDEL", "APPEND", "RENAME", "COPY", "SUNIONSTORE", "INCR"];
const OPTIONS: [&str; 22] = [
    "EXACT",
    "WITHMTIME",
    "IFNEWER",
    "IFEQ",
    "NX",
    "XX",
    "EX",
    "PX",
    "EXAT",
    "PXAT",
    "KEEPTTL",
    "COUNT",
    "exact",
    "withMtime",
    "ifnewer",
    "ifEQ",
    "nx",
    "keepttl",
    "*",
    "GET",
    "DB",
    "REPLACE",
];
const NUMBERS: [&str; 26] = [
    "0",
    "1",
    "-1",
    "500",
    "501",
    "1.5",
    "1e3",
    "1e308",
    "1e309",
    "-1e309",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "1e-320",
    "0.1",
    "007",
    "+1",
    ".5",
    "5.",
    "nan",
    "inf",
    "0x10",
    "1700000000.1233999729156494",
    "",
    "1111111111111111111111111111111111111111111111111111111111111111",
];
const KEYS: [&str; 10] = ["a", "b", "c", "list", "hash", "MY_KEYSMTIME", "", "NX", "{a}", "0"];

fn word(dice: &mut Dice) -> Vec<u8> {
    match dice.below(20) {
        0..6 => dice.pick(&NUMBERS).as_bytes().to_vec(),
        6..12 => dice.pick(&KEYS).as_bytes().to_vec(),
        12..16 => dice.pick(&OPTIONS).as_bytes().to_vec(),
        16 => dice.below(u64::MAX).to_string().into_bytes(),
        17 => {
            let length = dice.index(2000);
            dice.bytes(length)
        }
        18 => vec![b'9'; dice.index(400)],
        _ => {
            let length = dice.index(12);
            dice.bytes(length)
        }
    }
}

/// A command that is often right, and often nearly so.
fn command(dice: &mut Dice) -> Args {
    let name = if dice.once_in(8) { dice.pick(&FOREIGN) } else { dice.pick(&NAMES) };
    let mut command = args![name];
    let sound = dice.below(3) > 0;
    match name.to_ascii_uppercase().as_str() {
        "MTSET" if sound => {
            command.extend(args![dice.pick(&KEYS), word(dice), dice.pick(&NUMBERS)]);
            if dice.once_in(2) {
                command.push(dice.pick(&OPTIONS).as_bytes().to_vec());
            }
            if dice.once_in(3) {
                command.extend(args![dice.pick(&["EX", "PX", "EXAT", "PXAT", "IFEQ"]), dice.pick(&NUMBERS)]);
            }
        }
        "MTGET" | "MTTOUCH" if sound => {
            command.extend(args![dice.pick(&KEYS), dice.pick(&NUMBERS)]);
            if dice.once_in(2) {
                command.push(dice.pick(&OPTIONS).as_bytes().to_vec());
            }
        }
        "MTCLEAN" if sound => command.extend(args![dice.pick(&NUMBERS), "COUNT", dice.pick(&NUMBERS)]),
        "RENAME" | "COPY" | "HSET" | "HDEL" | "SET" | "APPEND" if sound => {
            command.extend(args![dice.pick(&KEYS), dice.pick(&KEYS), dice.pick(&NUMBERS)]);
            command.truncate(if name == "HSET" { 4 } else { 3 });
        }
        _ => {
            let most = if dice.once_in(30) { 200 } else { 7 };
            let count = dice.below(most);
            command.extend((0..count).map(|_| word(dice)));
        }
    }
    if dice.once_in(10) {
        mutate(dice, &mut command);
    }
    command
}

/// Flips, drops, doubles or swaps something.
fn mutate(dice: &mut Dice, command: &mut Args) {
    let at = dice.index(command.len());
    match dice.below(5) {
        0 => {
            command.remove(at);
        }
        1 => {
            let copy = command[at].clone();
            command.insert(at, copy);
        }
        2 => {
            let other = dice.index(command.len());
            command.swap(at, other);
        }
        _ if !command[at].is_empty() => {
            let byte = dice.index(command[at].len());
            command[at][byte] = dice.bytes(1)[0];
        }
        _ => command[at] = dice.bytes(3),
    }
    if command.is_empty() {
        command.push(b"MTGET".to_vec());
    }
}

// Frames.

fn framed(command: &Args) -> Vec<u8> {
    redis::pack_command(command)
}

/// The inline form. The server takes lines of up to 64 KB.
fn inline(command: &Args) -> Vec<u8> {
    const LONGEST: usize = 60_000;
    let mut line = Vec::new();
    for argument in command {
        if !line.is_empty() {
            line.push(b' ');
        }
        line.push(b'"');
        for byte in argument {
            line.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        }
        line.push(b'"');
    }
    line.extend_from_slice(b"\r\n");
    if line.len() < LONGEST { line } else { framed(command) }
}

/// Bytes that are no good frame any more.
fn broken(dice: &mut Dice, mut bytes: Vec<u8>) -> Vec<u8> {
    match dice.below(5) {
        0 => bytes.truncate(dice.index(bytes.len())),
        1 => {
            let at = dice.index(bytes.len());
            bytes[at] = dice.bytes(1)[0];
        }
        2 => {
            let at = dice.index(bytes.len());
            let more = dice.bytes(3);
            bytes.splice(at..at, more);
        }
        3 => {
            let at = dice.index(bytes.len());
            bytes.remove(at);
        }
        _ => bytes.splice(0..0, *b"*-1\r\n$99999999999\r\n").for_each(drop),
    }
    bytes
}

/// A connection that sends raw bytes.
struct Line {
    stream: UnixStream,
}

impl Line {
    fn to(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("a server to connect to");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream.set_write_timeout(Some(DEADLINE)).expect("a timeout");
        Self { stream }
    }

    /// Sends good frames and reads until their last reply; the ECHO of a number that only this batch has is it.
    fn exchange(&mut self, mut bytes: Vec<u8>, mark: u64) {
        let echo = args!["ECHO", mark];
        bytes.extend(framed(&echo));
        let end = format!("\r\n{mark}\r\n").into_bytes();
        // Replies are small next to the buffers of a socket, but there may be many.
        let mut reader = self.stream.try_clone().expect("a second handle");
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let (mut seen, mut chunk) = (Vec::new(), vec![0; 65_536]);
                while !seen.ends_with(&end) {
                    let count = reader.read(&mut chunk).expect("a reply in time");
                    assert_ne!(count, 0, "the server has closed a connection with good frames");
                    seen.extend_from_slice(&chunk[..count]);
                    let excess = seen.len().saturating_sub(64);
                    seen.drain(..excess);
                }
            });
            self.stream.write_all(&bytes).expect("the server reads");
        });
    }

    /// Sends whatever bytes and demands no more than that the server comes to an end with them.
    fn throw(mut self, bytes: &[u8]) {
        // The server may have closed already.
        let _ = self.stream.write_all(bytes);
        let _ = self.stream.shutdown(Shutdown::Write);
        let mut chunk = vec![0; 65_536];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return,
                Ok(_) => {}
                Err(failure) if failure.kind() == ErrorKind::ConnectionReset => return,
                Err(failure) => panic!("the server hangs on {}: {failure}", bytes.escape_ascii()),
            }
        }
    }
}

fn fuzz(socket: PathBuf, mut dice: Dice, commands: u64) {
    let mut line = Line::to(&socket);
    for _ in 0..commands / BATCH {
        let batch: Vec<Args> = (0..BATCH).map(|_| command(&mut dice)).collect();
        match dice.below(10) {
            0 => {
                let bytes: Vec<u8> = batch.iter().flat_map(framed).collect();
                Line::to(&socket).throw(&broken(&mut dice, bytes));
            }
            1 => {
                let bytes: Vec<u8> =
                    batch.iter().flat_map(|command| broken(&mut dice, inline(command))).collect();
                Line::to(&socket).throw(&bytes);
            }
            2 => line.exchange(batch.iter().flat_map(inline).collect(), dice.next()),
            _ => line.exchange(batch.iter().flat_map(framed).collect(), dice.next()),
        }
    }
}

/// One round on all connections at once.
fn round(server: &Server, dice: &mut Dice, commands: u64) {
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (socket, dice) = (server.socket(), Dice::seeded(dice.next()));
            std::thread::spawn(move || fuzz(socket, dice, commands / CONNECTIONS))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap_or_else(|_| panic!("a connection of seed {} has failed", dice.seed()));
    }
}

/// Memory in use when there is no data and no other client. Some is freed in the background, so the least of many looks.
fn memory_at_rest(client: &mut Client) -> u64 {
    const LOOKS: u32 = 200;
    assert_eq!(client.run("FLUSHALL"), ok());
    wait::until("the other clients to be gone", || {
        (client.info("clients", "connected_clients") == "1").then_some(())
    });
    let (mut looks, mut least) = (0, u64::MAX);
    wait::until("memory to come to rest", || {
        looks += 1;
        least = least.min(client.info("memory", "used_memory").parse().expect("a number"));
        (looks == LOOKS).then_some(least)
    })
}

#[test]
fn random_bytes_leave_neither_wreck_nor_waste() {
    let commands = number_of("REDIS_MTIME_FUZZ_COMMANDS", || 100_000);
    let mut dice = Dice::new();
    // The slow log keeps what clients send.
    let server = Server::with(&["slowlog-max-len 0"]);
    let mut client = server.client();
    client.pipeline(&[words("RPUSH list a"), words("HSET hash f v")]);
    round(&server, &mut dice, commands / 5);
    let baseline = memory_at_rest(&mut client);
    const ROUNDS: u64 = 4;
    for _ in 0..ROUNDS {
        client.pipeline(&[words("RPUSH list a"), words("HSET hash f v")]);
        round(&server, &mut dice, commands / 5);
    }
    let after = memory_at_rest(&mut client);
    println!("{commands} commands, {baseline} bytes at first, {after} in the end, seed {}", dice.seed());
    const SLACK: u64 = 100_000;
    assert!(after <= baseline + SLACK, "{baseline} bytes at first, {after} in the end, seed {}", dice.seed());
    assert_eq!(client.run("PING").into_text(), "PONG");
    assert_eq!(client.run("MTSET k v 500"), ok());
    assert_eq!(client.run("MTGET k 499"), bulk("v"));
}

#[test]
fn an_error_has_changed_nothing() {
    let commands = number_of("REDIS_MTIME_FUZZ_COMMANDS", || 100_000) / 10;
    let mut dice = Dice::new();
    let server = Server::start();
    let mut client = server.client();
    // What expires meanwhile would be a change.
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    let mut errors = 0;
    // A command may meet a key that has expired and delete it: no change that the command makes.
    let expired = "return redis.call('INFO', 'stats'):match('expired_keys:(%d+)')";
    let look = [args!["EVAL", expired, 0], words("DEBUG DIGEST")];
    for round in 0..commands / 50 {
        client.pipeline(&[words("FLUSHALL"), words("RPUSH list a"), words("HSET hash f v")]);
        let mut batch = look.to_vec();
        for _ in 0..50 {
            let mut command = command(&mut dice);
            // The client library cannot read an error that echoes an unknown command.
            if !NAMES.iter().chain(&FOREIGN).any(|name| command[0] == name.as_bytes()) {
                command[0] = dice.pick(&NAMES).as_bytes().to_vec();
            }
            batch.push(command);
            batch.extend(look.to_vec());
        }
        let replies = client.pipeline(&batch);
        for (commands, replies) in batch[2..].chunks_exact(3).zip(replies.windows(5).step_by(3)) {
            if let Reply::Error(text) = &replies[2] {
                errors += 1;
                let (before, after) = (&replies[..2], &replies[3..]);
                let has_expired = before[0] != after[0];
                let is_ours = commands[0][0].to_ascii_uppercase().starts_with(b"MT");
                assert!(
                    before == after || has_expired || !is_ours,
                    "round {round}, seed {}: {} answered {text} and changed something",
                    dice.seed(),
                    show(&commands[0])
                );
            }
        }
    }
    assert!(errors > commands / 20, "only {errors} errors in {commands} commands");
    assert_ne!(digest(&mut client), "");
}
