//! The module against GET, SET, the Lua scripts and the same without either: same server binary, same data, same replies,
//! arms in turn, several runs, median and range, the server's CPU time beside its throughput, bytes, and latencies at a
//! fixed rate. See `options` for what can be asked, `arm_list` for what is compared.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic here ends a benchmark, not somebody's database"
)]

mod arm;
mod arm_list;
mod check;
mod dataset;
mod latency;
mod limits;
mod load;
mod machine;
mod measure;
mod memory;
mod options;
mod programs;
mod progress;
mod report;
mod resp;
mod rig;
mod scripts;
mod sections;
mod server;
mod stats;

use crate::limits::Limit;
use crate::load::Load;
use crate::machine::Pinning;
use crate::options::Options;
use crate::programs::Programs;
use crate::progress::Progress;
use crate::report::facts::Facts;
use crate::report::{Results, csv, tables};
use crate::rig::{Rig, Setup};
use crate::sections::{Offers, Section};
use std::fmt::Write;
use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => run(&options).unwrap_or_else(|error| {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }),
        Ok(None) => {
            print!("{}", options::HELP);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<ExitCode> {
    let programs = Programs::find()?;
    let pinning = Pinning::choose();
    if let Some(pinning) = &pinning {
        pinning.pin_self();
    }
    let setup = Setup::find(programs, pinning)?;
    let mut rig = Rig::start(&setup, None)?;
    let load = Load::new(&setup.programs, &mut rig.plain)?;
    let facts = Facts::find(options, &setup, &mut rig)?;
    let offers = Offers { keymeta: setup.no_keymeta.is_none(), memtier: setup.programs.memtier.is_some() };
    let sections = sections::sections(options, &rig.scripts, &offers);

    let progress = Progress::new(options, &sections);
    let mut results = Results::default();
    for section in &sections {
        for point in &section.points {
            progress.point(section.name, &point.label);
            if rig.dataset.as_ref() != Some(&point.dataset) {
                drop(rig);
                rig = Rig::start(&setup, Some(&point.dataset))?;
            }
            measure::point(&mut rig, &load, options, section, point, &progress, &mut results)
                .map_err(|error| format!("{}, {}: {error}", section.name, point.label))?;
            progress.end_of_point();
        }
    }
    drop(rig);
    let memory = if offers.keymeta && options.sections.iter().any(|name| name == "index") {
        memory::memory(options, &setup)?
    } else {
        String::new()
    };

    let limits = limits::limits(&results);
    if options.quick {
        // For people, at the end of the demo: the table and how to read it.
        for section in &sections {
            print!("{}", tables::throughput(&results, section, options));
        }
        print!("\n{QUICK_LEGEND}{}", results.warnings());
    } else if options.smoke {
        // What is not shown must be made all the same, to see that it can be.
        write_report(options, &facts, &results, &sections, &limits, &memory)?;
        println!("{} arms ran and answered what they should.", results.rows.len());
        print!("{}", results.warnings());
    } else {
        println!("{}", write_report(options, &facts, &results, &sections, &limits, &memory)?.trim());
    }
    let incomplete = !results.skipped.is_empty() && (options.check || options.smoke);
    let beyond = options.check && limits.iter().any(|limit| !limit.met);
    Ok(if incomplete || beyond { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

const QUICK_LEGEND: &str = "\
64-byte values, pipeline 16, 20,000 keys, 50 connections. CPU is the server's own CPU time a request; \"x GET or SET\" is
that as a multiple of the plain command's, \"x Lua\" the throughput as a multiple of the script's.
";

/// Writes report and raw data into the directory for them, and returns the report.
fn write_report(
    options: &Options,
    facts: &Facts,
    results: &Results,
    sections: &[Section],
    limits: &[Limit],
    memory: &str,
) -> Result<String> {
    let mut report = facts.head(options);
    for section in sections.iter().filter(|section| !section.points.is_empty()) {
        let table = tables::throughput(results, section, options);
        let generators = tables::generators(results, section);
        let _ = writeln!(report, "\n## {}\n\n{table}\n{}", section.title, generators.trim_end());
        for (title, table) in [
            ("Latency at a fixed rate", tables::latency(results, section)),
            (
                "Latency by memtier_benchmark, which sends as fast as it can",
                tables::own_latency(results, section),
            ),
        ] {
            if !table.is_empty() {
                let _ = writeln!(report, "\n### {title}: {}\n\n{}", section.name, table.trim_end());
            }
        }
    }
    if !memory.is_empty() {
        let _ = writeln!(report, "\n## Memory\n\n{memory}");
    }
    if !limits.is_empty() {
        let _ = writeln!(report, "\n## Limits\n\n{}", tables::limits(limits).trim_end());
    }
    let warnings = results.warnings();
    if !warnings.is_empty() {
        let _ = writeln!(report, "\n{}", warnings.trim_end());
    }
    std::fs::create_dir_all(&options.out)?;
    for (name, text) in [
        ("report.md", &report),
        ("runs.csv", &csv::runs(results)),
        ("latency.csv", &csv::latency(results)),
        ("histogram.csv", &csv::histogram(results)?),
        ("meta.csv", &csv::meta(&facts.with_rates(results))),
    ] {
        let path = options.out.join(name);
        std::fs::write(&path, text)?;
        eprintln!("written: {}", path.display());
    }
    Ok(report)
}
