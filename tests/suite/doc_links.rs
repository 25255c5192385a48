//! The documentation as a newcomer finds it: links lead somewhere, what is to be typed exists and works, and the first thing
//! to read is short.

use crate::support::client::{call, int};
use crate::support::module;
use crate::support::server::Server;
use crate::support::wait;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page of the project.
fn pages() -> Vec<PathBuf> {
    const NOT_OURS: [&str; 5] = ["target", "node_modules", "venv", "corpus", "artifacts"];
    let (mut pages, mut directories) = (Vec::new(), vec![root().to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if name.starts_with('.') || NOT_OURS.contains(&name.as_str()) {
                continue;
            } else if path.is_dir() {
                directories.push(path);
            } else if name.ends_with(".md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

fn read(page: &Path) -> String {
    fs::read_to_string(page).unwrap_or_else(|failure| panic!("{}: {failure}", page.display()))
}

/// The lines of a page, each with whether it is in a fenced block, and of which language.
fn lines(text: &str) -> Vec<(&str, Option<&str>)> {
    let mut fence = None;
    text.lines()
        .filter_map(|line| match (line.trim_start().strip_prefix("```"), fence) {
            (Some(language), None) => {
                fence = Some(language);
                None
            }
            (Some(_), Some(_)) => {
                fence = None;
                None
            }
            (None, _) => Some((line, fence)),
        })
        .collect()
}

/// The name that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter))
        .map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

fn anchors(page: &Path) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    lines(&read(page))
        .into_iter()
        .filter(|(line, fence)| fence.is_none() && line.starts_with('#'))
        .map(|(line, _)| {
            let name = anchor(line.trim_start_matches('#').trim());
            let times = seen.entry(name.clone()).and_modify(|times| *times += 1).or_default();
            if *times == 0 { name } else { format!("{name}-{times}") }
        })
        .collect()
}

/// The targets of a line's links.
fn links(line: &str) -> Vec<&str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

/// A path without `..`.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                tidy.pop();
            }
            other => tidy.push(other),
        }
    }
    tidy
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = read(&page);
        for (line, fence) in lines(&text) {
            for link in links(line).into_iter().filter(|_| fence.is_none()) {
                if link.contains("://") || link.starts_with("mailto:") {
                    continue;
                }
                let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
                let target = match path {
                    "" => page.clone(),
                    path => tidy(&page.parent().expect("a directory").join(path)),
                };
                let is_fine = target.exists()
                    && target.starts_with(root())
                    && (fragment.is_empty() || anchors(&target).iter().any(|anchor| anchor == fragment));
                if !is_fine {
                    broken.push(format!("{}: {link}", page.strip_prefix(root()).expect("ours").display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

#[test]
fn every_page_is_linked_from_another() {
    let mut reached = vec![root().join("README.md")];
    let mut next = 0;
    while let Some(page) = reached.get(next).cloned() {
        next += 1;
        let text = read(&page);
        for link in
            lines(&text).into_iter().filter(|(_, fence)| fence.is_none()).flat_map(|(line, _)| links(line))
        {
            let target =
                tidy(&page.parent().expect("a directory").join(link.split('#').next().unwrap_or("")));
            if target.extension().is_some_and(|extension| extension == "md") && !reached.contains(&target) {
                reached.push(target);
            }
        }
    }
    let missed: Vec<PathBuf> = pages().into_iter().filter(|page| !reached.contains(page)).collect();
    assert!(missed.is_empty(), "nobody finds {missed:?}");
}

#[test]
fn what_is_to_be_typed_exists() {
    let makefile = read(&root().join("Makefile"));
    let is_target = |name: &str| makefile.lines().any(|line| line.starts_with(&format!("{name}:")));
    let mut checked = 0;
    for page in pages() {
        let text = read(&page);
        // Commands stand in blocks and between backticks.
        for (line, fence) in lines(&text) {
            let inline = line.split('`').skip(1).step_by(2);
            let pieces: Vec<&str> = if fence == Some("bash") { vec![line] } else { inline.collect() };
            for piece in pieces {
                let words: Vec<&str> = piece.split_whitespace().collect();
                for pair in words.windows(2).filter(|pair| pair[0] == "make") {
                    let target = pair[1].trim_end_matches([',', ';']);
                    if target.starts_with(|first: char| first.is_ascii_lowercase()) {
                        assert!(is_target(target), "{}: make {target}", page.display());
                        checked += 1;
                    }
                }
                if let Some(script) = words.first().filter(|word| word.starts_with("scripts/")) {
                    assert!(root().join(script).exists(), "{}: {script}", page.display());
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 20, "only {checked} commands found");
}

/// Two screens of forty lines until the reference begins.
#[test]
fn the_readme_comes_to_the_point() {
    let text = read(&root().join("README.md"));
    let before = text.lines().take_while(|line| *line != "## Commands").count();
    assert!(before < text.lines().count(), "no reference in the README");
    assert!(before <= 80, "{before} lines before the reference");
}

/// The block of a page with a certain word.
fn bash_block(page: &str, word: &str) -> String {
    let text = read(&root().join(page));
    let blocks = text.split("```bash\n").skip(1).filter_map(|block| block.split("```").next());
    let blocks: Vec<&str> = blocks.filter(|block| block.contains(word)).collect();
    let [block] = blocks[..] else { panic!("{page}: {} blocks with {word}", blocks.len()) };
    block.to_owned()
}

/// Runs a block as somebody would who has the server on the usual port; ours is behind a socket.
fn run_block(server: &Server, block: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let path = std::env::var("PATH").expect("a PATH");
    for program in ["redis-cli", "redis-benchmark"] {
        let real = std::env::split_paths(&path).map(|place| place.join(program)).find(|path| path.exists());
        let real = real.unwrap_or_else(|| panic!("no {program} on PATH"));
        let shim = directory.path().join(program);
        let script = format!("#!/bin/sh\nexec {} -s {} \"$@\"\n", real.display(), server.socket().display());
        fs::write(&shim, script).expect("a file");
        fs::set_permissions(&shim, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", block])
        .env("PATH", format!("{}:{path}", directory.path().display()))
        .output()
        .expect("bash");
    let shown =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shown}");
    shown
}

/// With fewer requests.
#[test]
fn the_benchmark_of_the_readme_runs() {
    let block = bash_block("README.md", "redis-benchmark");
    assert!(block.contains("-n 1000000"));
    let server = Server::start();
    let shown = run_block(&server, &block.replace("-n 1000000", "-n 1000"));
    let measured = shown.matches("requests per second").count();
    assert_eq!(measured, block.lines().filter(|line| line.starts_with("bench ")).count(), "{shown}");
    let mut client = server.client();
    assert_ne!(client.info("mtime", "mtime_modified"), "0");
    assert_ne!(client.info("mtime", "mtime_not_modified"), "0");
}

#[test]
fn the_pass_of_mtclean_from_the_shell_runs() {
    let server = Server::start();
    let mut client = server.client();
    for number in 0..3000 {
        call!(client, "HSET", "MY_KEYSMTIME", format!("gone:{number}"), 5);
    }
    let shown = run_block(&server, &bash_block("docs/commands/mtclean.md", "MTCLEAN"));
    assert_eq!(shown.trim(), "3000 entries removed");
    assert_eq!(client.run("EXISTS MY_KEYSMTIME"), int(0));
}

#[test]
fn make_install_puts_the_module_where_the_readme_says() {
    let place = tempfile::tempdir().expect("a directory");
    for prefix in ["/usr/local", "/usr"] {
        let output = Command::new("make")
            .args([
                "-s",
                "install",
                &format!("PREFIX={prefix}"),
                &format!("DESTDIR={}", place.path().display()),
            ])
            .current_dir(root())
            .output()
            .expect("make");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let module = format!("{prefix}/lib/redis/modules/libredis_mtime.so");
        assert!(said.contains(&format!("loadmodule {module}")), "{said}");
        let installed = fs::metadata(place.path().join(&module[1..])).expect("the module");
        assert_eq!(installed.permissions().mode() & 0o777, 0o755);
    }
    assert!(
        read(&root().join("README.md")).contains("loadmodule /usr/local/lib/redis/modules/libredis_mtime.so")
    );
}

#[test]
fn the_release_notes_are_what_the_changelog_says() {
    let notes = |version: &str| {
        let output = Command::new(root().join("scripts/release-notes")).arg(version).output().expect("bash");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(notes("0.0.0"), None, "a version that is not in the changelog");
    let changelog = read(&root().join("CHANGELOG.md"));
    let section = changelog.split("\n## [").skip(1).find(|section| section.lines().count() > 5);
    let (version, text) = section.and_then(|section| section.split_once(']')).expect("a section");
    let notes = notes(version).expect("notes");
    assert!(text.lines().skip(1).all(|line| notes.contains(line)), "{notes}");
    assert!(notes.contains(&format!("redis-mtime_{version}-1_")), "{notes}");
}

#[test]
fn make_run_serves_until_it_is_told_to_end() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = socket.local_addr().expect("its address").port().to_string();
    drop(socket);
    let mut run = Command::new(root().join("scripts/run"))
        .env("PORT", &port)
        .env("REDIS_MTIME_MODULE", module::path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("bash");
    let ask = |words: &[&str]| {
        let output = Command::new("redis-cli").args(["-p", &port]).args(words).output().expect("redis-cli");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    wait::until("the server", || (ask(&["PING"]) == "PONG").then_some(()));
    assert_eq!(ask(&["MTSET", "Hello", "World", "1700000000"]), "OK");
    assert_eq!(ask(&["MTGET", "Hello", "1699999900"]), "World");
    let told = Command::new("kill").arg(run.id().to_string()).status().expect("kill");
    assert!(told.success());
    wait::until("its end", || run.try_wait().expect("a child"));
    assert_eq!(ask(&["PING"]), "");
}
