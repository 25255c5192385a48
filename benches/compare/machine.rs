//! What the numbers were measured on, and which CPUs the server and the load get.

use std::fs;
use std::process::Command;

/// The CPUs to pin to: the server alone on one, the load on another core.
pub(crate) struct Pinning {
    pub(crate) server: usize,
    pub(crate) load: usize,
}

impl Pinning {
    /// None where two CPUs cannot be had: then server and load disturb each other, and the report says so.
    pub(crate) fn choose() -> Option<Self> {
        Command::new("taskset").arg("--version").output().ok()?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let allowed = cpu_list(status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?);
        let server = *allowed.first()?;
        // A hyperthread of the server's own core would take half of it.
        let siblings = format!("/sys/devices/system/cpu/cpu{server}/topology/thread_siblings_list");
        let siblings = cpu_list(&fs::read_to_string(siblings).unwrap_or_default());
        let others = || allowed.iter().copied().filter(|cpu| *cpu != server);
        let load = others().find(|cpu| !siblings.contains(cpu)).or_else(|| others().next())?;
        Some(Self { server, load })
    }

    /// Moves this process, and with it every load generator it starts, to the load's CPU.
    pub(crate) fn pin_self(&self) {
        let pid = std::process::id().to_string();
        let _ = Command::new("taskset").args(["-cp", &self.load.to_string(), &pid]).output();
    }
}

/// `0-2,5` as the kernel writes it.
fn cpu_list(text: &str) -> Vec<usize> {
    let mut cpus = Vec::new();
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) {
            cpus.extend(first..=last);
        }
    }
    cpus
}

/// Model of the CPU.
pub(crate) fn cpu_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    model.map_or(std::env::consts::ARCH, |(_, model)| model).to_owned()
}

/// CPUs that are there, whoever may use them.
pub(crate) fn cpus() -> usize {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines().filter(|line| line.starts_with("processor")).count()
}

/// Kernel release.
pub(crate) fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// Name of the distribution.
pub(crate) fn distribution() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("unknown").trim_matches('"').to_owned()
}

/// First line that a command prints, or what is said when it does not run.
pub(crate) fn first_line(program: &str, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned(),
        Err(error) => format!("{program}: {error}"),
    }
}
