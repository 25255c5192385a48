//! A private server on a unix socket, pinned to its CPU, the CPU time it has used, and what it has counted.

use crate::Result;
use crate::machine::Pinning;
use crate::resp::{Client, encode};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `mtime.storage` of a server with the module.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Storage {
    Hash,
    Keymeta,
}

/// What a server counts about its clients.
#[derive(Clone, Copy)]
pub(crate) struct Counters {
    pub(crate) errors: u64,
    /// Reads of keys that are not there.
    pub(crate) misses: u64,
    /// What came in and went out over sockets.
    pub(crate) bytes: Bytes,
}

/// On the wire, as the server sees it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Bytes {
    pub(crate) into: u64,
    pub(crate) out: u64,
}

/// Since the start of the thread.
#[derive(Clone, Copy)]
pub(crate) struct CpuTime {
    /// Running.
    pub(crate) used: Duration,
    /// Ready to run while others were.
    pub(crate) waited: Duration,
}

/// Killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) socket: PathBuf,
    pub(crate) client: Client,
}

impl Server {
    /// Starts `binary` in `directory` (which must exist and be empty), with `module` and its storage if there is one.
    pub(crate) fn start(
        binary: &Path,
        directory: &Path,
        module: Option<(&Path, Storage)>,
        cluster_ports: Option<(u16, u16)>,
        cpu: Option<&Pinning>,
    ) -> Result<Self> {
        let socket = directory.join("socket");
        let mut config = format!(
            "unixsocket \"{}\"\ndir \"{}\"\nsave \"\"\nappendonly no\ndaemonize no\n",
            socket.display(),
            directory.display()
        );
        match cluster_ports {
            // Nobody talks to its bus, but it wants one.
            Some((port, bus)) => config
                .push_str(&format!("bind 127.0.0.1\nport {port}\ncluster-port {bus}\ncluster-enabled yes\n")),
            None => config.push_str("port 0\n"),
        }
        if let Some((module, storage)) = module {
            if storage == Storage::Keymeta {
                config.push_str("mtime.storage keymeta\n");
            }
            config.push_str(&format!("loadmodule \"{}\"\n", module.display()));
        }
        let config_file = directory.join("redis.conf");
        fs::write(&config_file, config)?;

        // setpriv lets the kernel end the server when the benchmark is killed; both it and taskset exec the next
        // program, so the child's pid is the server's.
        let mut words = vec!["setpriv".to_owned(), "--pdeathsig".to_owned(), "KILL".to_owned()];
        if let Some(pinning) = cpu {
            words.extend(["taskset".to_owned(), "-c".to_owned(), pinning.server.to_string()]);
        }
        let log = directory.join("log");
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .arg(binary)
            .arg(&config_file)
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()
            .map_err(|error| format!("{}: {error}", words[0]))?;

        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Ok(mut client) = Client::connect(&socket)
                && client.must(&["PING"]).is_ok()
            {
                return Ok(Self { child, socket, client });
            }
            if child.try_wait()?.is_some() || Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                let text = fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("{} does not start; its log:\n{text}", binary.display()).into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the main thread, the one that runs commands, has had of its CPU. Exact while the server is idle: the kernel
    /// brings the numbers up to date when the thread goes to sleep.
    pub(crate) fn cpu_time(&self) -> Result<CpuTime> {
        let pid = self.child.id();
        let path = format!("/proc/{pid}/task/{pid}/schedstat");
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let mut numbers = text.split(' ').map(|number| number.trim().parse().map(Duration::from_nanos));
        let mut next = || numbers.next().ok_or(format!("{path}: {text:?}"));
        Ok(CpuTime { used: next()??, waited: next()?? })
    }

    /// What was counted up to now: before this call, and with the bytes that the call itself moved. The first of a later
    /// call less the second of this one is what everybody else moved in between, to the byte.
    pub(crate) fn counters(&mut self) -> Result<(Counters, Counters)> {
        let command = ["INFO", "stats"];
        let mut sent = Vec::new();
        encode(&mut sent, &command);
        let reply = self.client.must(&command)?;
        let text = String::from_utf8_lossy(&reply);
        let count = |name: &str| -> Result<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            Ok(line.ok_or_else(|| format!("INFO stats has no {name}"))?.trim().parse()?)
        };
        // The request is counted when it arrives, and so is part of its own reply; the reply is counted once it is sent.
        let bytes = Bytes { into: count("total_net_input_bytes")?, out: count("total_net_output_bytes")? };
        let at = Counters { errors: count("total_error_replies")?, misses: count("keyspace_misses")?, bytes };
        let without = Bytes { into: bytes.into - sent.len() as u64, out: bytes.out };
        let with = Bytes { into: bytes.into, out: bytes.out + reply.len() as u64 };
        Ok((Counters { bytes: without, ..at }, Counters { bytes: with, ..at }))
    }

    /// Value of one line of INFO.
    pub(crate) fn info(&mut self, section: &str, name: &str) -> Result<Option<String>> {
        let text = self.client.text(&["INFO", section])?;
        let line = text.lines().find_map(|line| line.split_once(':').filter(|(key, _)| *key == name));
        Ok(line.map(|(_, value)| value.trim().to_owned()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
