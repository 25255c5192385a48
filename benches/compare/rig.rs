//! The servers that are compared: the same binary, on the same CPU, with the same data.

use crate::Result;
use crate::arm::Side;
use crate::dataset::{self, Dataset, MTIME};
use crate::load::fill;
use crate::machine::Pinning;
use crate::programs::Programs;
use crate::scripts::Scripts;
use crate::server::{Server, Storage};
use std::borrow::Cow;
use std::path::Path;
use std::time::{Duration, Instant};

/// The hash with the mtimes.
pub(crate) const INDEX: &str = "MY_KEYSMTIME";

/// How servers are started.
pub(crate) struct Setup {
    pub(crate) programs: Programs,
    pub(crate) pinning: Option<Pinning>,
    /// Why the module does not take keymeta storage on this server; None where it does.
    pub(crate) no_keymeta: Option<String>,
}

impl Setup {
    pub(crate) fn find(programs: Programs, pinning: Option<Pinning>) -> Result<Self> {
        let mut setup = Self { programs, pinning, no_keymeta: None };
        let directory = tempfile::Builder::new().prefix("redis-mtime-bench-").tempdir()?;
        // Tried, not concluded from a version.
        if let Err(error) = setup.server(directory.path(), "keymeta", Some(Storage::Keymeta)) {
            let log = error.to_string();
            let reason =
                log.lines().find_map(|line| line.split_once("mtime.storage keymeta needs key metadata"));
            if reason.is_none() {
                return Err(error);
            }
            setup.no_keymeta =
                Some("this server has no key metadata, which keymeta storage needs".to_owned());
        }
        Ok(setup)
    }

    /// A server in a directory of its own below `directory`.
    pub(crate) fn server(&self, directory: &Path, name: &str, storage: Option<Storage>) -> Result<Server> {
        let own = directory.join(name);
        std::fs::create_dir(&own)?;
        let module = storage.map(|storage| (self.programs.module.as_path(), storage));
        let ports = if name == "cluster" { Some(free_ports()?) } else { None };
        Server::start(&self.programs.server, &own, module, ports, self.pinning.as_ref())
    }
}

/// A server with the module and one without, one with keymeta storage where there is such a thing, and perhaps a cluster
/// node. All but one are always idle.
pub(crate) struct Rig {
    pub(crate) module: Server,
    keymeta: Option<Server>,
    pub(crate) plain: Server,
    /// Only where the data is to be there too.
    cluster: Option<Server>,
    pub(crate) dataset: Option<Dataset>,
    pub(crate) scripts: Scripts,
    /// Last, so that the servers end before their directories go.
    _directory: tempfile::TempDir,
}

impl Rig {
    pub(crate) fn start(setup: &Setup, dataset: Option<&Dataset>) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("redis-mtime-bench-").tempdir()?;
        let start = |name: &str, storage| setup.server(directory.path(), name, storage);
        let in_cluster = dataset.is_some_and(|dataset| dataset.in_cluster);
        let mut module = start("module", Some(Storage::Hash))?;
        let mut plain = start("plain", None)?;
        Scripts::load(&mut plain.client)?;
        let scripts = Scripts::load(&mut module.client)?;
        let keymeta =
            setup.no_keymeta.is_none().then(|| start("keymeta", Some(Storage::Keymeta))).transpose()?;
        let cluster = in_cluster.then(|| start("cluster", Some(Storage::Hash))).transpose()?;
        let dataset_held = dataset.cloned();
        let mut rig =
            Self { module, keymeta, plain, cluster, dataset: dataset_held, scripts, _directory: directory };
        if let Some(dataset) = dataset {
            rig.fill(dataset)?;
        }
        Ok(rig)
    }

    /// The server of that side. Arms of a side are only made where it exists.
    pub(crate) fn side(&mut self, side: Side) -> &mut Server {
        match side {
            Side::Module => &mut self.module,
            Side::Keymeta => self.keymeta.as_mut().unwrap_or(&mut self.module),
            Side::Plain => &mut self.plain,
            Side::Cluster => self.cluster.as_mut().unwrap_or(&mut self.module),
        }
    }

    pub(crate) fn has_keymeta(&self) -> bool {
        self.keymeta.is_some()
    }

    fn fill(&mut self, dataset: &Dataset) -> Result<()> {
        let large = dataset.value();
        let value = |number| if number < dataset.large { large.as_str() } else { "x" };
        let tracked = |number| {
            let mtime = Cow::Owned(dataset.mtime(number));
            vec!["MTSET".into(), Cow::Owned(dataset::key(number)), value(number).into(), mtime]
        };
        for server in [Some(&mut self.module), self.keymeta.as_mut()].into_iter().flatten() {
            fill::each(&mut server.client, dataset.index, tracked)?;
        }
        fill::each(&mut self.plain.client, dataset.index, |number| {
            vec!["SET".into(), dataset::key(number).into(), value(number).into()]
        })?;
        fill::each(&mut self.plain.client, dataset.index, |number| {
            vec!["HSET".into(), INDEX.into(), dataset::key(number).into(), dataset.mtime(number).into()]
        })?;
        for (prefix, value) in [("plain", large.as_str()), ("counter", "1000000")] {
            for server in
                [Some(&mut self.module), self.keymeta.as_mut(), Some(&mut self.plain)].into_iter().flatten()
            {
                fill::each(&mut server.client, dataset.untracked, |number| {
                    vec!["SET".into(), format!("{prefix}:{number:012}").into(), value.into()]
                })?;
            }
        }
        if let Some(cluster) = &mut self.cluster {
            cluster.client.must(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"])?;
            while !cluster.client.text(&["CLUSTER", "INFO"])?.contains("cluster_state:ok") {
                std::thread::sleep(Duration::from_millis(50));
            }
            fill::each(&mut cluster.client, dataset.index, tracked)?;
            fill::each(&mut cluster.client, dataset.untracked, |number| {
                vec!["SET".into(), format!("plain:{number:012}").into(), large.as_str().into()]
            })?;
        }
        Ok(())
    }

    /// False on a module that does not know the setting yet, or no more.
    pub(crate) fn set_invalidation(&mut self, value: &str) -> Result<bool> {
        let reply = self.module.client.call(&["CONFIG", "SET", "mtime.invalidate-on-write", value])?;
        Ok(reply.starts_with(b"+OK"))
    }

    /// After a start or a load the module reads the index in the background; until then foreign writes cost more.
    pub(crate) fn wait_until_tracked_keys_are_known(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(900);
        for server in [Some(&mut self.module), self.cluster.as_mut()].into_iter().flatten() {
            while server.info("mtime", "mtime_tracked_keys_known")?.is_some_and(|known| known == "0") {
                if Instant::now() > deadline {
                    return Err("the module does not get to know the tracked keys".into());
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    /// Sets an mtime as a script would, to what it is.
    pub(crate) fn write_as_a_script(&mut self) -> Result<()> {
        self.module.client.must(&["HSET", INDEX, &dataset::key(0), MTIME])?;
        Ok(())
    }

    /// Entries in the index of the server with the module and hash storage.
    pub(crate) fn entries(&mut self) -> Result<usize> {
        Ok(self.module.client.integer(&["HLEN", INDEX])?)
    }
}

/// Two ports of the loopback that nobody uses.
fn free_ports() -> Result<(u16, u16)> {
    let take = || std::net::TcpListener::bind("127.0.0.1:0");
    let (one, other) = (take()?, take()?);
    Ok((one.local_addr()?.port(), other.local_addr()?.port()))
}
