//! The limits that the project holds itself to, against what was measured.

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
pub(crate) fn limits(results: &Results) -> Vec<Limit> {
    let mut limits = Limits { results, lines: Vec::new() };
    for storage in [HASH, KEYMETA] {
        limits.of(&storage);
    }
    limits.cpu("MTSET against hash storage, keymeta", ("base", "64 B"), "MTSET, keymeta", "MTSET", 1.0);
    for label in ["1,000,000 keys", "1,000,000 keys, scripts write too"] {
        limits.foreign(label, &HASH);
    }
    limits.foreign("1,000,000 keys", &KEYMETA);
    limits.reads_in_a_cluster();
    limits.lines
}

/// What differs between the storages.
struct Of {
    /// Of the names of arms.
    suffix: &'static str,
    /// CPU time of a read as a multiple of GET's.
    modified: f64,
    not_modified: f64,
    /// Of a SET of an untracked key as a multiple of that without the module.
    foreign: f64,
}

const HASH: Of = Of { suffix: "", modified: 1.45, not_modified: 1.40, foreign: 1.25 };
const KEYMETA: Of = Of { suffix: ", keymeta", modified: 1.25, not_modified: 1.20, foreign: 1.08 };

struct Limits<'a> {
    results: &'a Results,
    lines: Vec<Limit>,
}

impl Limits<'_> {
    fn of(&mut self, storage: &Of) {
        let suffix = storage.suffix;
        let named = |name: &str| format!("{name}{suffix}");
        let (modified, not_modified) = (&named("MTGET, modified"), &named("MTGET, not modified"));
        let base = ("base", "64 B");
        self.cpu(&named("MTGET modified against GET"), base, modified, "GET", storage.modified);
        self.cpu(&named("MTGET not modified against GET"), base, not_modified, "GET", storage.not_modified);
        let small = ("value", "20 B");
        self.cpu(&named("MTGET modified against GET, 20-byte value"), small, modified, "GET", 2.0);
        // The same work: the common script does not look at a key that is not modified.
        for (arm, script) in
            [(modified, "Lua read, modified"), (not_modified, "Lua read and TOUCH, not modified")]
        {
            self.rate(&format!("{arm} against {script}"), base, arm, script, 2.7);
        }
        let large = ("value", "16 KiB");
        self.rate(&named("MTGET modified against GET, 16 KiB"), large, modified, "GET", 0.93);
        self.rate(&named("MTGET not modified against GET, 16 KiB"), large, not_modified, "GET", 5.5);
        self.cpu(&named("MTSET against SET"), base, &named("MTSET"), "SET", 1.9);
        self.rate(&named("MTSET against the Lua write"), base, &named("MTSET"), "Lua write", 2.2);
        self.index_sizes(suffix);
        let batch = ("batch", "64 B");
        for verdict in ["modified", "not modified"] {
            let mtmget = named(&format!("MTMGET of 100, {verdict}"));
            for (than, reference) in [
                ("one of 100 pipelined MTGET", named(&format!("100 pipelined MTGET, {verdict}"))),
                ("one MTGET at pipeline 16", named(&format!("MTGET, {verdict}"))),
            ] {
                let what = named(&format!("a key of an MTMGET of 100, {verdict}, against {than}"));
                self.cpu(&what, batch, &mtmget, &reference, 0.5);
            }
        }
        for verdict in ["modified", "not modified"] {
            self.cpu(
                &named(&format!("WITHMTIME against without, {verdict}")),
                batch,
                &named(&format!("MTGET WITHMTIME, {verdict}")),
                &named(&format!("MTGET, {verdict}")),
                1.10,
            );
        }
    }

    fn foreign(&mut self, label: &str, storage: &Of) {
        let suffix = storage.suffix;
        let also = if label.ends_with("scripts write too") { ", scripts write too" } else { "" };
        for command in ["SET", "INCR", "DEL"] {
            self.cpu(
                &format!("{command} of untracked keys against no module, index of 1,000,000{also}{suffix}"),
                ("foreign", label),
                &format!("{command}, untracked key{suffix}"),
                &format!("{command}, no module"),
                if command == "SET" { storage.foreign } else { 1.25 },
            );
        }
    }

    /// With one request in flight against the same alone. With sixteen the server's own work for a slot is more than a tenth of
    /// a GET: there against what a GET costs more.
    fn reads_in_a_cluster(&mut self) {
        const PLACE: (&str, &str) = ("cluster", "20,000 keys");
        const MOST: f64 = 1.10;
        for verdict in ["modified", "not modified"] {
            let arm = format!("MTGET, {verdict}");
            let single = format!("{arm}, alone in flight");
            let what = format!("{arm}, one in flight: cluster against alone");
            self.cpu(&what, PLACE, &format!("{single}, cluster"), &single, MOST);
            let (Some((row, alone)), Some((get, get_alone))) =
                (self.rows(PLACE, &format!("{arm}, cluster"), &arm), self.rows(PLACE, "GET, cluster", "GET"))
            else {
                continue;
            };
            let measured = row.cpu.median / alone.cpu.median / (get.cpu.median / get_alone.cpu.median);
            let best = row.cpu.min / alone.cpu.min / (get.cpu.min / get_alone.cpu.min);
            let what = format!("{arm}, pipeline 16: cluster against alone, as a multiple of the same of GET");
            self.at_most(&what, measured, best, MOST);
        }
    }

    fn cpu(&mut self, what: &str, place: (&str, &str), arm: &str, reference: &str, most: f64) {
        if let Some((row, reference)) = self.rows(place, arm, reference) {
            let (measured, best) = (row.cpu.median / reference.cpu.median, row.cpu.min / reference.cpu.min);
            self.at_most(what, measured, best, most);
        }
    }

    fn at_most(&mut self, what: &str, measured: f64, best: f64, most: f64) {
        let limit = format!("CPU <= {most:.2}x");
        self.lines.push(Limit { what: what.to_owned(), limit, measured, best, met: measured <= most });
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
    fn index_sizes(&mut self, suffix: &str) {
        for arm in ["MTGET, modified", "MTGET, not modified", "MTSET"] {
            let arm = format!("{arm}{suffix}");
            let rows = self.results.rows.iter().filter(|row| row.section == "index" && row.arm.name == arm);
            let rows: Vec<&Row> = rows.filter(|row| !row.label.ends_with("all asked for")).collect();
            if rows.len() < 2 {
                continue;
            }
            let medians = Summary::of(rows.iter().map(|row| row.cpu.median));
            let bests = Summary::of(rows.iter().map(|row| row.cpu.min));
            let what = format!("{arm}: dearest index size against cheapest");
            self.at_most(&what, medians.max / medians.min, bests.max / bests.min, 1.15);
        }
    }
}
