//! Every conversation in the documentation is true: it is replayed, line by line, against a fresh server.

use crate::keymeta;
use crate::support::client::Reply;
use crate::support::module;
use crate::support::server::Server;
use crate::support::transcript;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn command_pages() -> Vec<PathBuf> {
    let directory = root().join("docs/commands");
    let Ok(entries) = fs::read_dir(&directory) else { return Vec::new() };
    let mut pages: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    pages
}

/// Replays a page. A number the server gives (mtime `*`) is another one each time: the one printed in the page stands
/// for it from there on.
fn replay(path: &Path) {
    let page = path.display();
    let text = fs::read_to_string(path).unwrap_or_else(|failure| panic!("{page}: {failure}"));
    let exchanges = transcript::exchanges(&text);
    assert!(!exchanges.is_empty(), "{page} has no example");
    let server = if path.ends_with("mtimport.md") {
        if !keymeta::is_offered() {
            return;
        }
        keymeta::builder().start()
    } else if path.ends_with("mtclean.md")
        || path.starts_with(root().join("docs")) && !path.starts_with(root().join("docs/commands"))
    {
        // They are about the index.
        Server::with(&["mtime.storage hash"])
    } else {
        Server::start()
    };
    let mut client = server.client();
    let mut given: BTreeMap<String, String> = BTreeMap::new();
    let resolve = |text: &str, given: &BTreeMap<String, String>| {
        given.iter().fold(text.to_owned(), |text, (printed, actual)| text.replace(printed, actual))
    };
    for exchange in exchanges {
        let place = format!("{page}:{}", exchange.line_number);
        // The module is not installed where the pages say it is.
        let line = exchange.command.replace("/usr/local/lib/redis/modules/libredis_mtime.so", module::path());
        let command =
            transcript::split(&resolve(&line, &given)).unwrap_or_else(|failure| panic!("{place}: {failure}"));
        let reply = client.call(&command);
        if command.iter().any(|argument| argument == b"*")
            && let Reply::Bulk(actual) = &reply
        {
            let printed = exchange.printed.trim_matches('"').to_owned();
            assert!(printed.parse::<u64>().is_ok(), "{place}: not an assigned mtime: {printed}");
            given.insert(printed, String::from_utf8(actual.clone()).expect("digits"));
        }
        let expected = resolve(&exchange.printed, &given);
        assert_eq!(transcript::print(&reply), expected, "{place}: redis> {}", exchange.command);
    }
}

#[test]
fn every_command_page() {
    let pages = command_pages();
    for command in ["MTGET", "MTSET", "MTMGET", "MTTIME", "MTTOUCH", "MTDEL"] {
        assert!(
            pages
                .iter()
                .any(|page| { page.file_stem().is_some_and(|stem| stem.eq_ignore_ascii_case(command)) }),
            "docs/commands has no page of {command}"
        );
    }
    for page in pages {
        // An overview of the commands is no page of one.
        if page.file_stem().is_some_and(|stem| !stem.eq_ignore_ascii_case("README")) {
            replay(&page);
        }
    }
}

#[test]
fn the_readme() {
    replay(&root().join("README.md"));
}

#[test]
fn the_other_pages() {
    for page in ["invalidation.md", "migration.md", "operations.md", "patterns.md"] {
        replay(&root().join("docs").join(page));
    }
}

/// Every test of this crate by its name.
fn names_of_tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut directories = vec![root().join("src"), root().join("tests")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).expect("a source");
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                is_test |= line == "#[test]";
                if let Some(name) = line.strip_prefix("fn ").filter(|_| is_test) {
                    names.insert(name.split('(').next().expect("a name").to_owned());
                    is_test = false;
                }
            }
        }
    }
    names
}

/// What the table of failures says is shown by the tests that each row names.
#[test]
fn every_row_of_the_failure_table_names_its_tests() {
    let text = fs::read_to_string(root().join("docs/operations.md")).expect("the page");
    let (_, section) = text.split_once("## What happens when").expect("the section");
    let names = names_of_tests();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 20, "{}", rows.len());
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().expect("a last column");
        for test in tests.split(", ").map(|test| test.trim_matches('`')) {
            assert!(names.contains(test), "no test is called {test}: {row}");
        }
    }
}
