//! A private server on a unix socket, pinned to its CPU, and the CPU time it has used.

use crate::Result;
use crate::machine::Pinning;
use crate::options::Storage;
use crate::resp::Client;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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
