//! The number: what parses, prints, compares and counts on, for any bytes.
//!
//! Input: two texts, divided by the first newline.
#![no_main]

#[path = "../../src/mtime.rs"]
#[allow(dead_code, reason = "the module uses more of it than this target")]
mod mtime;

use libfuzzer_sys::fuzz_target;
use mtime::Mtime;
use std::cmp::Ordering;

fuzz_target!(|input: &[u8]| {
    let middle = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (left, right) = input.split_at(middle);
    let right = right.strip_prefix(b"\n").unwrap_or(right);
    let left = check(left);
    let right = check(right);
    if let (Some(left), Some(right)) = (left, right) {
        compare(left, right);
    }
});

fn text_of(mtime: Mtime) -> Vec<u8> {
    mtime.with_text(<[u8]>::to_vec)
}

/// One text alone.
fn check(text: &[u8]) -> Option<Mtime> {
    let parsed = Mtime::parse(text);
    assert_eq!(parsed.is_some(), is_mtime(text), "{}", text.escape_ascii());
    let mtime = parsed?;
    let canonical = &text_of(mtime)[..];
    // What is stored reads back as the same, and is as short as it gets.
    let again = Mtime::parse(canonical).expect("the canonical text parses");
    assert_eq!(again, mtime, "{}", text.escape_ascii());
    assert_eq!(text_of(again), canonical);
    assert_eq!(mtime.is_canonical(text), canonical == text, "{}", text.escape_ascii());
    assert!(mtime.is_canonical(canonical));
    // An integer that an application sent comes back byte for byte.
    if let Some(integer) = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok())
        && integer.to_string().as_bytes() == text
    {
        assert_eq!(canonical, text);
        assert_eq!(mtime, Mtime::from_i64(integer));
    }
    match mtime.successor() {
        Some(next) => assert!(next > mtime, "{}", text.escape_ascii()),
        None => assert_eq!(canonical, b"1.7976931348623157e308"),
    }
    Some(mtime)
}

/// Two numbers: an order that agrees with that of f64 wherever f64 can tell.
fn compare(left: Mtime, right: Mtime) {
    let order = left.cmp(&right);
    assert_eq!(right.cmp(&left), order.reverse());
    assert_eq!(left == right, order == Ordering::Equal);
    assert_eq!(text_of(left) == text_of(right), order == Ordering::Equal);
    let rounded = |mtime: Mtime| -> f64 {
        std::str::from_utf8(&text_of(mtime)).expect("ASCII").parse().expect("a number")
    };
    match rounded(left).partial_cmp(&rounded(right)).expect("finite") {
        Ordering::Equal => {}
        told => assert_eq!(order, told),
    }
}

/// `[-]digits[.digits][(e|E)[+-]digits]`, at most 64 bytes, finite: the grammar once more, by another way.
fn is_mtime(text: &[u8]) -> bool {
    let mut state = 0;
    for byte in text {
        state = match (state, byte) {
            (0, b'-') => 1,
            (0..=2, b'0'..=b'9') => 2,
            (2, b'.') => 3,
            (3 | 4, b'0'..=b'9') => 4,
            (2 | 4, b'e' | b'E') => 5,
            (5, b'+' | b'-') => 6,
            (5..=7, b'0'..=b'9') => 7,
            _ => return false,
        };
    }
    let is_number = matches!(state, 2 | 4 | 7) && text.len() <= 64;
    is_number && std::str::from_utf8(text).is_ok_and(|text| text.parse::<f64>().is_ok_and(f64::is_finite))
}
