//! The tables of the report.

use super::markdown::{markdown, microseconds};
use super::{NOISY, Results, Row};
use crate::arm::{Generator, Side};
use crate::limits::Limit;
use crate::options::Options;
use crate::sections::Section;
use crate::stats::Summary;

/// What servers did as fast as they could.
pub(crate) fn throughput(results: &Results, section: &Section, options: &Options) -> String {
    let times = format!("x {}", section.baseline);
    let title = ["", "arm", "server", "CPU, us", "range", &times, "keys/s", "x Lua", "busy", "B in", "B out"];
    let mut lines = vec![title.map(str::to_owned).to_vec()];
    for row in results.of(section) {
        let reference = |name: &str| results.find(section.name, &row.label, name);
        let ratio = |name: Option<&str>, of: fn(&Row) -> f64| {
            let reference = name.and_then(reference);
            reference.map_or_else(String::new, |reference| format!("{:.2}", of(row) / of(reference)))
        };
        let noisy = if row.cpu.spread() > NOISY { " noisy" } else { "" };
        lines.push(vec![
            row.label.clone(),
            row.arm.name.clone(),
            if row.arm.side == Side::Plain { "plain" } else { "module" }.to_owned(),
            microseconds(row.cpu.median),
            format!("{}-{}{noisy}", microseconds(row.cpu.min), microseconds(row.cpu.max)),
            ratio(row.arm.baseline.as_deref(), |row| row.cpu.median),
            format!("{:.0}k", row.rate.median / 1e3),
            ratio(row.arm.rival, |row| row.rate.median),
            format!("{:.0}%", row.busy.median * 100.0),
            format!("{:.0}", row.wire_in.median),
            format!("{:.0}", row.wire_out.median),
        ]);
    }
    // The demo's table is short.
    if options.quick {
        lines.iter_mut().for_each(|line| line.truncate(9));
    }
    if section.points.iter().flat_map(|point| &point.arms).all(|arm| arm.rival.is_none()) {
        lines.iter_mut().for_each(|line| drop(line.remove(7)));
    }
    without_point(section, lines, 3)
}

/// Who loaded the arms of a section that redis-benchmark did not load.
pub(crate) fn generators(results: &Results, section: &Section) -> String {
    let mut by_us: Vec<&str> = results
        .of(section)
        .filter(|row| row.arm.generator == Generator::ClosedLoop)
        .map(|row| row.arm.name.as_str())
        .collect();
    let mut seen = Vec::new();
    by_us.retain(|name| {
        !seen.contains(name) && {
            seen.push(*name);
            true
        }
    });
    let others = if results.of(section).any(|row| row.arm.generator == Generator::Memtier) {
        "memtier_benchmark"
    } else {
        "redis-benchmark"
    };
    if by_us.is_empty() {
        return format!("Loaded by {others}.\n");
    }
    format!(
        "Loaded by the closed loop of this program, at one point at least: {}. All else by {others}.\n",
        by_us.join("; ")
    )
}

/// How long replies took at a fixed rate; empty where that was not measured.
pub(crate) fn latency(results: &Results, section: &Section) -> String {
    let title =
        ["", "arm", "server", "asked/s", "p50, us", "p99, us", "p99.9, us", "max, us", "runs that kept up"];
    let mut lines = vec![title.map(str::to_owned).to_vec()];
    for row in results.of(section).filter(|row| !row.latencies.runs.is_empty()) {
        let runs = &row.latencies.runs;
        let median = |of: fn(&crate::latency::Quantiles) -> f64| {
            format!("{:.0}", Summary::of(runs.iter().map(of)).median)
        };
        let saturated = runs.iter().filter(|run| run.saturated).count();
        let kept_up = runs.len() - saturated;
        let mark = if saturated > 0 { " SATURATED" } else { "" };
        lines.push(vec![
            row.label.clone(),
            row.arm.name.clone(),
            if row.arm.side == Side::Plain { "plain" } else { "module" }.to_owned(),
            format!("{:.0}", row.latencies.asked),
            median(|run| run.p50),
            median(|run| run.p99),
            median(|run| run.p999),
            format!("{:.0}", Summary::of(runs.iter().map(|run| run.max)).max),
            format!("{kept_up} of {}{mark}", runs.len()),
        ]);
    }
    if lines.len() == 1 { String::new() } else { without_point(section, lines, 3) }
}

/// What the load generator itself says about latency; empty where that is not shown.
pub(crate) fn own_latency(results: &Results, section: &Section) -> String {
    let title = ["arm", "p50, us", "p99, us", "p99.9, us", "max, us"];
    let mut lines = vec![title.map(str::to_owned).to_vec()];
    for row in results.of(section).filter(|row| row.samples.iter().any(|sample| sample.own.is_some())) {
        let own = || row.samples.iter().filter_map(|sample| sample.own);
        lines.push(vec![
            row.arm.name.clone(),
            format!("{:.0}", Summary::of(own().map(|own| own.p50)).median),
            format!("{:.0}", Summary::of(own().map(|own| own.p99)).median),
            format!("{:.0}", Summary::of(own().map(|own| own.p999)).median),
            format!("{:.0}", Summary::of(own().map(|own| own.max)).max),
        ]);
    }
    if lines.len() == 1 { String::new() } else { markdown(&lines, 1) }
}

/// The limits that the project holds itself to.
pub(crate) fn limits(limits: &[Limit]) -> String {
    let mut lines = vec![["what", "limit", "medians", "best runs", ""].map(str::to_owned).to_vec()];
    for limit in limits {
        let verdict = if limit.met { "met" } else { "NOT MET" };
        lines.push(vec![
            limit.what.clone(),
            limit.limit.clone(),
            format!("{:.2}x", limit.measured),
            format!("{:.2}x", limit.best),
            verdict.to_owned(),
        ]);
    }
    markdown(&lines, 2)
}

/// One point needs no column that names it.
fn without_point(section: &Section, mut lines: Vec<Vec<String>>, text_columns: usize) -> String {
    if section.points.len() > 1 {
        return markdown(&lines, text_columns);
    }
    lines.iter_mut().for_each(|line| drop(line.remove(0)));
    markdown(&lines, text_columns - 1)
}
