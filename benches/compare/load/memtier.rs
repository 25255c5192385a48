//! A second opinion: memtier_benchmark, where it is installed.

use crate::Result;
use crate::arm::{Arm, NUMBER};
use crate::stats::OwnQuantiles;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// It writes numbers without leading zeros. With these before numbers of five digits they are names of keys that are
/// there: the upper half of 20,000.
const ZEROS: &str = "key:0000000";
const KEYS: (usize, usize) = (10_000, 19_999);

/// What it reports.
pub(super) struct Totals {
    /// Requests a second.
    pub(super) rate: f64,
    pub(super) quantiles: OwnQuantiles,
}

/// Sends `requests` requests of `arm`.
pub(super) fn run(program: &str, socket: &Path, arm: &Arm, requests: usize) -> Result<Totals> {
    let Some(template) = arm.commands.first() else { return Err("an arm without command".into()) };
    let words: Vec<&str> =
        template.iter().map(|word| if word.ends_with(NUMBER) { "__key__" } else { word.as_str() }).collect();
    let report = tempfile::NamedTempFile::new()?;
    let output = Command::new(program)
        .arg("-S")
        .arg(socket)
        .args(["-t", "1", "-c", &arm.connections.to_string(), "--pipeline", &arm.pipeline.to_string()])
        .args(["-n", &(requests / arm.connections).to_string(), "--command", &words.join(" ")])
        .args(["--command-key-pattern", "R", "--key-prefix", ZEROS])
        .args(["--key-minimum", &KEYS.0.to_string(), "--key-maximum", &KEYS.1.to_string()])
        .args(["--print-percentiles", "50,99,99.9", "--hide-histogram", "--json-out-file"])
        .arg(report.path())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    let text = std::fs::read_to_string(report.path())?;
    totals(&text).filter(|_| output.status.success()).ok_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("memtier_benchmark failed on {}: {errors}{text:.2000}", arm.name).into()
    })
}

/// Its latencies are in milliseconds.
fn totals(report: &str) -> Option<Totals> {
    let report: Value = serde_json::from_str(report).ok()?;
    let totals = report.get("ALL STATS")?.get("Totals")?;
    let latencies = totals.get("Percentile Latencies")?;
    let microseconds = |name: &str| Some(latencies.get(name)?.as_f64()? * 1e3);
    let max = totals.get("Max Latency")?.as_f64()? * 1e3;
    Some(Totals {
        rate: totals.get("Ops/sec")?.as_f64()?,
        quantiles: OwnQuantiles {
            p50: microseconds("p50.00")?,
            p99: microseconds("p99.00")?,
            p999: microseconds("p99.90")?,
            max,
        },
    })
}
