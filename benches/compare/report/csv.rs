//! The raw data, for pictures: a line a run.

use super::Results;
use crate::Result;
use std::fmt::Write;

/// Every run as fast as it could; CPU, keys and bytes are a key's.
pub(crate) fn runs(results: &Results) -> String {
    let mut text = "section,point,arm,server,storage,generator,index_keys,keys_asked_for,value_bytes,pipeline,\
        connections,not_modified_percent,keys_a_request,run,cpu_ns,keys_per_second,wire_in_bytes,wire_out_bytes,busy,\
        waited\n"
        .to_owned();
    for row in &results.rows {
        let arm = &row.arm;
        for (run, sample) in (1..).zip(&row.samples) {
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{},{},{},{run},{:.1},{:.0},{:.2},{:.2},{:.3},{:.3}",
                texts(&[row.section, &row.label, &arm.name, arm.side.server(), arm.side.storage()]),
                quoted(arm.generator.name()),
                row.dataset.index,
                arm.keys(),
                row.dataset.value,
                arm.pipeline,
                arm.connections,
                arm.not_modified_percent,
                arm.keys_a_request,
                sample.cpu,
                sample.rate,
                sample.wire_in,
                sample.wire_out,
                sample.busy,
                sample.waited,
            );
        }
    }
    text
}

/// Every run at a fixed rate.
pub(crate) fn latency(results: &Results) -> String {
    let mut text =
        "section,point,arm,server,storage,connections,requests_together,asked_per_second,achieved_per_second,run,requests,\
        p50_us,p99_us,p999_us,max_us\n"
            .to_owned();
    for row in &results.rows {
        let arm = &row.arm;
        for (run, measured) in (1..).zip(&row.latencies.runs) {
            let _ = writeln!(
                text,
                "{},{},{},{:.0},{:.1},{run},{},{:.1},{:.1},{:.1},{:.1}",
                texts(&[row.section, &row.label, &arm.name, arm.side.server(), arm.side.storage()]),
                arm.connections,
                row.latencies.together,
                row.latencies.asked,
                measured.achieved,
                measured.requests,
                measured.p50,
                measured.p99,
                measured.p999,
                measured.max,
            );
        }
    }
    text
}

/// How latencies are spread in the base table, all runs of an arm together.
pub(crate) fn histogram(results: &Results) -> Result<String> {
    let mut text = "section,point,arm,storage,upper_us,count\n".to_owned();
    for row in results.rows.iter().filter(|row| row.section == "base") {
        let names = texts(&[row.section, &row.label, &row.arm.name, row.arm.side.storage()]);
        for (upper, count) in row.latencies.steps()? {
            let _ = writeln!(text, "{names},{upper:.3},{count}");
        }
    }
    Ok(text)
}

/// Names and what they stand for.
pub(crate) fn meta(facts: &[(String, String)]) -> String {
    let mut text = "name,value\n".to_owned();
    for (name, value) in facts {
        let _ = writeln!(text, "{}", texts(&[name, value]));
    }
    text
}

fn texts(texts: &[&str]) -> String {
    texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(",")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
