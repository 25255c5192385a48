//! The programs that are run.

use crate::Result;
use std::path::PathBuf;
use std::process::{Command, Stdio};

pub(crate) struct Programs {
    pub(crate) module: PathBuf,
    pub(crate) server: PathBuf,
    pub(crate) benchmark: String,
    /// In few distributions; the report says where it was missing.
    pub(crate) memtier: Option<String>,
}

impl Programs {
    pub(crate) fn find() -> Result<Self> {
        let asked = |name: &str| std::env::var(name).ok().filter(|path| !path.is_empty());
        let from = |name: &str, default: &str| asked(name).unwrap_or_else(|| default.to_owned());
        let module = from("REDIS_MTIME_MODULE", "target/release/libredis_mtime.so");
        let module = std::fs::canonicalize(&module)
            .map_err(|error| format!("{module}: {error} (build it with: cargo build --release)"))?;
        let memtier = from("MEMTIER_BENCHMARK", "memtier_benchmark");
        let runs = Command::new(&memtier)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !runs && let Some(asked) = asked("MEMTIER_BENCHMARK") {
            return Err(format!("MEMTIER_BENCHMARK={asked} does not run").into());
        }
        Ok(Self {
            module,
            server: from("REDIS_SERVER", "redis-server").into(),
            benchmark: from("REDIS_BENCHMARK", "redis-benchmark"),
            memtier: runs.then_some(memtier),
        })
    }
}
