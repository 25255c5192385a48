//! What the numbers were measured on and how.

use super::Results;
use crate::Result;
use crate::arm::CONNECTIONS;
use crate::machine;
use crate::options::Options;
use crate::rig::{Rig, Setup};

/// By name, in the order of meta.csv.
pub(crate) struct Facts(Vec<(String, String)>);

impl Facts {
    pub(crate) fn find(options: &Options, setup: &Setup, rig: &mut Rig) -> Result<Self> {
        let mut server = format!("Redis {}", rig.plain.info("server", "redis_version")?.unwrap_or_default());
        if let Some(version) = rig.plain.info("server", "valkey_version")? {
            server = format!("Valkey {version}");
        }
        let pinning = setup.pinning.as_ref().map_or_else(
            || "server and load NOT pinned (one CPU, or no taskset): expect noise".to_owned(),
            |pinning| format!("server on CPU {}, load on CPU {}", pinning.server, pinning.load),
        );
        let memtier = match &setup.programs.memtier {
            Some(program) => machine::first_line(program, &["--version"]),
            None => "memtier_benchmark is not installed: the section memtier is missing".to_owned(),
        };
        let keymeta = setup.no_keymeta.clone().unwrap_or_else(|| "measured beside hash storage".to_owned());
        let arguments: Vec<String> =
            std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
        let facts = [
            ("date", machine::first_line("date", &["-u", "+%Y-%m-%d"])),
            ("module", env!("CARGO_PKG_VERSION").to_owned()),
            ("server", server),
            ("allocator", rig.plain.info("memory", "mem_allocator")?.unwrap_or_default()),
            ("keymeta", keymeta),
            ("benchmark", machine::first_line(&setup.programs.benchmark, &["--version"])),
            ("memtier", memtier),
            ("cpu", machine::cpu_model()),
            ("cpus", machine::cpus().to_string()),
            ("kernel", machine::kernel()),
            ("distribution", machine::distribution()),
            ("runs", options.runs.to_string()),
            ("seconds", options.seconds.to_string()),
            ("pinning", pinning),
            ("options", arguments.join(" ")),
        ];
        Ok(Self(facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
    }

    /// For meta.csv, with the rates of the latencies, a line a point.
    pub(crate) fn with_rates(&self, results: &Results) -> Vec<(String, String)> {
        let mut facts = self.0.clone();
        for (point, rate) in &results.rates {
            facts.push((format!("latency rate: {point}"), format!("{rate:.0}")));
        }
        facts
    }

    fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(fact, _)| fact == name).map_or("", |(_, value)| value)
    }

    /// The beginning of the report.
    pub(crate) fn head(&self, options: &Options) -> String {
        let arguments = self.get("options");
        let more = if arguments.is_empty() { String::new() } else { format!("; {arguments}") };
        let latency = if options.latency { LATENCY } else { "Latency was not measured (--no-latency).\n" };
        format!(
            "# redis-mtime {module}, measured {date}

- {server} ({allocator}), no persistence, no replica; {benchmark}, {CONNECTIONS} connections where no other number is told, unix socket; {pinning}
- {cpu}, {cpus} CPUs seen; {distribution}, Linux {kernel}
- {runs} runs of {seconds} s of each arm, in turn; median and range{more}
- keymeta storage: {keymeta}
- memtier: {memtier}

CPU is the time the server's main thread spent on a CPU (/proc/PID/task/PID/schedstat) over the number of keys asked
for. Where busy is well below 100 %, the load generator was the limit and the throughput says little.
B in and B out are the bytes that the server received and sent, by its own count, over the number of keys asked for.
\"plain\" is a second server of the same binary and data without the module.

{latency}",
            module = self.get("module"),
            date = self.get("date"),
            server = self.get("server"),
            allocator = self.get("allocator"),
            benchmark = self.get("benchmark"),
            pinning = self.get("pinning"),
            cpu = self.get("cpu"),
            cpus = self.get("cpus"),
            distribution = self.get("distribution"),
            kernel = self.get("kernel"),
            runs = self.get("runs"),
            seconds = self.get("seconds"),
            keymeta = self.get("keymeta"),
            memtier = self.get("memtier"),
        )
    }
}

const LATENCY: &str = "\
Latencies are those of an open loop: each request is sent at its time whether or not earlier ones were answered, one by
one, on as many connections as the table has, and its latency counts from the time it was due, so that a stall shows in
all requests that had to wait for it. All arms of a point get the same rate: 40 % of what the slowest of them answers with
one request in flight on each connection, rounded down to 1, 2 or 5 with zeros. An arm that answers less than 98 % of it
is marked. Quantiles are medians of the runs, the maximum is that of all runs. In the section pipeline all requests of a
pipeline are sent in one write, asked/s counts pipelines, and the last reply counts. Arms that can meet each key once only
have no latencies; those of memtier_benchmark are its own.
";
