//! How long replies took at a fixed rate.

use crate::Result;
use hdrhistogram::Histogram;

/// Of the slowest arm's capacity: well below saturation, so that what is seen is the server and not a queue.
const SHARE: f64 = 0.4;
/// Requests a second; less would take too long to see anything. Who cannot do that is marked as saturated.
const LEAST: f64 = 100.0;
/// An arm that answers less of what it was asked than that was saturated.
const KEPT_UP: f64 = 0.98;
/// In nanoseconds: a minute. A server that takes longer ends the run with an error.
const LONGEST: u64 = 60_000_000_000;

/// Nanoseconds, to three digits.
pub(crate) fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LONGEST, 3)?)
}

/// The rate at which all arms of a point are asked, from the requests a second that the slowest of them answers without
/// pipelining: a round number, 1, 2 or 5 with zeros.
pub(crate) fn rate_below_saturation(slowest: f64) -> f64 {
    let most = (slowest * SHARE).max(LEAST);
    let ten = 10_f64.powf(most.log10().floor());
    [5.0, 2.0].into_iter().map(|digit| digit * ten).find(|rate| *rate <= most).unwrap_or(ten)
}

/// One run at a fixed rate.
pub(crate) struct LatencyRun {
    pub(crate) histogram: Histogram<u64>,
    /// How often a second all was answered, from when the first was due to the last reply.
    pub(crate) achieved: f64,
}

/// What is said of one run. Times in microseconds.
pub(crate) struct Quantiles {
    pub(crate) achieved: f64,
    pub(crate) requests: u64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
    pub(crate) saturated: bool,
}

/// All runs of an arm.
#[derive(Default)]
pub(crate) struct Latencies {
    /// How often a second.
    pub(crate) asked: f64,
    /// Requests each time.
    pub(crate) together: usize,
    pub(crate) runs: Vec<Quantiles>,
    pub(crate) all: Option<Histogram<u64>>,
}

impl Latencies {
    pub(crate) fn add(&mut self, asked: f64, together: usize, run: LatencyRun) -> Result<()> {
        let LatencyRun { histogram, achieved } = run;
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        (self.asked, self.together) = (asked, together);
        self.runs.push(Quantiles {
            achieved,
            requests: histogram.len(),
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1e3,
            saturated: achieved < asked * KEPT_UP,
        });
        match &mut self.all {
            Some(all) => all.add(&histogram)?,
            None => self.all = Some(histogram),
        }
        Ok(())
    }

    /// Upper end in microseconds and count of each step of a chart, from the runs together.
    pub(crate) fn steps(&self) -> Result<Vec<(f64, u64)>> {
        let Some(all) = &self.all else { return Ok(Vec::new()) };
        let mut coarse = Histogram::<u64>::new_with_bounds(1, LONGEST, 2)?;
        coarse.add(all)?;
        let steps = coarse.iter_recorded();
        Ok(steps
            .map(|step| {
                let upper = coarse.highest_equivalent(step.value_iterated_to());
                (upper as f64 / 1e3, step.count_since_last_iteration())
            })
            .collect())
    }
}
