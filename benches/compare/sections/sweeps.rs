//! The main arms, and how they change with one thing at a time.

use super::Point;
use crate::arm::{Arm, CONNECTIONS};
use crate::arm_list::{Range, control, reads_and_writes, shares};
use crate::dataset::{Dataset, Mtimes, thousands};
use crate::options::Options;
use crate::scripts::Scripts;

/// Keys asked for where only the size of the index may make a difference: few enough for the CPU's caches.
const HOT_KEYS: usize = 100;
/// Bytes of values in flight in both directions; more only fills buffers.
const IN_FLIGHT: usize = 80 << 20;

fn dataset(options: &Options) -> Dataset {
    Dataset::new(options, 20_000, 64)
}

pub(super) fn base(options: &Options, scripts: &Scripts) -> Point {
    let range = if options.quick { Range::Core } else { Range::Wide };
    let dataset = dataset(options);
    let arms = [vec![control(20_000)], reads_and_writes(range, &dataset, 20_000, scripts)].concat();
    Point::new("64 B", dataset, arms)
}

pub(super) fn values(options: &Options, scripts: &Scripts) -> Vec<Point> {
    let sizes = [
        (20, "20 B"),
        (64, "64 B"),
        (1 << 10, "1 KiB"),
        (16 << 10, "16 KiB"),
        (100 << 10, "100 KiB"),
        (1 << 20, "1 MiB"),
    ];
    let point = |(size, label)| {
        let dataset = Dataset::new(options, 20_000, size);
        let arms = reads_and_writes(Range::Core, &dataset, dataset.large, scripts);
        let in_flight = if options.smoke { IN_FLIGHT / 5 } else { IN_FLIGHT };
        let fewer = |arm: Arm| {
            let connections = CONNECTIONS.min(in_flight / (size * arm.pipeline));
            arm.connections(connections)
        };
        Point::new(label, dataset, arms.into_iter().map(fewer).collect())
    };
    sizes.map(point).into()
}

pub(super) fn hits(options: &Options, scripts: &Scripts) -> Vec<Point> {
    let mut points = Vec::new();
    for (size, label) in [(1 << 10, "1 KiB"), (16 << 10, "16 KiB")] {
        let dataset = Dataset { mtimes: Mtimes::Spread, ..Dataset::new(options, 20_000, size) };
        // Whole hundreds, of which the share is exact.
        let keys = dataset.large / 100 * 100;
        for percent in [0, 50, 90, 99] {
            let label = format!("{label}, {percent} % not modified");
            points.push(Point::new(&label, dataset.clone(), shares(keys, percent, scripts)));
        }
    }
    points
}

pub(super) fn pipelines(options: &Options, scripts: &Scripts) -> Vec<Point> {
    let point = |pipeline| {
        let arms = reads_and_writes(Range::Wide, &dataset(options), 20_000, scripts);
        let arms = arms.into_iter().map(|arm| arm.pipeline(pipeline)).collect();
        Point::new(&format!("pipeline {pipeline}"), dataset(options), arms)
    };
    [1, 16, 64].map(point).into()
}

pub(super) fn connections(options: &Options, scripts: &Scripts) -> Vec<Point> {
    let point = |connections| {
        let arms = reads_and_writes(Range::Core, &dataset(options), 20_000, scripts);
        let arms = arms.into_iter().map(|arm| arm.connections(connections)).collect();
        let label =
            if connections == 1 { "1 connection".to_owned() } else { format!("{connections} connections") };
        Point::new(&label, dataset(options), arms)
    };
    [1, 50, 500].map(point).into()
}

/// Once with the same few keys asked for whatever the size, so that the index alone makes the difference, and once
/// with all keys asked for, where memory is slower than caches for GET too.
pub(super) fn indexes(options: &Options, scripts: &Scripts) -> Vec<Point> {
    let mut sizes = vec![1, 100, 400, 500, 20_000, 1_000_000];
    if options.huge {
        sizes.push(10_000_000);
    }
    sizes.retain(|size| options.at_most(*size) == *size);
    let mut points = Vec::new();
    for index in sizes {
        let dataset = Dataset::new(options, index, 64);
        let hot = index.min(HOT_KEYS);
        let keys = if index == 1 { "key" } else { "keys" };
        let label = format!("{} {keys}, {hot} asked for", thousands(index));
        let arms = |keys| reads_and_writes(Range::Core, &dataset, keys, scripts);
        points.push(Point::new(&label, dataset.clone(), arms(hot)));
        if index >= 1_000_000 {
            let label = format!("{} {keys}, all asked for", thousands(index));
            // Only keys that hold a value of this size, so that all servers keep the same.
            points.push(Point::new(&label, dataset.clone(), arms(dataset.large)));
        }
    }
    points
}
