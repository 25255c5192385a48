//! What was measured, as Markdown and as raw data.

pub(crate) mod csv;
pub(crate) mod facts;
mod markdown;
pub(crate) mod tables;

use crate::arm::Arm;
use crate::dataset::Dataset;
use crate::latency::Latencies;
use crate::sections::Section;
use crate::stats::{Sample, Summary};
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
    pub(crate) samples: Vec<Sample>,
    pub(crate) latencies: Latencies,
    /// Nanoseconds a key.
    pub(crate) cpu: Summary,
    /// Keys a second.
    pub(crate) rate: Summary,
    pub(crate) busy: Summary,
    pub(crate) waited: Summary,
    /// Bytes a key.
    pub(crate) wire_in: Summary,
    pub(crate) wire_out: Summary,
}

impl Row {
    pub(crate) fn new(
        section: &'static str,
        label: &str,
        arm: &Arm,
        dataset: &Dataset,
        samples: Vec<Sample>,
        latencies: Latencies,
    ) -> Self {
        let summary = |of: fn(&Sample) -> f64| Summary::of(samples.iter().map(of));
        Self {
            section,
            label: label.to_owned(),
            arm: arm.clone(),
            dataset: dataset.clone(),
            cpu: summary(|sample| sample.cpu),
            rate: summary(|sample| sample.rate),
            busy: summary(|sample| sample.busy),
            waited: summary(|sample| sample.waited),
            wire_in: summary(|sample| sample.wire_in),
            wire_out: summary(|sample| sample.wire_out),
            samples,
            latencies,
        }
    }
}

/// All rows so far, the arms that could not run, and the rates that latencies were measured at.
#[derive(Default)]
pub(crate) struct Results {
    pub(crate) rows: Vec<Row>,
    pub(crate) skipped: Vec<String>,
    /// By section and point, in requests a second.
    pub(crate) rates: Vec<(String, f64)>,
}

impl Results {
    pub(crate) fn find(&self, section: &str, label: &str, arm: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.section == section && row.label == label && row.arm.name == arm)
    }

    fn of(&self, section: &Section) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.section == section.name)
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
        let measured = self.rows.iter().filter(|row| !row.latencies.runs.is_empty()).count();
        let saturated =
            self.rows.iter().filter(|row| row.latencies.runs.iter().any(|run| run.saturated)).count();
        if saturated > 0 {
            let _ = writeln!(
                text,
                "Warning: in {saturated} of {measured} rows with latencies a run did not keep up with the rate asked; \
                 its times are those of a queue"
            );
        }
        for skipped in &self.skipped {
            let _ = writeln!(text, "Warning: not measured: {skipped}");
        }
        text
    }
}
