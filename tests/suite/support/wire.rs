//! The bare protocol: for tests where the exact bytes of a reply count (a client library shows both kinds of null
//! as one).

use super::server::Server;
use super::wait::DEADLINE;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

pub(crate) struct Wire {
    stream: UnixStream,
}

impl Wire {
    pub(crate) fn resp2(server: &Server) -> Self {
        let stream = UnixStream::connect(server.socket()).expect("a server to connect to");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket with a timeout");
        Self { stream }
    }

    pub(crate) fn resp3(server: &Server) -> Self {
        let mut wire = Self::resp2(server);
        wire.stream.write_all(b"HELLO 3\r\nECHO ready\r\n").expect("the server reads");
        let mut seen = Vec::new();
        let mut byte = [0];
        while !seen.ends_with(b"$5\r\nready\r\n") {
            wire.stream.read_exact(&mut byte).expect("an answer to HELLO");
            seen.push(byte[0]);
        }
        wire
    }

    /// Sends an inline command and reads exactly as many bytes as are expected, then a PING proves that there
    /// was not one more.
    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str, reply: &str) {
        self.stream.write_all(format!("{line}\r\nPING\r\n").as_bytes()).expect("the server reads");
        let mut expected = reply.as_bytes().to_vec();
        expected.extend_from_slice(b"+PONG\r\n");
        let mut got = vec![0; expected.len()];
        let outcome = self.stream.read_exact(&mut got);
        assert!(
            outcome.is_ok() && got == expected,
            "{line}: expected {}, got {} ({outcome:?})",
            expected.escape_ascii(),
            got.escape_ascii(),
        );
    }
}
