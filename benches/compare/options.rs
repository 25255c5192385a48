//! The command line.

use crate::Result;
use crate::sections::SECTIONS;
use std::path::PathBuf;

pub(crate) const HELP: &str = "\
Measures the module against plain commands and the Lua scripts on a private server, side by side.

Usage: cargo bench --bench compare -- [options]      (or: make bench BENCH=\"options\")

  --sections A,B   only these tables: base value hits pipeline index connections batch foreign cluster memtier
  --arms A,B       only arms whose name contains one of these texts; ratios need their reference
  --runs N         runs of each arm, in turn with the others (5)
  --seconds S      length of one run (0.5)
  --no-latency     only throughput, CPU and bytes, no runs at a fixed rate
  --huge           also an index of 10,000,000 keys (10 GB of memory)
  --quick          the base table only, in short runs: about 10 seconds
  --smoke          every table on little data, one very short run: does the benchmark itself work?
  --check          exit 1 when a limit is not met or an arm could not run
  --out DIRECTORY  where report.md and the raw data go: runs.csv latency.csv histogram.csv meta.csv (target/bench)

Where the server offers mtime.storage keymeta, the module is measured in both storages. The section memtier needs
memtier_benchmark.

Environment: REDIS_MTIME_MODULE (the .so, target/release/libredis_mtime.so), REDIS_SERVER, REDIS_BENCHMARK,
MEMTIER_BENCHMARK.
";

/// What the user asked for.
pub(crate) struct Options {
    pub(crate) sections: Vec<String>,
    pub(crate) arms: Vec<String>,
    pub(crate) runs: usize,
    pub(crate) seconds: f64,
    pub(crate) latency: bool,
    pub(crate) huge: bool,
    pub(crate) quick: bool,
    pub(crate) smoke: bool,
    pub(crate) check: bool,
    pub(crate) out: PathBuf,
}

impl Options {
    /// None when help was asked for.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let mut options = Self {
            sections: SECTIONS.map(str::to_owned).into(),
            arms: Vec::new(),
            runs: 5,
            seconds: 0.5,
            latency: true,
            huge: false,
            quick: false,
            smoke: false,
            check: false,
            out: PathBuf::from(target).join("bench"),
        };
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--sections" => {
                    options.sections = list(&value()?);
                    if let Some(name) =
                        options.sections.iter().find(|name| !SECTIONS.contains(&name.as_str()))
                    {
                        return Err(format!("unknown section {name}; known: {}", SECTIONS.join(" ")).into());
                    }
                }
                "--arms" => options.arms = list(&value()?),
                "--runs" => options.runs = value()?.parse::<usize>()?.max(1),
                "--seconds" => options.seconds = value()?.parse()?,
                "--no-latency" => options.latency = false,
                "--out" => options.out = PathBuf::from(value()?),
                "--huge" => options.huge = true,
                "--check" => options.check = true,
                "--quick" => {
                    options.quick = true;
                    options.sections = vec!["base".to_owned()];
                    options.seconds = 0.2;
                    options.latency = false;
                }
                "--smoke" => {
                    options.smoke = true;
                    options.runs = 1;
                    options.seconds = 0.01;
                }
                // cargo bench adds it.
                "--bench" => {}
                "--help" | "-h" => return Ok(None),
                unknown => return Err(format!("unknown option {unknown}; --help shows those known").into()),
            }
        }
        Ok(Some(options))
    }

    /// `size`, or less when only the benchmark itself is tried.
    pub(crate) fn at_most(&self, size: usize) -> usize {
        if self.smoke { size.min(20_000) } else { size }
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}
