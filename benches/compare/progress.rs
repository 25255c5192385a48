//! What is said while it runs: to standard error, so that the report can be redirected, and nothing at the end of the
//! demo, which is short.

use crate::options::Options;
use crate::sections::{Latency, Section};
use std::io::Write;
use std::time::{Duration, Instant};

/// A run takes so many seconds more than its load: programs start, replies are checked.
const RUN: f64 = 0.1;
/// Of a warm-up run and the checks.
const WARM_UP: f64 = 0.2;
/// A dataset takes so many seconds a key, on all servers together, and a point so many.
const KEY: f64 = 12e-6;
const POINT: f64 = 1.0;
/// memtier_benchmark looks once a second whether it is done.
const MEMTIER: f64 = 0.8;

pub(crate) struct Progress {
    started: Instant,
    quiet: bool,
    estimate: f64,
}

impl Progress {
    pub(crate) fn new(options: &Options, sections: &[Section]) -> Self {
        let mut estimate = 0.0;
        for section in sections {
            let mut held = None;
            let turns = 1 + usize::from(options.latency && section.latency != Latency::Left);
            for point in &section.points {
                let memtier = if section.name == "memtier" { MEMTIER } else { 0.0 };
                let run = options.seconds + RUN + memtier;
                let arm = WARM_UP + memtier + run * (options.runs * turns) as f64;
                estimate += POINT + arm * point.arms.len() as f64;
                if held != Some(&point.dataset) {
                    estimate += KEY * (point.dataset.index + point.dataset.untracked) as f64;
                }
                held = Some(&point.dataset);
            }
        }
        let progress = Self { started: Instant::now(), quiet: options.quick, estimate };
        let points = sections.iter().map(|section| section.points.len()).sum::<usize>();
        let minutes = Duration::from_secs_f64(estimate).as_secs().div_ceil(60);
        progress.say(&format!("{points} points to measure, about {minutes} min in all\n"));
        progress
    }

    pub(crate) fn point(&self, section: &str, label: &str) {
        let seconds = self.started.elapsed().as_secs();
        self.say(&format!("[{seconds:4} s of about {:.0}] {section}: {label} ", self.estimate));
    }

    pub(crate) fn dot(&self) {
        self.say(".");
    }

    pub(crate) fn end_of_point(&self) {
        self.say("\n");
    }

    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            eprint!("{text}");
            let _ = std::io::stderr().flush();
        }
    }
}
