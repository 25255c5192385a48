//! The parsers of the arguments, for any number of any bytes: no panic, and nothing is accepted that the grammar of the
//! commands does not know.
//!
//! Input: the first byte names the parser, the arguments are divided by newlines.
#![no_main]

macro_rules! pure {
    ($($name:ident $path:literal),+ $(,)?) => {
        $(#[path = $path]
        #[allow(dead_code, reason = "the module uses more of it than this target")]
        mod $name;)+
    };
}
pure!(
    args "../../src/args.rs",
    errors "../../src/errors.rs",
    freshness "../../src/freshness.rs",
    mtime "../../src/mtime.rs",
);

use errors::Refusal;
use freshness::State;
use libfuzzer_sys::fuzz_target;
use mtime::Mtime;

fuzz_target!(|input: &[u8]| {
    let Some((which, rest)) = input.split_first() else { return };
    let arguments: Vec<&[u8]> =
        if rest.is_empty() { Vec::new() } else { rest.split(|byte| *byte == b'\n').collect() };
    let words = || arguments.iter().copied();
    match which % 5 {
        0 => {
            let parsed = args::get(words());
            told(parsed.err(), &arguments);
            if let Ok(get) = parsed {
                assert!(arguments.len() <= 3);
                assert_eq!(Some(get.since), Mtime::parse(arguments[0]));
            }
        }
        1 => {
            let parsed = args::set(words());
            told(parsed.err(), &arguments);
            if let Ok(set) = parsed {
                // mtime, IFEQ m, EX s.
                assert!(arguments.len() <= 5);
                // Any clock, and any state of the key.
                for now in [i64::MIN, -1, 0, 1_700_000_000_000, i64::MAX] {
                    if let Ok(Some(deadline)) = set.expiry.deadline(|| now) {
                        assert!(deadline > 0 || now < 0);
                    }
                }
                let stored = [State::Missing, State::Untracked, State::Tracked(Mtime::from_i64(500))];
                for state in stored {
                    let new = match set.mtime {
                        args::NewMtime::Given(mtime) => Some(mtime),
                        args::NewMtime::Assigned => freshness::assigned(499, state),
                    };
                    if let (State::Tracked(stored), args::NewMtime::Assigned) = (state, set.mtime) {
                        assert!(new.is_some_and(|new| new > stored));
                    }
                    set.condition.allows(state, new);
                }
            }
        }
        2 => told(args::touch(words()).err(), &arguments),
        3 => told(args::delete(words()).err(), &arguments),
        _ => {
            let parsed = args::step(words());
            told(parsed.err(), &arguments);
            if let Ok(clean) = parsed {
                assert!(clean.count > 0);
            }
        }
    }
});

/// A refusal is one of the few messages there are, none of which has anything of the client in it.
fn told(refusal: Option<Refusal>, arguments: &[&[u8]]) {
    match refusal {
        None => {}
        Some(Refusal::WrongArity) => assert!(arguments.is_empty()),
        Some(Refusal::Error(message)) => {
            let known = [
                "ERR mtime is not a valid number",
                "ERR since is not a valid number",
                "ERR syntax error",
                "ERR value is not an integer or out of range",
                "ERR invalid cursor",
            ];
            assert!(known.contains(&message.to_str().expect("ASCII")), "{message:?}");
        }
    }
}
