//! The tables: which arms on which data, with how many connections and requests in flight. The arms themselves are in
//! `arm_list`.

mod sweeps;

use crate::arm::{Arm, Generator, beside_keymeta};
use crate::arm_list::{self, Range};
use crate::dataset::{Dataset, thousands};
use crate::options::Options;
use crate::scripts::Scripts;

/// Arms that run in turn on the same data.
pub(crate) struct Point {
    pub(crate) label: String,
    pub(crate) dataset: Dataset,
    pub(crate) arms: Vec<Arm>,
    pub(crate) writers: Writers,
}

impl Point {
    fn new(label: &str, dataset: Dataset, arms: Vec<Arm>) -> Self {
        Self { label: label.to_owned(), dataset, arms, writers: Writers::Module }
    }
}

/// Who writes mtimes. Where scripts do, the module cannot know all tracked keys, and has to look every key that is
/// written up in the index.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Writers {
    Module,
    Scripts,
}

/// What of a section's arms is also sent at a fixed rate. Not those that can meet each key once only.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Latency {
    /// A request each time.
    Request,
    /// As many as the arm has in flight on a connection, in one write; the last reply counts.
    Pipeline,
    /// Nothing: the load generator has its own.
    Left,
}

impl Latency {
    /// The requests of an arm that are sent together.
    pub(crate) fn together(self, arm: &Arm) -> usize {
        if self == Self::Pipeline { arm.pipeline } else { 1 }
    }
}

/// Points that make up one table.
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What CPU time is a multiple of.
    pub(crate) baseline: &'static str,
    pub(crate) latency: Latency,
    pub(crate) points: Vec<Point>,
}

/// What can be measured here besides what can be measured everywhere.
pub(crate) struct Offers {
    /// Whether the server takes `mtime.storage keymeta`.
    pub(crate) keymeta: bool,
    pub(crate) memtier: bool,
}

/// Names of all sections, in the order of the report.
pub(crate) const SECTIONS: [&str; 10] =
    ["base", "value", "hits", "pipeline", "index", "connections", "batch", "foreign", "cluster", "memtier"];

/// Everything that `options` ask for.
pub(crate) fn sections(options: &Options, scripts: &Scripts, offers: &Offers) -> Vec<Section> {
    let base = || Dataset::new(options, 20_000, 64);
    let mut sections = vec![
        Section {
            name: "base",
            title: "64-byte values, pipeline 16, index of 20,000 keys",
            baseline: "GET or SET",
            latency: Latency::Request,
            points: vec![sweeps::base(options, scripts)],
        },
        Section {
            name: "value",
            title: "By size of the value (pipeline 16, index of 20,000 keys)",
            baseline: "GET or SET",
            latency: Latency::Request,
            points: sweeps::values(options, scripts),
        },
        Section {
            name: "hits",
            title: "By the share of reads that find their key not modified (pipeline 16, index of 20,000 keys)",
            baseline: "GET",
            latency: Latency::Request,
            points: sweeps::hits(options, scripts),
        },
        Section {
            name: "pipeline",
            title: "By requests in flight on a connection (64-byte values, index of 20,000 keys)",
            baseline: "GET or SET",
            latency: Latency::Pipeline,
            points: sweeps::pipelines(options, scripts),
        },
        Section {
            name: "index",
            title: "By size of the index (64-byte values, pipeline 16)",
            baseline: "GET or SET",
            latency: Latency::Request,
            points: sweeps::indexes(options, scripts),
        },
        Section {
            name: "connections",
            title: "By connections (64-byte values, pipeline 16, index of 20,000 keys)",
            baseline: "GET or SET",
            latency: Latency::Request,
            points: sweeps::connections(options, scripts),
        },
        Section {
            name: "batch",
            title: "Replies with the mtime, and batches of 100 keys: CPU and throughput a key (64-byte values, index of 20,000 keys)",
            baseline: "MTGET",
            latency: Latency::Request,
            points: vec![Point::new("64 B", base(), arm_list::batch(20_000))],
        },
        Section {
            name: "foreign",
            title: "Other commands, with and without the module (64-byte values, pipeline 16)",
            baseline: "no module",
            latency: Latency::Request,
            points: foreign_points(options),
        },
        Section {
            name: "cluster",
            title: "A cluster node with all slots, and thousands of small indexes (64-byte values, pipeline 16, 20,000 keys)",
            baseline: "alone",
            latency: Latency::Request,
            points: vec![cluster_point(options)],
        },
        Section {
            name: "memtier",
            title: "The base table again, loaded by memtier_benchmark (64-byte values, pipeline 16, index of 20,000 keys)",
            baseline: "GET or SET",
            latency: Latency::Left,
            points: if offers.memtier { vec![memtier_point(options, scripts)] } else { Vec::new() },
        },
    ];
    sections.retain(|section| options.sections.iter().any(|name| name == section.name));
    for point in sections.iter_mut().flat_map(|section| &mut section.points) {
        // Scripts have no index to share with keymeta storage. The demo's table is short.
        if offers.keymeta && point.writers == Writers::Module && !options.quick {
            point.arms = beside_keymeta(std::mem::take(&mut point.arms));
        }
        point.arms.retain(|arm| {
            let name = arm.name.to_lowercase();
            options.arms.is_empty() || options.arms.iter().any(|part| name.contains(&part.to_lowercase()))
        });
    }
    sections
}

fn foreign_points(options: &Options) -> Vec<Point> {
    let dataset = |index| Dataset { untracked: index, ..Dataset::new(options, index, 64) };
    let small = dataset(20_000);
    let large = dataset(options.at_most(1_000_000));
    let label = format!("{} keys", thousands(large.index));
    // Fewer of the commands that work on a key once only, but enough that the time can be measured.
    let arms = arm_list::foreign(&large, Some(options.at_most(300_000)));
    let commands = ["SET", "INCR", "DEL"];
    let names =
        commands.map(|command| [format!("{command}, no module"), format!("{command}, untracked key")]);
    let untracked = |arm: &Arm| names.as_flattened().contains(&arm.name);
    vec![
        Point::new("20,000 keys", small.clone(), arm_list::foreign(&small, None)),
        Point::new(&label, large.clone(), arms.clone()),
        Point {
            writers: Writers::Scripts,
            ..Point::new(
                &format!("{label}, scripts write too"),
                large,
                arms.into_iter().filter(untracked).collect(),
            )
        },
    ]
}

fn cluster_point(options: &Options) -> Point {
    let untracked = options.at_most(20_000);
    let dataset = Dataset { untracked, in_cluster: true, ..Dataset::new(options, 20_000, 64) };
    let arms = arm_list::cluster(&dataset);
    Point::new("20,000 keys", dataset, arms)
}

fn memtier_point(options: &Options, scripts: &Scripts) -> Point {
    let dataset = Dataset::new(options, 20_000, 64);
    let arms = arm_list::reads_and_writes(Range::Core, &dataset, 20_000, scripts);
    let arms = arms.into_iter().map(|arm| Arm { generator: Generator::Memtier, ..arm });
    Point::new("64 B", dataset, arms.collect())
}
