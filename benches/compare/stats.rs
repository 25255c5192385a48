//! What is said about a handful of measurements of the same thing.

/// One run of one arm.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Nanoseconds the server's main thread was on a CPU, a key.
    pub(crate) cpu: f64,
    /// Keys a second.
    pub(crate) rate: f64,
    /// Share of the time in which the server's main thread was on a CPU. Far below 1, the load generator was the
    /// limit and `rate` says little about the server.
    pub(crate) busy: f64,
    /// Share of the time in which that thread was ready but another process had its CPU: then `rate` is too low.
    pub(crate) waited: f64,
    /// Bytes that arrived at the server, and that it sent, a key.
    pub(crate) wire_in: f64,
    pub(crate) wire_out: f64,
    /// What the load generator itself says about latency, where that is shown.
    pub(crate) own: Option<OwnQuantiles>,
}

/// Of a closed loop that sends as fast as it can: the times tell of the length of the queue. In microseconds.
#[derive(Clone, Copy)]
pub(crate) struct OwnQuantiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

/// Median and extremes.
#[derive(Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Summary {
    /// All zero for no values.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        let last = sorted.len().saturating_sub(1);
        Self { median: f64::midpoint(at(last / 2), at(last.div_ceil(2))), min: at(0), max: at(last) }
    }

    /// Distance between the extremes, as a share of the median.
    pub(crate) fn spread(&self) -> f64 {
        if self.median > 0.0 { (self.max - self.min) / self.median } else { 0.0 }
    }
}
