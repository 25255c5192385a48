//! The number, seen from outside: order, round trip, integers against fractions, and the texts Lua writes.

use crate::support::client::{Reply, args, bulk, error, modified, nil, not_modified, ok};
use crate::support::dataset::INDEX;
use crate::support::model::Number;
use crate::support::random;
use crate::support::server::Server;
use crate::support::storage::{OUT_OF_RANGE, fits, has_no_index, is_keymeta};
use proptest::prelude::*;
use std::cell::RefCell;
use std::cmp::Ordering;

/// Numbers where mistakes live: near powers of two, near each other, tiny, huge.
fn literal() -> impl Strategy<Value = String> {
    let landmarks = prop::sample::select(vec![
        0_i64,
        1 << 52,
        1 << 53,
        (1 << 53) + 1,
        1 << 62,
        i64::MAX,
        i64::MIN,
        1_700_000_000,
        1_700_000_000_000,
        1_700_000_000_000_000_000,
    ]);
    let near = (landmarks, -3_i64..4).prop_map(|(landmark, offset)| landmark.saturating_add(offset));
    prop_oneof![
        3 => near.clone().prop_map(|integer| integer.to_string()),
        2 => any::<i64>().prop_map(|integer| integer.to_string()),
        2 => near.prop_map(|integer| format!("{integer}.5")),
        2 => (near_f64(), any::<bool>()).prop_map(|(number, exponent)| {
            if exponent { format!("{number:e}") } else { number.to_string() }
        }).prop_filter("at most 64 bytes", |text| text.len() <= 64),
        2 => any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(|number| format!("{number:e}")),
        1 => (-1_000_000_000_000_i64..1_000_000_000_000, 0_u32..1_000_000).prop_map(|(integer, fraction)| format!("{integer}.{fraction:06}")),
        1 => ("-?[0-9]{1,20}(\\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?").prop_map(|text| text),
    ]
}

/// Fractions right beside the landmarks.
fn near_f64() -> impl Strategy<Value = f64> {
    (
        prop::sample::select(vec![
            1.0,
            9_007_199_254_740_992.0,
            9_223_372_036_854_775_808.0,
            1e21,
            1e-7,
            1e300,
        ]),
        -2_i64..3,
        any::<bool>(),
    )
        .prop_map(|(landmark, steps, negative): (f64, i64, bool)| {
            let bits = i64::try_from(landmark.to_bits()).expect("a positive f64").saturating_add(steps);
            let number = f64::from_bits(u64::try_from(bits).expect("not negative"));
            if negative { -number } else { number }
        })
}

#[test]
fn any_two_numbers_compare_exactly() {
    let server = Server::start();
    let client = RefCell::new(server.client());
    random::check(2000, (literal(), literal()), |(stored, since)| {
        let (a, b) = (Number::parse(stored.as_bytes()), Number::parse(since.as_bytes()));
        let (Some(a), Some(b)) = (a, b) else { return Err(TestCaseError::reject("beyond the f64 range")) };
        let canonical = a.canonical();
        let replies = client.borrow_mut().pipeline(&[
            args!["MTSET", "k", "v", stored],
            args!["MTGET", "k", since, "WITHMTIME"],
            args!["MTGET", "k", since, "EXACT"],
            args!["MTSET", "k", "v", stored, "IFEQ", since],
            args!["MTTOUCH", "k", stored, "IFEQ", canonical],
            if is_keymeta() { args!["MTTIME", "k"] } else { args!["HGET", INDEX, "k"] },
        ]);
        if !fits(a) {
            prop_assert_eq!(&replies[0], &error(OUT_OF_RANGE));
            return Ok(());
        }
        let order = a.compare(b);
        prop_assert_eq!(&replies[0], &ok());
        let expected =
            if order == Ordering::Greater { modified(&canonical, "v") } else { not_modified(&canonical) };
        prop_assert_eq!(&replies[1], &expected);
        let equal = order == Ordering::Equal;
        prop_assert_eq!(&replies[2], &if equal { nil() } else { bulk("v") });
        prop_assert_eq!(&replies[3], &if equal { ok() } else { nil() });
        prop_assert_eq!(&replies[4], &Reply::Int(1), "the canonical text is the same number");
        prop_assert_eq!(&replies[5], &bulk(&canonical));
        Ok(())
    });
}

#[test]
fn an_integer_is_read_back_byte_for_byte() {
    let server = Server::start();
    let client = RefCell::new(server.client());
    random::check(1000, any::<i64>(), |integer| {
        let replies =
            client.borrow_mut().pipeline(&[args!["MTSET", "k", "v", integer], args!["MTTIME", "k"]]);
        if fits(Number::Integer(integer)) {
            prop_assert_eq!(&replies[1], &bulk(integer));
        } else {
            prop_assert_eq!(&replies[0], &error(OUT_OF_RANGE));
        }
        Ok(())
    });
}

#[test]
fn what_lua_wrote_is_the_number_lua_meant() {
    if has_no_index("entries of others") {
        return;
    }
    let server = Server::start();
    let client = RefCell::new(server.client());
    let script = "redis.call('SET', KEYS[1], 'v')
        local text = string.format('%.17g', tonumber(ARGV[1]))
        redis.call('HSET', 'MY_KEYSMTIME', KEYS[1], text)
        return text";
    random::check(1000, any::<f64>().prop_filter("finite", |number| number.is_finite()), |number| {
        let literal = format!("{number:e}");
        let meant = Number::parse(literal.as_bytes()).expect("a number").canonical();
        let replies = client.borrow_mut().pipeline(&[
            args!["EVAL", script, 1, "k", literal],
            args!["MTTIME", "k"],
            args!["MTGET", "k", literal, "EXACT"],
            args!["MTGET", "k", literal],
        ]);
        prop_assert_eq!(&replies[1], &bulk(&meant), "Lua wrote {:?}", &replies[0]);
        prop_assert_eq!(&replies[2], &nil());
        prop_assert_eq!(&replies[3], &nil());
        Ok(())
    });
}

#[test]
fn only_the_grammar_is_accepted() {
    let server = Server::start();
    let client = RefCell::new(server.client());
    let text = prop_oneof![
        "[-+ 0-9.eExX]{0,12}",
        "[0-9]{55,70}",
        "-?[0-9]{1,3}[.]?[0-9]{0,3}[eE]?[-+]?[0-9]{0,4}",
        any::<String>()
    ];
    random::check(2000, text, |text| {
        let number = Number::parse(text.as_bytes());
        let replies = client.borrow_mut().pipeline(&[
            args!["DEL", "k", INDEX],
            args!["MTSET", "k", "v", text],
            args!["MTTIME", "k"],
            args!["MTGET", "nokey", text],
        ]);
        // `*` is no number, but an mtime to be given by the server.
        if text == "*" {
            return Ok(());
        }
        let stored = number.filter(|number| fits(*number));
        prop_assert_eq!(!replies[1].is_error(), stored.is_some(), "{:?}", &replies[1]);
        prop_assert_eq!(&replies[2], &stored.map_or_else(nil, |number| bulk(number.canonical())));
        prop_assert_eq!(!replies[3].is_error(), number.is_some());
        Ok(())
    });
}
