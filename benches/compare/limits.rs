//! The limits that the project holds itself to, against what was measured.

use crate::options::Storage;
use crate::report::{Results, Row};
use crate::stats::Summary;

/// One line of the table of limits.
pub(crate) struct Limit {
    pub(crate) what: String,
    pub(crate) limit: String,
    /// From the medians; this decides.
    pub(crate) measured: f64,
    /// From the best run of each: what is left when other processes disturbed some runs.
    pub(crate) best: f64,
    pub(crate) met: bool,
}

/// Only what was measured; an arm left out gives no line.
pub(crate) fn limits(results: &Results, storage: Storage) -> Vec<Limit> {
    let mut limits = Limits { results, lines: Vec::new() };

    let (modified, not_modified, foreign) = match storage {
        Storage::Hash => (1.45, 1.40, 1.25),
        Storage::Keymeta => (1.25, 1.20, 1.08),
    };
    limits.cpu("MTGET modified against GET", ("base", "64 B"), "MTGET, modified", "GET", modified);
    limits.cpu(
        "MTGET not modified against GET",
        ("base", "64 B"),
        "MTGET, not modified",
        "GET",
        not_modified,
    );
    limits.cpu("MTGET modified against GET, 20-byte value", ("value", "20 B"), "MTGET, modified", "GET", 2.0);
    for verdict in ["modified", "not modified"] {
        limits.rate(
            &format!("MTGET {verdict} against the Lua read"),
            ("base", "64 B"),
            &format!("MTGET, {verdict}"),
            &format!("Lua read, {verdict}"),
            2.7,
        );
    }
    limits.rate("MTGET modified against GET, 16 KiB", ("value", "16 KiB"), "MTGET, modified", "GET", 0.93);
    limits.rate(
        "MTGET not modified against GET, 16 KiB",
        ("value", "16 KiB"),
        "MTGET, not modified",
        "GET",
        5.5,
    );
    limits.cpu("MTSET against SET", ("base", "64 B"), "MTSET", "SET", 1.9);
    limits.cpu("MTSET against hash storage", ("base", "64 B"), "MTSET", "MTSET, hash storage", 1.0);
    limits.rate("MTSET against the Lua write", ("base", "64 B"), "MTSET", "Lua write", 2.2);
    limits.index_sizes();
    for verdict in ["modified", "not modified"] {
        for (than, reference) in [
            ("one of 100 pipelined MTGET", format!("100 pipelined MTGET, {verdict}")),
            ("one MTGET at pipeline 16", format!("MTGET, {verdict}")),
        ] {
            limits.cpu(
                &format!("a key of an MTMGET of 100, {verdict}, against {than}"),
                ("batch", "64 B"),
                &format!("MTMGET of 100, {verdict}"),
                &reference,
                0.5,
            );
        }
    }
    for verdict in ["modified", "not modified"] {
        limits.cpu(
            &format!("WITHMTIME against without, {verdict}"),
            ("batch", "64 B"),
            &format!("MTGET WITHMTIME, {verdict}"),
            &format!("MTGET, {verdict}"),
            1.10,
        );
    }
    for (label, also) in
        [("1,000,000 keys", ""), ("1,000,000 keys, scripts write too", ", scripts write too")]
    {
        for command in ["SET", "INCR", "DEL"] {
            limits.cpu(
                &format!("{command} of untracked keys against no module, index of 1,000,000{also}"),
                ("foreign", label),
                &format!("{command}, untracked key"),
                &format!("{command}, no module"),
                if command == "SET" { foreign } else { 1.25 },
            );
        }
    }
    limits.lines
}

struct Limits<'a> {
    results: &'a Results,
    lines: Vec<Limit>,
}

impl Limits<'_> {
    fn cpu(&mut self, what: &str, place: (&str, &str), arm: &str, reference: &str, most: f64) {
        if let Some((row, reference)) = self.rows(place, arm, reference) {
            let measured = row.cpu.median / reference.cpu.median;
            let best = row.cpu.min / reference.cpu.min;
            let limit = format!("CPU <= {most:.2}x");
            self.lines.push(Limit { what: what.to_owned(), limit, measured, best, met: measured <= most });
        }
    }

    fn rate(&mut self, what: &str, place: (&str, &str), arm: &str, reference: &str, least: f64) {
        if let Some((row, reference)) = self.rows(place, arm, reference) {
            let measured = row.rate.median / reference.rate.median;
            let best = row.rate.max / reference.rate.max;
            let limit = format!("throughput >= {least:.2}x");
            self.lines.push(Limit { what: what.to_owned(), limit, measured, best, met: measured >= least });
        }
    }

    fn rows(&self, (section, label): (&str, &str), arm: &str, reference: &str) -> Option<(&Row, &Row)> {
        let row = self.results.find(section, label, arm)?;
        Some((row, self.results.find(section, label, reference)?))
    }

    /// The dearest against the cheapest index, where the same few keys are asked for.
    fn index_sizes(&mut self) {
        for arm in ["MTGET, modified", "MTGET, not modified", "MTSET"] {
            let rows = self.results.rows.iter().filter(|row| row.section == "index" && row.arm.name == arm);
            let rows: Vec<&Row> = rows.filter(|row| !row.label.ends_with("all asked for")).collect();
            if rows.len() < 2 {
                continue;
            }
            let medians = Summary::of(rows.iter().map(|row| row.cpu.median));
            let bests = Summary::of(rows.iter().map(|row| row.cpu.min));
            let most = 1.15;
            self.lines.push(Limit {
                what: format!("{arm}: dearest index size against cheapest"),
                limit: format!("CPU <= {most:.2}x"),
                measured: medians.max / medians.min,
                best: bests.max / bests.min,
                met: medians.max / medians.min <= most,
            });
        }
    }
}
