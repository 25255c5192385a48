//! Where the module under test is. `cargo test` does not build the shared object of a cdylib-only crate, so the
//! harness builds it once a run: tests must never pass on a stale module.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const FILE_NAME: &str = "libredis_mtime.so";

/// The module to load: `REDIS_MTIME_MODULE`, otherwise a fresh release build.
pub(crate) fn path() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| match std::env::var("REDIS_MTIME_MODULE") {
        Ok(path) => {
            let absolute = std::fs::canonicalize(&path)
                .unwrap_or_else(|error| panic!("REDIS_MTIME_MODULE={path}: {error}"));
            text(absolute)
        }
        Err(_) => build(),
    })
}

/// Another module, which hears keyspace events: see `tests/listener`. `cargo test` has built it next to the tests.
pub(crate) fn listener() -> String {
    let tests = std::env::current_exe().expect("the path of the tests");
    let path = tests.ancestors().nth(2).expect("cargo's folder").join("examples/liblistener.so");
    assert!(path.exists(), "no {}: 'cargo test --no-run' builds it", path.display());
    text(path)
}

fn build() -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["build", "--release", "--lib", "--message-format=json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo build --release failed: no module to test");
    let messages = String::from_utf8(output.stdout).expect("cargo speaks UTF-8");
    // Cargo names each file it made in quotes; ours is known by its name alone.
    messages
        .split('"')
        .rfind(|part| part.ends_with(FILE_NAME))
        .unwrap_or_else(|| panic!("cargo build --release made no {FILE_NAME}"))
        .to_owned()
}

fn text(path: PathBuf) -> String {
    path.into_os_string().into_string().expect("a path in UTF-8")
}
