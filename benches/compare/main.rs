//! The module against GET, SET and the Lua scripts: same server binary, same data, same replies, arms in turn, several
//! runs, median and range, the server's CPU time beside its throughput. See `options` for what can be asked.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic here ends a benchmark, not somebody's database"
)]

mod limits;
mod load;
mod machine;
mod options;
mod report;
mod resp;
mod server;
mod stats;
mod workload;

use crate::load::Length;
use crate::machine::Pinning;
use crate::options::{Options, Storage};
use crate::report::{Results, Row};
use crate::server::Server;
use crate::stats::Sample;
use crate::workload::{Arm, Dataset, Expect, Point, Scripts, Side, Traffic, Writers, instantiate};
use std::fmt::Write;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const INDEX: &str = "MY_KEYSMTIME";

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
    let started = Instant::now();
    let programs = Programs::find()?;
    let pinning = Pinning::choose();
    if let Some(pinning) = &pinning {
        pinning.pin_self();
    }

    let storage = options.storage;
    let mut rig = Rig::start(&programs, pinning.as_ref(), storage, None)?;
    let scripts = Scripts { read: rig.load_script(READ)?, write: rig.load_script(WRITE)? };
    let sections = workload::sections(options, &scripts);
    let head = head(options, &programs, pinning.as_ref(), &mut rig)?;

    let mut results = Results::default();
    let mut report = head;
    for section in &sections {
        for point in &section.points {
            progress(
                options,
                &format!("[{:3} s] {}: {} ", started.elapsed().as_secs(), section.name, point.label),
            );
            if rig.dataset.as_ref() != Some(&point.dataset) {
                drop(rig);
                rig = Rig::start(&programs, pinning.as_ref(), storage, Some(&point.dataset))?;
                rig.load_script(READ)?;
                rig.load_script(WRITE)?;
            }
            measure(&mut rig, &programs, options, section.name, point, &mut results)
                .map_err(|error| format!("{}, {}: {error}", section.name, point.label))?;
            progress(options, "\n");
        }
        let _ = writeln!(report, "\n## {}\n\n{}", section.title, results.table(section).trim_end());
    }
    drop(rig);

    if storage == Storage::Keymeta && options.sections.iter().any(|name| name == "index") {
        let _ = writeln!(report, "\n## Memory\n\n{}", memory(options, &programs, pinning.as_ref())?);
    }

    let limits = limits::limits(&results, storage);
    if options.quick {
        // For people, at the end of the demo: the table and how to read it.
        for section in &sections {
            print!("{}", results.table(section));
        }
        print!("\n{QUICK_LEGEND}{}", results.warnings());
    }
    if !limits.is_empty() {
        let _ = writeln!(report, "\n## Limits\n\n{}", report::limits(&limits).trim_end());
    }
    let warnings = results.warnings();
    if !warnings.is_empty() {
        let _ = writeln!(report, "\n{}", warnings.trim_end());
    }

    if options.smoke {
        println!("{} arms ran and answered what they should.", results.rows.len());
        print!("{}", results.warnings());
    } else if !options.quick {
        println!("{}", report.trim());
        std::fs::create_dir_all(&options.out)?;
        for (name, text) in [("report.md", &report), ("report.csv", &results.csv())] {
            let path = options.out.join(name);
            std::fs::write(&path, text)?;
            eprintln!("written: {}", path.display());
        }
    }
    let incomplete = !results.skipped.is_empty() && (options.check || options.smoke);
    let beyond = options.check && limits.iter().any(|limit| !limit.met);
    Ok(if incomplete || beyond { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

const READ: &str = include_str!("read.lua");
const WRITE: &str = include_str!("write.lua");

const QUICK_LEGEND: &str = "\
64-byte values, pipeline 16, 20,000 keys, 50 connections. CPU is the server's own CPU time a request; \"x GET or SET\" is
that as a multiple of the plain command's, \"x Lua\" the throughput as a multiple of the script's.
";

/// The programs that are run.
struct Programs {
    module: PathBuf,
    server: PathBuf,
    benchmark: String,
}

impl Programs {
    fn find() -> Result<Self> {
        let from = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
        let module = from("REDIS_MTIME_MODULE", "target/release/libredis_mtime.so");
        let module = std::fs::canonicalize(&module)
            .map_err(|error| format!("{module}: {error} (build it with: cargo build --release)"))?;
        Ok(Self {
            module,
            server: from("REDIS_SERVER", "redis-server").into(),
            benchmark: from("REDIS_BENCHMARK", "redis-benchmark"),
        })
    }
}

/// A server with the module and one without, on the same CPU, with the same data, and perhaps a cluster node. All but one
/// are always idle.
struct Rig {
    module: Server,
    /// With hash storage, where `module` has another one.
    hash: Option<Server>,
    plain: Server,
    /// Only where the data is to be there too.
    cluster: Option<Server>,
    dataset: Option<Dataset>,
    /// Last, so that the servers end before their directories go.
    _directory: tempfile::TempDir,
}

impl Rig {
    fn start(
        programs: &Programs,
        pinning: Option<&Pinning>,
        storage: Storage,
        dataset: Option<&Dataset>,
    ) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("redis-mtime-bench-").tempdir()?;
        let module = programs.module.as_path();
        let start = |name: &str, module: Option<(&Path, Storage)>| -> Result<Server> {
            let own = directory.path().join(name);
            std::fs::create_dir(&own)?;
            let ports = if name == "cluster" { Some(free_ports()?) } else { None };
            Server::start(&programs.server, &own, module, ports, pinning)
        };
        let in_cluster = dataset.is_some_and(|dataset| dataset.in_cluster);
        let cluster = in_cluster.then(|| start("cluster", Some((module, storage)))).transpose()?;
        let mut rig = Self {
            module: start("module", Some((module, storage)))?,
            hash: match storage {
                Storage::Hash => None,
                Storage::Keymeta => Some(start("hash", Some((module, Storage::Hash)))?),
            },
            plain: start("plain", None)?,
            cluster,
            dataset: dataset.cloned(),
            _directory: directory,
        };
        if let Some(dataset) = dataset {
            rig.fill(dataset)?;
        }
        Ok(rig)
    }

    fn side(&mut self, side: Side) -> &mut Server {
        match side {
            Side::Module => &mut self.module,
            Side::Hash => self.hash.as_mut().unwrap_or(&mut self.module),
            Side::Plain => &mut self.plain,
            Side::Cluster => self.cluster.as_mut().unwrap_or(&mut self.module),
        }
    }

    /// Loads a script into both servers and returns its name.
    fn load_script(&mut self, script: &str) -> Result<String> {
        self.plain.client.must(&["SCRIPT", "LOAD", script])?;
        Ok(self.module.client.text(&["SCRIPT", "LOAD", script])?)
    }

    fn fill(&mut self, dataset: &Dataset) -> Result<()> {
        let owned = |command: &[&str]| command.iter().map(|&part| part.to_owned()).collect::<Vec<_>>();
        let value = dataset.value();
        // All keys first, then the large values over some of them.
        for (value, keys) in [("x", dataset.index), (&value, dataset.large)] {
            let track = owned(&["MTSET", "key:__rand_int__", value, workload::MTIME]);
            load::fill(&mut self.module.client, &track, keys)?;
            if let Some(hash) = &mut self.hash {
                load::fill(&mut hash.client, &track, keys)?;
            }
            let set = owned(&["SET", "key:__rand_int__", value]);
            load::fill(&mut self.plain.client, &set, keys)?;
        }
        let index = owned(&["HSET", INDEX, "key:__rand_int__", workload::MTIME]);
        load::fill(&mut self.plain.client, &index, dataset.index)?;
        for command in [["SET", "plain:__rand_int__", &value], ["SET", "counter:__rand_int__", "1000000"]] {
            load::fill(&mut self.module.client, &owned(&command), dataset.untracked)?;
            load::fill(&mut self.plain.client, &owned(&command), dataset.untracked)?;
        }
        if let Some(cluster) = &mut self.cluster {
            cluster.client.must(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"])?;
            while !cluster.client.text(&["CLUSTER", "INFO"])?.contains("cluster_state:ok") {
                std::thread::sleep(Duration::from_millis(50));
            }
            let track = owned(&["MTSET", "key:__rand_int__", &value, workload::MTIME]);
            load::fill(&mut cluster.client, &track, dataset.index)?;
            let set = owned(&["SET", "plain:__rand_int__", &value]);
            load::fill(&mut cluster.client, &set, dataset.untracked)?;
        }
        Ok(())
    }

    /// False on a module that does not know the setting yet, or no more.
    fn set_invalidation(&mut self, value: &str) -> Result<bool> {
        let reply = self.module.client.call(&["CONFIG", "SET", "mtime.invalidate-on-write", value])?;
        Ok(reply.starts_with(b"+OK"))
    }

    /// After a start or a load the module reads the index in the background; until then foreign writes cost more.
    fn wait_until_tracked_keys_are_known(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(900);
        if self.hash.is_some() {
            return Ok(());
        }
        for server in [Some(&mut self.module), self.cluster.as_mut()].into_iter().flatten() {
            while server.info("mtime", "mtime_tracked_keys_known")?.is_some_and(|known| known == "0") {
                if Instant::now() > deadline {
                    return Err("the module does not get to know the tracked keys".into());
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    /// Sets an mtime as a script would, to what it is.
    fn write_as_a_script(&mut self) -> Result<()> {
        let key = format!("key:{:012}", 0);
        self.module.client.must(&["HSET", INDEX, &key, workload::MTIME])?;
        Ok(())
    }

    /// Entries in the index of the server with the module; `None` if it has no index.
    fn entries(&mut self) -> Result<Option<usize>> {
        if self.hash.is_some() {
            return Ok(None);
        }
        Ok(Some(self.module.client.integer(&["HLEN", INDEX])?))
    }

    /// The mtime of a key on the server with the module.
    fn mtime(&mut self, key: &str) -> Result<Vec<u8>> {
        let command = if self.hash.is_some() { vec!["MTTIME", key] } else { vec!["HGET", INDEX, key] };
        Ok(self.module.client.must(&command)?)
    }
}

/// Two ports of the loopback that nobody uses.
fn free_ports() -> Result<(u16, u16)> {
    let take = || std::net::TcpListener::bind("127.0.0.1:0");
    let (one, other) = (take()?, take()?);
    Ok((one.local_addr()?.port(), other.local_addr()?.port()))
}

fn measure(
    rig: &mut Rig,
    programs: &Programs,
    options: &Options,
    section: &'static str,
    point: &Point,
    results: &mut Results,
) -> Result<()> {
    let mut arms = Vec::new();
    for arm in &point.arms {
        match check(rig, arm)? {
            None => arms.push((arm, 0.0, Vec::<Sample>::new())),
            Some(refusal) => {
                results.skipped.push(format!("{section}, {}: {}: {refusal}", point.label, arm.name))
            }
        }
    }
    same_data(rig, point)?;
    if point.writers == Writers::Module {
        rig.wait_until_tracked_keys_are_known()?;
    }

    // A first run of each arm, not counted: it warms up, lets hash tables finish growing and tells how many requests
    // fill the time.
    for run in 0..=options.runs {
        for (arm, rate, samples) in &mut arms {
            if run == 0 && matches!(arm.traffic, Traffic::InOrder { .. }) {
                continue;
            }
            if arm.side == Side::Module {
                rig.set_invalidation(arm.invalidate)?;
                if point.writers == Writers::Scripts {
                    rig.write_as_a_script()?;
                }
            }
            let length = match run {
                0 => Length::Pipelines(if options.smoke { 4 } else { 20 }),
                _ => Length::Seconds { seconds: options.seconds, rate: *rate },
            };
            let sample = load::run(rig.side(arm.side), &programs.benchmark, arm, length)?;
            *rate = sample.rate;
            if run > 0 {
                samples.push(sample);
            }
            index_as_expected(rig, arm, point)?;
        }
        progress(options, ".");
    }
    rig.set_invalidation("yes")?;
    same_data(rig, point)?;
    for (arm, _, samples) in &arms {
        results.rows.push(Row::new(section, &point.label, arm, &point.dataset, samples));
    }
    Ok(())
}

/// Asks for some keys one by one and compares the bytes of each reply. Some(reason) when the server refuses the
/// command or the setting; an error when it answers something else than expected.
fn check(rig: &mut Rig, arm: &Arm) -> Result<Option<String>> {
    if arm.side == Side::Module && arm.invalidate != "yes" && !rig.set_invalidation(arm.invalidate)? {
        return Ok(Some("the module has no mtime.invalidate-on-write".to_owned()));
    }
    rig.set_invalidation("yes")?;
    // In order, each key can be met once only; what those arms do shows in the index afterwards.
    let Traffic::Random { keys } = arm.traffic else { return Ok(None) };
    let client = &mut rig.side(arm.side).client;
    for round in 0..100 {
        let mut numbers = Vec::new();
        // A stride that visits all keys before it comes back to one.
        let command = instantiate(&arm.command, &mut || {
            let number = (round * 7919 + numbers.len() * 104_729) % keys;
            numbers.push(number);
            number
        });
        let mut values = Vec::new();
        if !matches!(arm.expect, Expect::Integer) {
            for number in &numbers {
                values.push(client.must(&["GET", format!("key:{number:012}").as_str()])?);
            }
        }
        let reply = client.call(&command)?;
        if reply.first() == Some(&b'-') {
            return Ok(Some(String::from_utf8_lossy(&reply).trim().to_owned()));
        }
        if arm.expect.reply(&values).is_some_and(|expected| expected != reply) {
            let reply = String::from_utf8_lossy(&reply[..reply.len().min(200)]).into_owned();
            return Err(format!("{}: unexpected reply {reply:?}", arm.name).into());
        }
    }
    Ok(None)
}

/// Both servers must hold the same values and mtimes, before and after: MTSET did what the script did.
fn same_data(rig: &mut Rig, point: &Point) -> Result<()> {
    for round in 0..100 {
        let key = format!("key:{:012}", round * 7919 % point.dataset.index);
        let ours = [rig.module.client.must(&["GET", &key])?, rig.mtime(&key)?];
        let theirs = [rig.plain.client.must(&["GET", &key])?, rig.plain.client.must(&["HGET", INDEX, &key])?];
        if ours != theirs {
            return Err(format!("the two servers differ about {key}: {ours:?} and {theirs:?}").into());
        }
    }
    Ok(())
}

/// The index must have kept its size, or have lost an entry for each request where that is what is measured.
fn index_as_expected(rig: &mut Rig, arm: &Arm, point: &Point) -> Result<()> {
    let lost = match arm.traffic {
        Traffic::InOrder { keys, .. } if arm.drops => keys,
        _ => 0,
    };
    let (entries, expected) = (rig.entries()?, point.dataset.index - lost);
    if let Some(entries) = entries
        && entries != expected
    {
        return Err(format!("{}: the index has {entries} entries, not {expected}", arm.name).into());
    }
    if let Traffic::InOrder { prepare, keys } = &arm.traffic
        && arm.drops
    {
        load::fill(&mut rig.module.client, prepare, *keys)?;
    }
    Ok(())
}

/// What an mtime takes: two servers with the same keys, one of them with mtimes, for each storage.
fn memory(options: &Options, programs: &Programs, pinning: Option<&Pinning>) -> Result<String> {
    let keys = options.at_most(1_000_000);
    let value = workload::value(64);
    let mut used = Vec::new();
    let track = vec!["MTSET", "key:__rand_int__", &value, workload::MTIME];
    let set = vec!["SET", "key:__rand_int__", &value];
    for (storage, command) in [(Storage::Keymeta, &set), (Storage::Keymeta, &track), (Storage::Hash, &track)]
    {
        let directory = tempfile::Builder::new().prefix("redis-mtime-bench-").tempdir()?;
        let module = Some((programs.module.as_path(), storage));
        let mut server = Server::start(&programs.server, directory.path(), module, None, pinning)?;
        let command: Vec<String> = command.iter().map(|&part| part.to_owned()).collect();
        load::fill(&mut server.client, &command, keys)?;
        let bytes = server.info("memory", "used_memory")?.ok_or("no used_memory")?;
        used.push(bytes.parse::<f64>()?);
    }
    let per_key = |number: usize| (used[number] - used[0]) / keys as f64;
    Ok(format!(
        "A tracked key against an untracked one, {} keys, 64-byte values, names of 16 bytes: {:.1} bytes with keymeta \
         storage, {:.1} with hash storage.",
        workload::thousands(keys),
        per_key(1),
        per_key(2),
    ))
}

/// Goes to standard error, so that the report can be redirected; not at the end of the demo, which is short.
fn progress(options: &Options, text: &str) {
    if !options.quick {
        eprint!("{text}");
        let _ = std::io::stderr().flush();
    }
}

/// What the numbers were measured on and how.
fn head(options: &Options, programs: &Programs, pinning: Option<&Pinning>, rig: &mut Rig) -> Result<String> {
    let mut server = format!("Redis {}", rig.plain.info("server", "redis_version")?.unwrap_or_default());
    if let Some(version) = rig.plain.info("server", "valkey_version")? {
        server = format!("Valkey {version}");
    }
    let allocator = rig.plain.info("memory", "mem_allocator")?.unwrap_or_default();
    let pinned = pinning.map_or_else(
        || "server and load NOT pinned (one CPU, or no taskset): expect noise".to_owned(),
        |pinning| format!("server on CPU {}, load on CPU {}", pinning.server, pinning.load),
    );
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    Ok(format!(
        "# redis-mtime {version}, measured {date}

- {server} ({allocator}), no persistence, no replica; {benchmark}, {clients} connections, unix socket; {pinned}
- {cpu}; {distribution}, Linux {kernel}
- {runs} runs of {seconds} s of each arm, in turn; median and range{options}

CPU is the time the server's main thread spent on a CPU (/proc/PID/task/PID/schedstat) over the number of keys asked
for. Where busy is well below 100 %, the load generator was the limit and the throughput says little.
\"plain\" is a second server of the same binary and data without the module.
",
        version = env!("CARGO_PKG_VERSION"),
        date = machine::first_line("date", &["-u", "+%Y-%m-%d"]),
        benchmark = machine::first_line(&programs.benchmark, &["--version"]),
        clients = load::CLIENTS,
        cpu = machine::cpu(),
        distribution = machine::distribution(),
        kernel = machine::kernel(),
        runs = options.runs,
        seconds = options.seconds,
        options = if arguments.is_empty() { String::new() } else { format!("; {}", arguments.join(" ")) },
    ))
}
