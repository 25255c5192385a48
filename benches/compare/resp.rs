//! The smallest client that can fill a server and read replies as raw bytes, so that replies can be compared
//! byte for byte. It must not be used to generate timed load: that is `load`'s duty.

use std::borrow::Borrow;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How a null looks.
pub(crate) const NULL: &[u8] = b"$-1\r\n";

/// One connection, RESP2.
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    pub(crate) fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        // A server that hangs must end the benchmark, not hang it too. Filling 10,000,000 keys takes less.
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends one command and returns the bytes of its reply, errors included.
    pub(crate) fn call<A: Borrow<str>>(&mut self, arguments: &[A]) -> io::Result<Vec<u8>> {
        let mut command = Vec::new();
        encode(&mut command, arguments);
        Ok(self.call_encoded(&command, 1)?.concat())
    }

    /// Sends what [`encode`] has put into `commands` at once, and returns the bytes of each reply.
    pub(crate) fn call_encoded(&mut self, commands: &[u8], count: usize) -> io::Result<Vec<Vec<u8>>> {
        self.stream.get_mut().write_all(commands)?;
        let mut replies = Vec::new();
        for _ in 0..count {
            let mut reply = Vec::new();
            self.read_reply(&mut reply)?;
            replies.push(reply);
        }
        Ok(replies)
    }

    /// As [`Client::call`], but an error reply is an error.
    pub(crate) fn must<A: Borrow<str>>(&mut self, arguments: &[A]) -> io::Result<Vec<u8>> {
        let reply = self.call(arguments)?;
        refuse_error(&reply)?;
        Ok(reply)
    }

    /// Sends what [`encode`] has put into `commands` and checks that none of the `count` replies is an error.
    pub(crate) fn must_all(&mut self, commands: &[u8], count: usize) -> io::Result<()> {
        self.stream.get_mut().write_all(commands)?;
        let mut reply = Vec::new();
        for _ in 0..count {
            reply.clear();
            self.read_reply(&mut reply)?;
            refuse_error(&reply)?;
        }
        Ok(())
    }

    /// The text of a bulk string reply (`INFO`, `SCRIPT LOAD`).
    pub(crate) fn text(&mut self, arguments: &[&str]) -> io::Result<String> {
        let reply = self.must(arguments)?;
        let body = reply.iter().position(|byte| *byte == b'\n').map_or(&reply[..0], |end| &reply[end + 1..]);
        Ok(String::from_utf8_lossy(body).trim_end().to_owned())
    }

    /// The number of an integer reply.
    pub(crate) fn integer(&mut self, arguments: &[&str]) -> io::Result<usize> {
        let reply = self.must(arguments)?;
        let digits = String::from_utf8_lossy(reply.get(1..).unwrap_or_default()).trim().to_owned();
        digits.parse().map_err(|_| io::Error::other(format!("{arguments:?} answered no integer")))
    }

    fn read_reply(&mut self, reply: &mut Vec<u8>) -> io::Result<()> {
        let start = reply.len();
        self.stream.read_until(b'\n', reply)?;
        if reply.len() == start {
            return Err(io::Error::other("the server closed the connection"));
        }
        let line = String::from_utf8_lossy(&reply[start..]).into_owned();
        let (kind, rest) = line.split_at(1);
        match (kind, rest.trim().parse::<i64>()) {
            ("$", Ok(length @ 0..)) => {
                let body = u64::try_from(length).map_err(io::Error::other)? + 2;
                match self.stream.by_ref().take(body).read_to_end(reply)? as u64 {
                    read if read == body => Ok(()),
                    _ => Err(io::Error::other("the server closed the connection")),
                }
            }
            ("*", Ok(length)) => (0..length).try_for_each(|_| self.read_reply(reply)),
            _ => Ok(()),
        }
    }
}

/// Appends one command in the form a server expects.
pub(crate) fn encode<A: Borrow<str>>(buffer: &mut Vec<u8>, arguments: &[A]) {
    buffer.extend_from_slice(format!("*{}\r\n", arguments.len()).as_bytes());
    for argument in arguments {
        let argument = argument.borrow();
        buffer.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        buffer.extend_from_slice(argument.as_bytes());
        buffer.extend_from_slice(b"\r\n");
    }
}

fn refuse_error(reply: &[u8]) -> io::Result<()> {
    match reply.first() {
        Some(b'-') => Err(io::Error::other(String::from_utf8_lossy(reply).trim_end().to_owned())),
        _ => Ok(()),
    }
}
