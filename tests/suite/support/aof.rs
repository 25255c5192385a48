//! What a server propagates, read from its append-only file. With `appendfsync always` a command is in the file
//! before its reply leaves, so there is nothing to wait for.

use super::client::{Args, show};
use super::server::Server;
use std::fs;

/// The configuration of a server whose stream a test reads.
pub(crate) const AOF: &[&str] = &["appendonly yes", "appendfsync always"];

/// Reads what was propagated since the last look.
pub(crate) struct Stream<'a> {
    server: &'a Server,
    seen: usize,
}

impl<'a> Stream<'a> {
    /// Starts behind everything propagated until now.
    pub(crate) fn of(server: &'a Server) -> Self {
        let mut stream = Self { server, seen: 0 };
        stream.take();
        stream
    }

    /// The commands since the last look as one line each, without the SELECT of the database.
    pub(crate) fn take(&mut self) -> Vec<String> {
        self.take_all().into_iter().filter(|line| !line.starts_with("SELECT ")).collect()
    }

    /// As [`Stream::take`], with every SELECT.
    pub(crate) fn take_all(&mut self) -> Vec<String> {
        let all = self.commands();
        let fresh = all[self.seen..].iter().map(|command| show(command)).collect();
        self.seen = all.len();
        fresh
    }

    fn commands(&self) -> Vec<Args> {
        let directory = self.server.directory().join("appendonlydir");
        let path = fs::read_dir(&directory)
            .expect("a server with an append-only file")
            .map(|entry| entry.expect("a file").path())
            .find(|path| path.to_string_lossy().ends_with(".incr.aof"))
            .expect("an incremental append-only file");
        parse(&fs::read(path).expect("a file to read"))
    }
}

fn parse(mut bytes: &[u8]) -> Vec<Args> {
    let mut commands = Vec::new();
    while !bytes.is_empty() {
        let count = number(&mut bytes, b'*');
        let command = (0..count)
            .map(|_| {
                let length = number(&mut bytes, b'$');
                let (argument, rest) = bytes.split_at(length);
                bytes = rest.strip_prefix(b"\r\n").expect("a complete argument");
                argument.to_vec()
            })
            .collect();
        commands.push(command);
    }
    commands
}

fn number(bytes: &mut &[u8], sign: u8) -> usize {
    let end = bytes.iter().position(|byte| *byte == b'\r').expect("a complete line");
    let (line, rest) = bytes.split_at(end);
    *bytes = &rest[2..];
    assert_eq!(line[0], sign, "not a command stream");
    std::str::from_utf8(&line[1..]).expect("digits").parse().expect("a number")
}
