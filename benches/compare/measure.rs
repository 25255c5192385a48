//! All runs of the arms of one point, in turn.

use crate::Result;
use crate::arm::{Arm, Side, Traffic};
use crate::check;
use crate::latency::{Latencies, rate_below_saturation};
use crate::load::{Length, Load, open_loop};
use crate::options::Options;
use crate::progress::Progress;
use crate::report::{Results, Row};
use crate::rig::Rig;
use crate::sections::{Latency, Point, Section, Writers};
use crate::stats::Sample;

/// What is known about an arm so far.
struct Measured<'a> {
    arm: &'a Arm,
    /// Keys a second in the last run: tells how many requests fill the time of the next.
    rate: f64,
    samples: Vec<Sample>,
    latencies: Latencies,
}

impl Measured<'_> {
    /// Whether requests can be sent at any rate for any time.
    fn rate_is_free(&self) -> bool {
        matches!(self.arm.traffic, Traffic::Random { .. })
    }
}

pub(crate) fn point(
    rig: &mut Rig,
    load: &Load,
    options: &Options,
    section: &Section,
    point: &Point,
    progress: &Progress,
    results: &mut Results,
) -> Result<()> {
    let mut arms = Vec::new();
    for arm in &point.arms {
        match check::answers(rig, arm)? {
            None => {
                arms.push(Measured { arm, rate: 0.0, samples: Vec::new(), latencies: Latencies::default() });
            }
            Some(refusal) => {
                results.skipped.push(format!("{}, {}: {}: {refusal}", section.name, point.label, arm.name))
            }
        }
    }
    check::same_data(rig, &point.dataset)?;
    if point.writers == Writers::Module {
        rig.wait_until_tracked_keys_are_known()?;
    }

    // A first run of each arm, not counted: it warms up, lets hash tables finish growing and tells how fast it is.
    let mut slowest = f64::INFINITY;
    let latency = options.latency && section.latency != Latency::Left;
    for measured in &mut arms {
        let arm = measured.arm;
        if measured.rate_is_free() {
            set_up(rig, arm, point)?;
            measured.rate = load.run(rig.side(arm.side), arm, warm_up(options, point))?.rate;
            if latency {
                slowest =
                    slowest.min(Load::capacity(rig.side(arm.side), arm, section.latency.together(arm))?);
            }
        }
    }
    progress.dot();
    let latency = latency && slowest.is_finite();
    let asked = rate_below_saturation(slowest);
    if latency {
        results.rates.push((format!("{}, {}", section.name, point.label), asked));
    }

    for _ in 0..options.runs {
        for measured in &mut arms {
            let arm = measured.arm;
            set_up(rig, arm, point)?;
            let length = Length::Seconds { seconds: options.seconds, rate: measured.rate };
            let sample = load.run(rig.side(arm.side), arm, length)?;
            measured.rate = sample.rate;
            measured.samples.push(sample);
            check::index(rig, arm, point)?;
        }
        for measured in arms.iter_mut().filter(|measured| latency && measured.rate_is_free()) {
            let arm = measured.arm;
            set_up(rig, arm, point)?;
            let together = section.latency.together(arm);
            let run = open_loop::run(&rig.side(arm.side).socket, arm, together, asked, options.seconds)
                .map_err(|error| format!("{}, at a fixed rate: {error}", arm.name))?;
            measured.latencies.add(asked, together, run)?;
        }
        progress.dot();
    }
    rig.set_invalidation("yes")?;
    check::same_data(rig, &point.dataset)?;
    for measured in arms {
        results.rows.push(Row::new(
            section.name,
            &point.label,
            measured.arm,
            &point.dataset,
            measured.samples,
            measured.latencies,
        ));
    }
    Ok(())
}

/// Requests of the run that is not counted: enough for a rate, but not gigabytes of values.
fn warm_up(options: &Options, point: &Point) -> Length {
    let (requests, bytes) = if options.smoke { (4_000, 16 << 20) } else { (16_000, 512 << 20) };
    Length::Requests(requests.min(bytes / point.dataset.value))
}

fn set_up(rig: &mut Rig, arm: &Arm, point: &Point) -> Result<()> {
    if arm.side == Side::Module {
        rig.set_invalidation(arm.invalidate)?;
        if point.writers == Writers::Scripts {
            rig.write_as_a_script()?;
        }
    }
    Ok(())
}
