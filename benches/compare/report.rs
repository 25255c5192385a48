//! Results as Markdown and as CSV.

use crate::limits::Limit;
use crate::stats::{Sample, Summary};
use crate::workload::{Arm, Dataset, Section, Side, Traffic};
use std::fmt::Write;

/// Runs of the same arm further apart than this are called noisy.
const NOISY: f64 = 0.10;

/// More waiting than this is worth a warning.
const CROWDED: f64 = 0.05;

/// The outcome of one arm at one point.
pub(crate) struct Row {
    pub(crate) section: &'static str,
    pub(crate) label: String,
    pub(crate) arm: Arm,
    pub(crate) dataset: Dataset,
    pub(crate) runs: usize,
    /// Nanoseconds a key.
    pub(crate) cpu: Summary,
    /// Keys a second.
    pub(crate) rate: Summary,
    pub(crate) busy: Summary,
    pub(crate) waited: Summary,
}

impl Row {
    pub(crate) fn new(
        section: &'static str,
        label: &str,
        arm: &Arm,
        dataset: &Dataset,
        samples: &[Sample],
    ) -> Self {
        let summary = |of: fn(&Sample) -> f64| Summary::of(samples.iter().map(of));
        Self {
            section,
            label: label.to_owned(),
            arm: arm.clone(),
            dataset: dataset.clone(),
            runs: samples.len(),
            cpu: summary(|sample| sample.cpu),
            rate: summary(|sample| sample.rate),
            busy: summary(|sample| sample.busy),
            waited: summary(|sample| sample.waited),
        }
    }
}

/// All rows so far, and the arms that could not run.
#[derive(Default)]
pub(crate) struct Results {
    pub(crate) rows: Vec<Row>,
    pub(crate) skipped: Vec<String>,
}

impl Results {
    pub(crate) fn find(&self, section: &str, label: &str, arm: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.section == section && row.label == label && row.arm.name == arm)
    }

    /// The table of one section.
    pub(crate) fn table(&self, section: &Section) -> String {
        let times = format!("x {}", section.baseline);
        let title = ["", "arm", "server", "CPU, us", "range", &times, "keys/s", "x Lua", "busy"];
        let mut lines = vec![title.map(str::to_owned).to_vec()];
        for row in self.rows.iter().filter(|row| row.section == section.name) {
            let reference = |name| self.find(section.name, &row.label, name);
            let ratio = |name: Option<&'static str>, of: fn(&Row) -> f64| {
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
                ratio(row.arm.baseline, |row| row.cpu.median),
                format!("{:.0}k", row.rate.median / 1e3),
                ratio(row.arm.rival, |row| row.rate.median),
                format!("{:.0}%", row.busy.median * 100.0),
            ]);
        }
        if section.points.iter().flat_map(|point| &point.arms).all(|arm| arm.rival.is_none()) {
            lines.iter_mut().for_each(|line| drop(line.remove(7)));
        }
        // One point needs no column that names it.
        let text_columns = if section.points.len() == 1 {
            lines.iter_mut().for_each(|line| drop(line.remove(0)));
            2
        } else {
            3
        };
        markdown(&lines, text_columns)
    }

    /// What a reader has to know before believing the numbers.
    pub(crate) fn warnings(&self) -> String {
        let mut text = String::new();
        let noisy = self.rows.iter().filter(|row| row.cpu.spread() > NOISY).count();
        if noisy > 0 {
            let _ = writeln!(
                text,
                "Warning: in {noisy} of {} rows the runs are more than {:.0} % apart; was the machine busy?",
                self.rows.len(),
                NOISY * 100.0
            );
        }
        let crowded = self.rows.iter().filter(|row| row.waited.max > CROWDED).count();
        if crowded > 0 {
            let _ = writeln!(
                text,
                "Warning: in {crowded} of {} rows other processes kept the server from its CPU for more than {:.0} % of a \
                 run; keys/s is too low there",
                self.rows.len(),
                CROWDED * 100.0
            );
        }
        for skipped in &self.skipped {
            let _ = writeln!(text, "Warning: not measured: {skipped}");
        }
        text
    }

    pub(crate) fn csv(&self) -> String {
        let mut text = "section,point,arm,server,index_keys,keys_asked_for,value_bytes,pipeline,keys_a_request,runs,\
            cpu_ns_median,cpu_ns_min,cpu_ns_max,keys_per_second_median,keys_per_second_min,keys_per_second_max,busy,waited\n"
            .to_owned();
        for Row { section, label, arm, dataset, runs, cpu, rate, busy, waited } in &self.rows {
            let side = if arm.side == Side::Plain { "plain" } else { "module" };
            let (Traffic::Random { keys } | Traffic::InOrder { keys, .. }) = arm.traffic;
            let _ = writeln!(
                text,
                "{section},\"{label}\",\"{}\",{side},{},{keys},{},{},{},{runs},\
                 {:.1},{:.1},{:.1},{:.0},{:.0},{:.0},{:.3},{:.3}",
                arm.name,
                dataset.index,
                dataset.value,
                arm.pipeline,
                arm.keys_a_request,
                cpu.median,
                cpu.min,
                cpu.max,
                rate.median,
                rate.min,
                rate.max,
                busy.median,
                waited.median,
            );
        }
        text
    }
}

/// The table of limits.
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

fn microseconds(nanoseconds: f64) -> String {
    let microseconds = nanoseconds / 1e3;
    if microseconds < 10.0 { format!("{microseconds:.2}") } else { format!("{microseconds:.1}") }
}

/// A Markdown table whose columns also line up on a terminal; all but the first `text_columns` are right-aligned.
fn markdown(lines: &[Vec<String>], text_columns: usize) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
            .max(3)
    };
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (column, cell) in line.iter().enumerate() {
            let width = width(column);
            let _ = if column < text_columns {
                write!(text, "| {cell:<width$} ")
            } else {
                write!(text, "| {cell:>width$} ")
            };
        }
        text.push_str("|\n");
        if number == 0 {
            for column in 0..columns {
                let dashes = "-".repeat(width(column));
                let _ = if column < text_columns {
                    write!(text, "| {dashes} ")
                } else {
                    write!(text, "| {}: ", &dashes[1..])
                };
            }
            text.push_str("|\n");
        }
    }
    text
}
