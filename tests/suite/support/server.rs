//! Real servers for the tests: each in a private directory behind a unix socket (and a loopback port where
//! replicas need one), up within a deadline, ended by their own handle, and telling their log when a test fails.

use super::client::{Client, Protocol};
use super::module;
use super::storage;
use super::wait::{self, DEADLINE};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How a server is to be started.
#[derive(Clone)]
pub(crate) struct Builder {
    directives: Vec<String>,
    module: Option<String>,
    port: Option<u16>,
    bus_port: Option<u16>,
}

impl Builder {
    /// More lines for the configuration file. They come before `loadmodule`, as people write them.
    pub(crate) fn with(mut self, directives: &[&str]) -> Self {
        self.directives.extend(directives.iter().map(|line| (*line).to_owned()));
        self
    }

    pub(crate) fn without_module(mut self) -> Self {
        self.module = None;
        self
    }

    /// Words after the path in the `loadmodule` line.
    pub(crate) fn module_arguments(mut self, arguments: &str) -> Self {
        self.module = Some(arguments.to_owned());
        self
    }

    /// Also listen on a free loopback port, for replicas and cluster nodes.
    pub(crate) fn tcp(mut self) -> Self {
        self.port = Some(free_port());
        self
    }

    /// As a node of a cluster: also listen on another free port, for the other nodes.
    #[allow(dead_code, reason = "for the tests of the cluster")]
    pub(crate) fn node(mut self) -> Self {
        // Next to the port the server would take one that may be out of range.
        self.bus_port = Some(free_port());
        self.tcp()
    }

    /// Starts the server; panics with its log if it does not come up.
    pub(crate) fn start(self) -> Server {
        self.try_start().unwrap_or_else(|log| panic!("the server did not start; its log:\n{log}"))
    }

    /// Starts the server; a refusal to start gives the log.
    pub(crate) fn try_start(self) -> Result<Server, String> {
        let directory = tempfile::Builder::new().prefix("mtime-").tempdir().expect("a private directory");
        self.start_in(directory)
    }

    fn start_in(mut self, directory: TempDir) -> Result<Server, String> {
        // Somebody may take the free port between our look and the server's bind.
        for _ in 0..5 {
            match self.spawn(directory.path()) {
                Ok(child) => return Ok(Server { builder: self, directory, child }),
                Err(log) if self.port.is_some() && log.contains("Address already in use") => {
                    self.port = Some(free_port());
                    self.bus_port = self.bus_port.map(|_| free_port());
                }
                Err(log) => return Err(log),
            }
        }
        Err("no free port in five attempts".to_owned())
    }

    fn spawn(&self, directory: &Path) -> Result<Child, String> {
        fs::write(directory.join("redis.conf"), self.configuration(directory)).expect("a configuration file");
        self.run(directory)
    }

    fn run(&self, directory: &Path) -> Result<Child, String> {
        // The log of an earlier life on this directory would confuse the reader of a failure.
        let _ = fs::remove_file(log_path(directory));
        let program = program();
        let mut child = Command::new(&program)
            .arg(directory.join("redis.conf"))
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|failure| {
                panic!("cannot run {program}: {failure} (set REDIS_SERVER or install redis-server)")
            });
        let end = Instant::now() + DEADLINE;
        loop {
            if child.try_wait().expect("a child to ask about").is_some() {
                return Err(read_log(directory));
            }
            if let Ok(mut client) = Client::connect(&socket_path(directory), Protocol::Resp2)
                && client.try_call(&super::client::words("PING")).is_ok_and(|reply| !reply.is_error())
            {
                return Ok(child);
            }
            if Instant::now() > end {
                end_child(&mut child);
                return Err(format!("no PONG within {DEADLINE:?}\n{}", read_log(directory)));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn configuration(&self, directory: &Path) -> String {
        let mut lines = vec![
            format!("port {}", self.port.unwrap_or(0)),
            "bind 127.0.0.1".to_owned(),
            format!("unixsocket {}", socket_path(directory).display()),
            format!("dir {}", directory.display()),
            format!("logfile {}", log_path(directory).display()),
            "daemonize no".to_owned(),
            "save \"\"".to_owned(),
            "appendonly no".to_owned(),
            "enable-debug-command yes".to_owned(),
            "enable-module-command yes".to_owned(),
            // A replica that has to wait for the default of five seconds makes every test slow.
            "repl-diskless-sync-delay 0".to_owned(),
        ];
        if let Some(port) = self.bus_port {
            lines.extend(["cluster-enabled yes".to_owned(), format!("cluster-port {port}")]);
        }
        lines.extend(self.directives.iter().cloned());
        if let Some(arguments) = &self.module {
            if storage::is_keymeta() && !self.directives.iter().any(|line| line.starts_with("mtime.storage"))
            {
                lines.push("mtime.storage keymeta".to_owned());
            }
            lines.push(format!("loadmodule {} {arguments}", module::path()));
        }
        lines.join("\n") + "\n"
    }
}

/// A running server.
pub(crate) struct Server {
    builder: Builder,
    directory: TempDir,
    child: Child,
}

impl Server {
    /// A server with the module and otherwise defaults.
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// A server with the module and more configuration lines.
    pub(crate) fn with(directives: &[&str]) -> Self {
        Self::builder().with(directives).start()
    }

    /// A server without the module.
    pub(crate) fn plain() -> Self {
        Self::builder().without_module().start()
    }

    pub(crate) fn builder() -> Builder {
        Builder { directives: Vec::new(), module: Some(String::new()), port: None, bus_port: None }
    }

    /// A replica of `master` (which needs a port), linked and in sync.
    pub(crate) fn replica_of(master: &Self, builder: Builder) -> Self {
        let port = master.port();
        let replica = builder.tcp().with(&[&format!("replicaof 127.0.0.1 {port}")]).start();
        let mut client = replica.client();
        wait::until("the link to the master", || {
            (client.info("replication", "master_link_status") == "up").then_some(())
        });
        replica.sync_with(master);
        replica
    }

    /// Waits until this replica has applied everything `master` has sent.
    pub(crate) fn sync_with(&self, master: &Self) {
        let (mut ours, mut theirs) = (self.client(), master.client());
        wait::until("the replica to catch up", || {
            let sent = theirs.info("replication", "master_repl_offset");
            (ours.try_info("replication", "slave_repl_offset")? == sent).then_some(())
        });
    }

    /// Ends the server as a power cut would and starts it again on the same directory.
    pub(crate) fn restart(&mut self) {
        end_child(&mut self.child);
        self.child = self
            .builder
            .spawn(self.directory.path())
            .unwrap_or_else(|log| panic!("the server did not start again; its log:\n{log}"));
    }

    /// Ends the server as a power cut would.
    #[allow(dead_code, reason = "for the tests of the cluster")]
    pub(crate) fn kill(&mut self) {
        end_child(&mut self.child);
    }

    /// Stops the server where it stands, as an overloaded machine or a partition would; [`Server::thaw`] lets it go on.
    #[allow(dead_code, reason = "for the tests of the cluster")]
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Ends what [`Server::freeze`] has begun.
    #[allow(dead_code, reason = "for the tests of the cluster")]
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    #[allow(dead_code, reason = "for the tests of the cluster")]
    fn signal(&self, name: &str) {
        assert!(self.send_signal(name).expect("kill runs").success(), "kill {name}");
    }

    fn send_signal(&self, name: &str) -> std::io::Result<ExitStatus> {
        Command::new("kill").args([name, &self.child.id().to_string()]).status()
    }

    /// As [`Server::restart`], with the configuration file as the server itself rewrote it.
    pub(crate) fn restart_as_rewritten(&mut self) {
        end_child(&mut self.child);
        self.child = self
            .builder
            .run(self.directory.path())
            .unwrap_or_else(|log| panic!("the server did not start again; its log:\n{log}"));
    }

    /// Starts the server again after [`Server::kill`].
    #[allow(dead_code, reason = "for the tests of the cluster")]
    pub(crate) fn start_again(&mut self) {
        self.restart();
    }

    /// As [`Server::restart`], with the module taken out of the configuration.
    pub(crate) fn restart_without_module(&mut self) {
        self.builder.module = None;
        self.restart();
    }

    /// As [`Server::restart`], with the module put into the configuration.
    pub(crate) fn restart_with_module(&mut self) {
        self.builder.module = Some(String::new());
        self.restart();
    }

    /// As [`Server::restart`], with another configuration, on the same directory.
    pub(crate) fn restart_as(mut self, builder: Builder) -> Self {
        end_child(&mut self.child);
        self.builder = builder;
        self.restart();
        self
    }

    pub(crate) fn port(&self) -> u16 {
        self.builder.port.expect("a server started with tcp()")
    }

    /// Where it listens to the other nodes of its cluster.
    #[allow(dead_code, reason = "for the tests of the cluster")]
    pub(crate) fn bus_port(&self) -> u16 {
        self.builder.bus_port.expect("a server started with node()")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        socket_path(self.directory.path())
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn client(&self) -> Client {
        self.client_speaking(Protocol::Resp2)
    }

    pub(crate) fn resp3(&self) -> Client {
        self.client_speaking(Protocol::Resp3)
    }

    pub(crate) fn client_speaking(&self, protocol: Protocol) -> Client {
        Client::connect(&self.socket(), protocol)
            .unwrap_or_else(|failure| panic!("cannot connect: {failure}"))
    }

    pub(crate) fn log(&self) -> String {
        read_log(self.directory.path())
    }

    /// Whether the server is a Redis of at least that version, or a Valkey of at least that one. For features
    /// whose presence no command tells; says loudly when a test has to do without.
    pub(crate) fn has(&self, feature: &str, redis: (u32, u32), valkey: (u32, u32)) -> bool {
        let mut client = self.client();
        let (product, found, needed) = match client.try_info("server", "valkey_version") {
            Some(version) => ("Valkey", version, valkey),
            None => ("Redis", client.info("server", "redis_version"), redis),
        };
        let mut numbers = found.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if version < needed {
            eprintln!(
                "NEEDS A NEWER SERVER: {feature} ({product} {}.{}, this is {found})",
                needed.0, needed.1
            );
        }
        version >= needed
    }

    /// What a failed test shows of it: its log, and where it hangs if it does.
    fn report(&mut self) -> String {
        let (place, log) = (self.directory.path().display().to_string(), self.log());
        let stack = self.where_it_hangs().map(|stack| format!("--- it hangs ---\n{stack}\n"));
        format!("--- log of the server in {place} ---\n{log}\n{}", stack.unwrap_or_default())
    }

    /// The stack of a server that runs and does not answer, from what it writes when it is aborted. `None` for one that a
    /// test has frozen.
    fn where_it_hangs(&mut self) -> Option<String> {
        const PATIENCE: Duration = Duration::from_secs(2);
        let mut client = Client::connect(&self.socket(), Protocol::Resp2).ok()?;
        client.give_up_after(PATIENCE);
        if client.try_call(&super::client::words("PING")).is_ok() || self.is_frozen() {
            return None;
        }
        let _ = self.send_signal("-ABRT");
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = whole_log(self.directory.path());
        let stack = log.lines().skip_while(|line| !line.contains("STACK TRACE"));
        Some(stack.take_while(|line| !line.contains("INFO OUTPUT")).collect::<Vec<_>>().join("\n"))
    }

    fn is_frozen(&self) -> bool {
        // "pid (name) T ..."
        let status = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        status.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let report = std::thread::panicking().then(|| self.report());
        end_child(&mut self.child);
        if let Some(report) = report {
            eprintln!("{report}");
        } else {
            let log = self.log();
            assert!(
                !log.contains("differed from the one in the index"),
                "what is kept of the index is wrong:\n{log}"
            );
        }
    }
}

fn end_child(child: &mut Child) {
    // An error means that it has ended by itself, which wait() then collects.
    let _ = child.kill();
    let _ = child.wait();
}

fn program() -> String {
    std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

fn socket_path(directory: &Path) -> PathBuf {
    directory.join("socket")
}

fn log_path(directory: &Path) -> PathBuf {
    directory.join("log")
}

fn whole_log(directory: &Path) -> String {
    String::from_utf8_lossy(&fs::read(log_path(directory)).unwrap_or_default()).into_owned()
}

/// The end of the log.
fn read_log(directory: &Path) -> String {
    const SHOWN_LINES: usize = 60;
    let text = whole_log(directory);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

/// A port that nobody uses, below those of outgoing connections: one of these could take the port of a server that is
/// down for a moment.
pub(crate) fn free_port() -> u16 {
    const PORTS: std::ops::Range<u32> = 10_000..30_000;
    // Other test runs begin elsewhere: those that were started together have process numbers next to each other, and need
    // hundreds of ports each. About the golden ratio of the range, which keeps the multiples of small numbers apart.
    const APART: u32 = 12_361;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in PORTS {
        let number =
            std::process::id().wrapping_mul(APART).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(PORTS.start + number % (PORTS.end - PORTS.start)).expect("a port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}
