//! Conversations as redis-cli shows them: found in Markdown, and replies printed the way redis-cli prints them.

use super::client::{Args, Reply};

/// One command and what should be printed for it.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) line_number: usize,
    pub(crate) command: String,
    pub(crate) printed: String,
}

const PROMPTS: [&str; 2] = ["redis> ", "127.0.0.1:6379> "];

fn after_prompt(line: &str) -> Option<&str> {
    PROMPTS.iter().find_map(|prompt| line.strip_prefix(prompt))
}

/// Every exchange of the fenced blocks of a Markdown text, in order.
pub(crate) fn exchanges(markdown: &str) -> Vec<Exchange> {
    let mut found: Vec<Exchange> = Vec::new();
    let mut fenced = false;
    let mut in_exchange = false;
    for (index, line) in markdown.lines().enumerate() {
        let line = line.trim_end();
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            in_exchange = false;
        } else if !fenced {
            continue;
        } else if let Some(command) = after_prompt(line) {
            found.push(Exchange {
                line_number: index + 1,
                command: command.to_owned(),
                printed: String::new(),
            });
            in_exchange = true;
        } else if in_exchange && let Some(last) = found.last_mut() {
            if !last.printed.is_empty() {
                last.printed.push('\n');
            }
            last.printed.push_str(line);
        }
    }
    for exchange in &mut found {
        exchange.printed = exchange.printed.trim_end().to_owned();
    }
    found
}

/// Splits a line as redis-cli does: blanks separate, double quotes take escapes, single quotes take all but `\'`.
pub(crate) fn split(line: &str) -> Result<Args, String> {
    let mut arguments = Args::new();
    let mut bytes = line.bytes().peekable();
    loop {
        while bytes.next_if(u8::is_ascii_whitespace).is_some() {}
        let Some(first) = bytes.next() else { return Ok(arguments) };
        let mut argument = Vec::new();
        match first {
            b'"' => loop {
                match bytes.next().ok_or("an open quote")? {
                    b'"' => break,
                    b'\\' => match bytes.next().ok_or("an open quote")? {
                        b'x' => {
                            let digits = [bytes.next().unwrap_or(0), bytes.next().unwrap_or(0)];
                            let digits = std::str::from_utf8(&digits).map_err(|error| error.to_string())?;
                            argument.push(u8::from_str_radix(digits, 16).map_err(|error| error.to_string())?);
                        }
                        b'n' => argument.push(b'\n'),
                        b'r' => argument.push(b'\r'),
                        b't' => argument.push(b'\t'),
                        other => argument.push(other),
                    },
                    other => argument.push(other),
                }
            },
            b'\'' => loop {
                match bytes.next().ok_or("an open quote")? {
                    b'\'' => break,
                    b'\\' if bytes.peek() == Some(&b'\'') => argument.extend(bytes.next()),
                    other => argument.push(other),
                }
            },
            other => {
                argument.push(other);
                while let Some(byte) = bytes.next_if(|byte| !byte.is_ascii_whitespace()) {
                    argument.push(byte);
                }
            }
        }
        arguments.push(argument);
    }
}

/// A reply as redis-cli prints it.
pub(crate) fn print(reply: &Reply) -> String {
    print_indented(reply, "")
}

fn print_indented(reply: &Reply, indent: &str) -> String {
    match reply {
        Reply::Nil => "(nil)".to_owned(),
        Reply::Int(number) => format!("(integer) {number}"),
        Reply::Bulk(bytes) => quote(bytes),
        Reply::Status(line) => line.clone(),
        Reply::Error(line) => format!("(error) {line}"),
        Reply::Double(number) => format!("(double) {number}"),
        Reply::Boolean(flag) => format!("({flag})"),
        Reply::Array(items) if items.is_empty() => "(empty array)".to_owned(),
        Reply::Set(items) if items.is_empty() => "(empty set)".to_owned(),
        Reply::Map(pairs) if pairs.is_empty() => "(empty hash)".to_owned(),
        Reply::Array(items) => {
            numbered(items.len(), ')', indent, |i, indent| print_indented(&items[i], indent))
        }
        Reply::Set(items) => {
            numbered(items.len(), '~', indent, |i, indent| print_indented(&items[i], indent))
        }
        Reply::Map(pairs) => numbered(pairs.len(), '#', indent, |i, indent| {
            let (key, value) = &pairs[i];
            format!("{} => {}", print_indented(key, indent), print_indented(value, indent))
        }),
    }
}

fn numbered(count: usize, sign: char, indent: &str, item: impl Fn(usize, &str) -> String) -> String {
    let width = count.to_string().len();
    let deeper = format!("{indent}{}", " ".repeat(width + 2));
    let lines: Vec<String> = (0..count)
        .map(|i| {
            let margin = if i == 0 { "" } else { indent };
            format!("{margin}{:>width$}{sign} {}", i + 1, item(i, &deeper))
        })
        .collect();
    lines.join("\n")
}

fn quote(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'"' => text.push_str("\\\""),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x07 => text.push_str("\\a"),
            0x08 => text.push_str("\\b"),
            0x20..=0x7e => text.push(char::from(*byte)),
            other => text.push_str(&format!("\\x{other:02x}")),
        }
    }
    text.push('"');
    text
}

mod tests {
    use super::{exchanges, print, split};
    use crate::support::client::{array, bulk, int, nil};

    #[test]
    fn replies_print_as_redis_cli_prints_them() {
        let nested = array([bulk("a\"\0"), array([int(7), nil()]), array([])]);
        assert_eq!(print(&nested), "1) \"a\\\"\\x00\"\n2) 1) (integer) 7\n   2) (nil)\n3) (empty array)");
        let long = array((1..=10).map(int));
        assert!(print(&long).starts_with(" 1) (integer) 1\n 2) "), "{}", print(&long));
    }

    #[test]
    fn lines_split_as_redis_cli_splits_them() {
        assert_eq!(split(r#"SET "a b" 'c\'d' "\x00\n""#).unwrap(), [&b"SET"[..], b"a b", b"c'd", b"\0\n"]);
        assert!(split("SET \"a").is_err());
    }

    #[test]
    fn exchanges_are_found_in_fenced_blocks_only() {
        let page = "redis> NOT this\n```redis-cli\nredis> GET a\n(nil)\nredis> X\n1) a\n2) b\n```\nText\n";
        let found = exchanges(page);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].command.as_str(), found[0].printed.as_str()), ("GET a", "(nil)"));
        assert_eq!((found[1].printed.as_str(), found[1].line_number), ("1) a\n2) b", 5));
    }
}
