//! Random tests that can be repeated: the seed is printed with every failure, and failures shrink.

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::hash::{BuildHasher, Hasher, RandomState};

const CASES: &str = "PROPTEST_CASES";
const SEED: &str = "REDIS_MTIME_TEST_SEED";

/// Runs `test` on random values: `default_cases` of them unless `PROPTEST_CASES` says otherwise, from a random seed
/// unless `REDIS_MTIME_TEST_SEED` gives one.
pub(crate) fn check<S: Strategy>(
    default_cases: u32,
    strategy: S,
    test: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let cases = environment(CASES).unwrap_or_else(|| u64::from(default_cases));
    let seed = environment(SEED).unwrap_or_else(|| RandomState::new().build_hasher().finish());
    let config = Config {
        cases: u32::try_from(cases).expect("a number of cases"),
        failure_persistence: None,
        max_shrink_iters: 4096,
        // In milliseconds: a case that takes the server down costs a new one each time.
        max_shrink_time: 20_000,
        ..Config::default()
    };
    let mut long_seed = [0; 32];
    long_seed[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &long_seed);
    if let Err(failure) = TestRunner::new_with_rng(config, rng).run(&strategy, test) {
        panic!("{failure}\nrun it again with {SEED}={seed} {CASES}={cases}");
    }
}

fn environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}
