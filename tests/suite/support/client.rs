//! A thin layer over a real client library: raw arguments in, the reply as the server meant it out. Errors keep
//! their full line, and bytes stay bytes.

use super::wait::{self, DEADLINE};
use redis::{
    Connection, ConnectionAddr, ConnectionLike, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind,
    RedisConnectionInfo, Value,
};
use std::fmt;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Something that can stand as an argument of a command.
pub(crate) trait Argument {
    fn bytes(&self) -> Vec<u8>;
}

impl<T: Argument + ?Sized> Argument for &T {
    fn bytes(&self) -> Vec<u8> {
        (**self).bytes()
    }
}

impl Argument for str {
    fn bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

impl Argument for String {
    fn bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

impl Argument for [u8] {
    fn bytes(&self) -> Vec<u8> {
        self.to_vec()
    }
}

impl Argument for Vec<u8> {
    fn bytes(&self) -> Vec<u8> {
        self.clone()
    }
}

impl<const N: usize> Argument for [u8; N] {
    fn bytes(&self) -> Vec<u8> {
        self.to_vec()
    }
}

macro_rules! integer_arguments {
    ($($integer:ty),*) => {
        $(impl Argument for $integer {
            fn bytes(&self) -> Vec<u8> {
                self.to_string().into_bytes()
            }
        })*
    };
}
integer_arguments!(i32, i64, u64, u16, usize);

/// The arguments of one command.
pub(crate) type Args = Vec<Vec<u8>>;

/// Builds the arguments of a command from values of any argument type.
macro_rules! args {
    ($($argument:expr),+ $(,)?) => {
        vec![$($crate::support::client::Argument::bytes(&$argument)),+]
    };
}
pub(crate) use args;

/// Sends one command and gives its reply.
macro_rules! call {
    ($client:expr, $($argument:expr),+ $(,)?) => {
        $client.call(&[$($crate::support::client::Argument::bytes(&$argument)),+])
    };
}
pub(crate) use call;

/// A reply, told apart by what it means and not by the protocol version that carried it.
#[derive(Clone, PartialEq)]
pub(crate) enum Reply {
    Nil,
    Int(i64),
    Bulk(Vec<u8>),
    Status(String),
    Error(String),
    Array(Vec<Reply>),
    Map(Vec<(Reply, Reply)>),
    Set(Vec<Reply>),
    Double(f64),
    Boolean(bool),
}

pub(crate) fn nil() -> Reply {
    Reply::Nil
}

pub(crate) fn ok() -> Reply {
    Reply::Status("OK".to_owned())
}

pub(crate) fn int(value: i64) -> Reply {
    Reply::Int(value)
}

pub(crate) fn bulk(value: impl Argument) -> Reply {
    Reply::Bulk(value.bytes())
}

pub(crate) fn error(line: &str) -> Reply {
    Reply::Error(line.to_owned())
}

pub(crate) fn array(items: impl IntoIterator<Item = Reply>) -> Reply {
    Reply::Array(items.into_iter().collect())
}

/// `[mtime, value]`: a modified key in the shape of WITHMTIME.
pub(crate) fn modified(mtime: &str, value: impl Argument) -> Reply {
    array([bulk(mtime), bulk(value)])
}

/// `[mtime, null]`: a key that is not modified in the shape of WITHMTIME.
pub(crate) fn not_modified(mtime: &str) -> Reply {
    array([bulk(mtime), nil()])
}

/// `[null, value]`: an untracked key in the shape of WITHMTIME.
pub(crate) fn untracked(value: impl Argument) -> Reply {
    array([nil(), bulk(value)])
}

impl Reply {
    fn from_value(value: Value) -> Self {
        let all = |items: Vec<Value>| items.into_iter().map(Self::from_value).collect();
        match value {
            Value::Nil => Self::Nil,
            Value::Int(number) => Self::Int(number),
            Value::BulkString(bytes) => Self::Bulk(bytes),
            Value::SimpleString(line) => Self::Status(line),
            Value::Okay => ok(),
            Value::Array(items) => Self::Array(all(items)),
            Value::Set(items) => Self::Set(all(items)),
            Value::Map(pairs) => Self::Map(
                pairs.into_iter().map(|(k, v)| (Self::from_value(k), Self::from_value(v))).collect(),
            ),
            Value::Double(number) => Self::Double(number),
            Value::Boolean(flag) => Self::Boolean(flag),
            Value::VerbatimString { text, .. } => Self::Bulk(text.into_bytes()),
            // The library splits the line into a code and the rest; the server sent them as one.
            Value::ServerError(failure) => Self::Error(match failure.details() {
                Some(details) => format!("{} {details}", failure.code()),
                None => failure.code().to_owned(),
            }),
            other => panic!("a reply of a kind no test expects: {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Bulk(bytes) => bytes,
            Self::Status(line) => line.into_bytes(),
            other => panic!("expected a string, got {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn into_text(self) -> String {
        String::from_utf8(self.into_bytes()).expect("a reply in UTF-8")
    }

    #[track_caller]
    pub(crate) fn into_int(self) -> i64 {
        match self {
            Self::Int(number) => number,
            other => panic!("expected an integer, got {other:?}"),
        }
    }

    /// The items of an array, or of a set (RESP3 sends flags as sets).
    #[track_caller]
    pub(crate) fn into_items(self) -> Vec<Reply> {
        match self {
            Self::Array(items) | Self::Set(items) => items,
            other => panic!("expected an array, got {other:?}"),
        }
    }

    /// The pairs of a map, which RESP2 sends as a flat array.
    #[track_caller]
    pub(crate) fn into_pairs(self) -> Vec<(Reply, Reply)> {
        match self {
            Self::Map(pairs) => pairs,
            Self::Array(items) => {
                items.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
            }
            other => panic!("expected a map, got {other:?}"),
        }
    }

    /// The value of one field of a map, if it is there.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> Option<Reply> {
        self.clone()
            .into_pairs()
            .into_iter()
            .find_map(|(key, value)| (key.into_text() == name).then_some(value))
    }

    pub(crate) fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 200;
        match self {
            Self::Nil => f.write_str("(nil)"),
            Self::Int(number) => write!(f, "(integer) {number}"),
            Self::Bulk(bytes) if bytes.len() > SHOWN => {
                write!(f, "\"{}...\" ({} bytes)", bytes[..SHOWN].escape_ascii(), bytes.len())
            }
            Self::Bulk(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Self::Status(line) => f.write_str(line),
            Self::Error(line) => write!(f, "(error) {line}"),
            Self::Array(items) => f.debug_list().entries(items).finish(),
            Self::Map(pairs) => f.debug_map().entries(pairs.iter().map(|(k, v)| (k, v))).finish(),
            Self::Set(items) => f.debug_set().entries(items).finish(),
            Self::Double(number) => write!(f, "(double) {number}"),
            Self::Boolean(flag) => write!(f, "({flag})"),
        }
    }
}

/// Which version of the protocol a client speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Protocol {
    Resp2,
    Resp3,
}

pub(crate) const BOTH_PROTOCOLS: [Protocol; 2] = [Protocol::Resp2, Protocol::Resp3];

/// One connection.
pub(crate) struct Client {
    connection: Connection,
    pushes: Receiver<PushInfo>,
}

impl Client {
    /// Connects to the unix socket of a server; the error is a line for people.
    pub(crate) fn connect(socket: &Path, protocol: Protocol) -> Result<Self, String> {
        let version = match protocol {
            Protocol::Resp2 => ProtocolVersion::RESP2,
            Protocol::Resp3 => ProtocolVersion::RESP3,
        };
        let settings = RedisConnectionInfo::default().set_protocol(version).set_skip_set_lib_name();
        let mut connection = ConnectionAddr::Unix(socket.to_owned())
            .into_connection_info()
            .map(|info| info.set_redis_settings(settings))
            .and_then(redis::Client::open)
            .and_then(|client| client.get_connection())
            .map_err(|failure| failure.to_string())?;
        connection.set_read_timeout(Some(DEADLINE)).map_err(|failure| failure.to_string())?;
        let (sender, pushes) = channel();
        connection.set_push_sender(sender);
        Ok(Self { connection, pushes })
    }

    /// Counts a reply that takes longer as a lost connection.
    pub(crate) fn give_up_after(&mut self, patience: Duration) {
        self.connection.set_read_timeout(Some(patience)).expect("a socket with a timeout");
    }

    /// One command, one reply.
    #[track_caller]
    pub(crate) fn call(&mut self, arguments: &[Vec<u8>]) -> Reply {
        match self.try_call(arguments) {
            Ok(reply) => reply,
            Err(failure) => panic!("no reply to {}: {failure}", show(arguments)),
        }
    }

    /// One command; an error means that the connection is gone.
    pub(crate) fn try_call(&mut self, arguments: &[Vec<u8>]) -> Result<Reply, String> {
        self.connection
            .req_packed_command(&redis::pack_command(arguments))
            .map(Reply::from_value)
            .map_err(|failure| failure.to_string())
    }

    /// One command given as words between blanks, for arguments that have none.
    #[track_caller]
    pub(crate) fn run(&mut self, line: &str) -> Reply {
        self.call(&words(line))
    }

    /// Many commands in one write, their replies in order.
    #[track_caller]
    pub(crate) fn pipeline(&mut self, commands: &[Args]) -> Vec<Reply> {
        self.try_pipeline(commands).unwrap_or_else(|failure| panic!("no replies to a pipeline: {failure}"))
    }

    /// Many commands in one write; an error means that the connection is gone.
    pub(crate) fn try_pipeline(&mut self, commands: &[Args]) -> Result<Vec<Reply>, String> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let packed: Vec<u8> = commands.iter().flat_map(|command| redis::pack_command(command)).collect();
        let replies = self
            .connection
            .req_packed_commands(&packed, 0, commands.len())
            .map_err(|failure| failure.to_string())?;
        Ok(replies.into_iter().map(Reply::from_value).collect())
    }

    /// A command whose answer comes as a push (SUBSCRIBE in RESP3).
    #[track_caller]
    pub(crate) fn send(&mut self, line: &str) {
        self.connection.send_packed_command(&redis::pack_command(&words(line))).expect("the server reads");
    }

    /// What the server pushed until now. The PING makes sure that everything caused before this call is here:
    /// the server writes pushes and replies of one connection in order.
    #[track_caller]
    pub(crate) fn pushes(&mut self) -> Vec<(PushKind, Vec<Reply>)> {
        assert_eq!(self.run("PING"), Reply::Status("PONG".to_owned()));
        self.pushes
            .try_iter()
            .map(|push| (push.kind, push.data.into_iter().map(Reply::from_value).collect()))
            .collect()
    }

    /// The keys whose invalidation was pushed since the last call.
    #[track_caller]
    pub(crate) fn invalidated(&mut self) -> Vec<String> {
        let mut keys = Vec::new();
        for (kind, data) in self.pushes() {
            if kind == PushKind::Invalidate {
                for item in data {
                    keys.extend(item.into_items().into_iter().map(Reply::into_text));
                }
            }
        }
        keys
    }

    /// One field of INFO.
    #[track_caller]
    pub(crate) fn info(&mut self, section: &str, field: &str) -> String {
        self.try_info(section, field).unwrap_or_else(|| panic!("INFO {section} has no {field}"))
    }

    pub(crate) fn try_info(&mut self, section: &str, field: &str) -> Option<String> {
        let text = call!(self, "INFO", section).into_text();
        text.lines().find_map(|line| Some(line.strip_prefix(field)?.strip_prefix(':')?.trim_end().to_owned()))
    }

    /// Waits until the server neither saves nor rewrites, and is not about to. In one look at a time: a rewrite that waits
    /// for a save goes from "scheduled" to "in progress" between two.
    pub(crate) fn wait_for_children(&mut self) {
        const IDLE: [&str; 3] =
            ["rdb_bgsave_in_progress:0", "aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0"];
        wait::until("saves and rewrites to end", || {
            let text = self.run("INFO persistence").into_text();
            IDLE.iter().all(|idle| text.lines().any(|line| line == *idle)).then_some(())
        });
    }

    /// A rewrite of the AOF, from begin to end.
    #[track_caller]
    pub(crate) fn rewrite_aof(&mut self) {
        let reply = self.run("BGREWRITEAOF");
        assert!(!reply.is_error(), "{reply:?}");
        self.wait_for_rewrite();
    }

    /// Waits until a rewrite of the AOF has ended well.
    #[track_caller]
    pub(crate) fn wait_for_rewrite(&mut self) {
        self.wait_for_children();
        assert_eq!(self.info("persistence", "aof_last_bgrewrite_status"), "ok");
    }

    /// Runs lines of which none may fail.
    #[track_caller]
    pub(crate) fn run_all(&mut self, lines: &[&str]) {
        for line in lines {
            let reply = self.run(line);
            assert!(!reply.is_error(), "{line}: {reply:?}");
        }
    }

    /// The server's clock in microseconds since 1970.
    #[track_caller]
    pub(crate) fn clock_us(&mut self) -> i64 {
        let parts: Vec<i64> = self
            .run("TIME")
            .into_items()
            .into_iter()
            .map(|part| part.into_text().parse().expect("TIME answers numbers"))
            .collect();
        parts[0] * 1_000_000 + parts[1]
    }
}

/// Splits a line into arguments at blanks.
pub(crate) fn words(line: &str) -> Args {
    line.split_ascii_whitespace().map(|word| word.as_bytes().to_vec()).collect()
}

/// A command for people to read.
pub(crate) fn show(arguments: &[Vec<u8>]) -> String {
    const SHOWN: usize = 60;
    arguments
        .iter()
        .take(20)
        .map(|argument| match argument.len() {
            0..=SHOWN => argument.escape_ascii().to_string(),
            len => format!("{}...({len} bytes)", argument[..SHOWN].escape_ascii()),
        })
        .collect::<Vec<_>>()
        .join(" ")
}
