//! What `redis-cli` and other tools make of COMMAND DOCS: the hint while one types, `help`, completion with Tab. In a real
//! terminal, which `script` of util-linux provides.

use crate::support::client::{Client, Reply, call};
use crate::support::server::Server;
use crate::support::wait;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

const COMMANDS: [&str; 7] = ["mtget", "mtset", "mtmget", "mttime", "mttouch", "mtdel", "mtclean"];
/// What redis-cli puts around a hint: grey, and back.
const GREY: &str = "\u{1b}[0;90;49m";
const PLAIN: &str = "\u{1b}[0m";
/// Clears the line that was typed.
const CTRL_U: &str = "\u{15}";

/// An interactive redis-cli.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn open(server: &Server) -> Self {
        let command = format!("stty cols 300 rows 50; exec redis-cli -s {}", server.socket().display());
        let mut child = Command::new("script")
            .args(["--quiet", "--flush", "--return", "--command", &command, "/dev/null"])
            .env("TERM", "xterm")
            .env("REDISCLI_HISTFILE", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script, of util-linux");
        let (keys, mut output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let screen = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&screen);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                written.lock().expect("no panic").extend_from_slice(&bytes[..count]);
            }
        });
        let terminal = Self { child, keys, screen };
        wait::until("the prompt of redis-cli", || terminal.shown().contains("> ").then_some(()));
        terminal
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().expect("no panic")).into_owned()
    }

    fn press(&mut self, keys: &str) {
        self.screen.lock().expect("no panic").clear();
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("redis-cli reads");
    }

    /// The hint beside what was typed.
    fn hint(&mut self, typed: &str) -> String {
        self.press(&format!("{CTRL_U}{typed}"));
        let before = format!("{typed}{GREY}");
        wait::until(&format!("the hint of {typed}"), || {
            let shown = self.shown();
            let (_, after) = shown.rsplit_once(&before)?;
            let (hint, _) = after.split_once(PLAIN)?;
            Some(hint.to_owned())
        })
    }

    fn wait_for(&self, text: &str) {
        wait::until(&format!("{text:?} in {:?}", self.shown()), || self.shown().contains(text).then_some(()));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Ends redis-cli, and script with it.
        let _ = self.keys.write_all(format!("{CTRL_U}\u{4}").as_bytes());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The syntax at the top of a command's page, in one line and without blanks around bars.
fn syntax(command: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/commands/{command}.md"));
    let page = fs::read_to_string(&path).unwrap_or_else(|failure| panic!("{}: {failure}", path.display()));
    let block = page.split("```\n").nth(1).expect("a block with the syntax");
    block.split_whitespace().collect::<Vec<_>>().join(" ").replace(" | ", "|")
}

#[test]
fn redis_cli_shows_the_syntax_that_the_page_has() {
    let server = Server::start();
    // Redis 7.0 shows the names of arguments, where later servers have a text to show.
    let shows_texts = server.has("display_text of arguments", (7, 2), (7, 2));
    let mut terminal = Terminal::open(&server);
    for command in COMMANDS {
        let mut hint = terminal.hint(&format!("{command} "));
        if !shows_texts || cli_is_old() {
            hint = hint.replace("ifeq-mtime", "mtime").replace("ifnewer-mtime", "mtime");
        }
        assert_eq!(format!("{} {hint}", command.to_uppercase()), syntax(command));
    }
}

/// Whether redis-cli is of the version that does not know of such texts.
fn cli_is_old() -> bool {
    let output = Command::new("redis-cli").arg("--version").output().expect("redis-cli");
    String::from_utf8_lossy(&output.stdout).starts_with("redis-cli 7.0")
}

#[test]
fn redis_cli_takes_typed_arguments_off_the_hint() {
    let server = Server::start();
    let mut terminal = Terminal::open(&server);
    assert_eq!(terminal.hint("mtget key "), "since [EXACT] [WITHMTIME]");
    assert_eq!(
        terminal.hint("mtset key value 5 "),
        syntax("mtset").replace("MTSET key value mtime ", "").replace(
            "IFEQ mtime",
            if cli_is_old() || !server.has("display_text of arguments", (7, 2), (7, 2)) {
                "IFEQ ifeq-mtime"
            } else {
                "IFEQ mtime"
            },
        )
    );
}

#[test]
fn redis_cli_helps_and_completes() {
    let server = Server::start();
    let mut terminal = Terminal::open(&server);
    for command in COMMANDS {
        let summary = docs(&mut server.client(), command).field("summary").expect("a summary").into_text();
        terminal.press(&format!("{CTRL_U}help {command}\r"));
        terminal.wait_for(&summary);
        terminal.wait_for("0.1.0");
        // What is typed before the next prompt is thrown away.
        wait::until("the next prompt", || {
            let shown = terminal.shown();
            shown.rsplit_once("0.1.0").is_some_and(|(_, after)| after.contains("> ")).then_some(())
        });
    }
    terminal.press(&format!("{CTRL_U}mtcl\t"));
    terminal.wait_for("MTCLEAN");
}

fn docs(client: &mut Client, command: &str) -> Reply {
    call!(client, "COMMAND", "DOCS", command).field(command).unwrap_or_else(|| panic!("no docs of {command}"))
}

/// RedisInsight and other tools complete from these fields, in the vocabulary of the server's own commands.
#[test]
fn command_docs_have_what_other_tools_complete_from() {
    let server = Server::start();
    let mut client = server.client();
    for command in COMMANDS {
        let docs = docs(&mut client, command);
        for field in ["summary", "since", "group", "complexity"] {
            assert!(!docs.field(field).expect(field).into_text().is_empty(), "{command}: {field}");
        }
        check_arguments(command, docs.field("arguments").expect("arguments").into_items());
    }
}

fn check_arguments(command: &str, arguments: Vec<Reply>) {
    const TYPES: [&str; 9] =
        ["string", "integer", "double", "key", "pattern", "unix-time", "pure-token", "oneof", "block"];
    const FLAGS: [&str; 3] = ["optional", "multiple", "multiple_token"];
    let mut names = Vec::new();
    for argument in arguments {
        let text = |field: &str| argument.field(field).map(Reply::into_text);
        let name = text("name").expect("a name");
        let kind = text("type").expect("a type");
        assert!(TYPES.contains(&kind.as_str()), "{command} {name}: type {kind}");
        for flag in argument.field("flags").map(Reply::into_items).unwrap_or_default() {
            let flag = flag.into_text();
            assert!(FLAGS.contains(&flag.as_str()), "{command} {name}: flag {flag}");
        }
        assert_eq!(kind == "key", argument.field("key_spec_index").is_some(), "{command} {name}: key spec");
        assert!(
            kind != "pure-token" || text("token").is_some(),
            "{command} {name}: a token without its word"
        );
        let nested = argument.field("arguments");
        assert_eq!(["oneof", "block"].contains(&kind.as_str()), nested.is_some(), "{command} {name}: parts");
        if let Some(nested) = nested {
            check_arguments(command, nested.into_items());
        }
        assert!(!names.contains(&name), "{command}: two arguments {name}");
        names.push(name);
    }
}
