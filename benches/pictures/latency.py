"""How long single requests take at a fixed rate."""

import math
from statistics import median

from data import Missing, groups
from style import FUNCTION, LUA, MODULE, PLAIN, KEYMETA, figure, save

# Reads that send the value on the left, those that need not on the right; GET on both.
ARMS = {"GET": PLAIN, "MTGET": MODULE, "MTGET, keymeta": KEYMETA, "Lua read": LUA, "FCALL read": FUNCTION}
PANELS = [("modified", "the value is sent (hit)"), ("not modified", "the value is not sent (not modified)")]


def full_name(arm, verdict):
    """As the files call it."""
    if arm == "GET":
        return arm
    return f"MTGET, {verdict}, keymeta" if arm.endswith("keymeta") else f"{arm}, {verdict}"


def shares(counted, cells=70):
    """The share of all requests in cells of equal width on a logarithmic axis: (lower, upper, per cent)."""
    low = min(row["upper_us"] for row in counted) * 0.94
    high = max(row["upper_us"] for row in counted)
    total = sum(row["count"] for row in counted)
    step = math.log(high / low) / cells or 1
    found = [0.0] * cells
    for row in counted:
        found[min(cells - 1, int(math.log(row["upper_us"] * 0.97 / low) / step))] += 100 * row["count"] / total
    edges = [low * math.exp(step * number) for number in range(cells + 1)]
    return edges, found


def draw(results, path):
    """Quantiles in the legend, p50 and p99 marked."""
    counted = {arm: found for (arm,), found in
               groups((row for row in results.histogram if row["section"] == "base"), "arm").items()}
    measured = {arm: found for (arm,), found in
                groups((row for row in results.latency if row["section"] == "base"), "arm").items()}
    if not any(full_name("MTGET", verdict) in counted for verdict, _ in PANELS):
        raise Missing("histogram.csv has no section base")
    drawn, axes = figure(7.6, rows=2, sharex=True, sharey=True)
    for (verdict, title), panel in zip(PANELS, (row[0] for row in axes)):
        for arm, shade in ARMS.items():
            name = full_name(arm, verdict)
            if name not in counted or name not in measured:
                continue
            p50, p99 = (median(row[column] for row in measured[name]) for column in ("p50_us", "p99_us"))
            edges, height = shares(counted[name])
            panel.stairs(height, edges, color=shade, linewidth=1.6, label=f"{name}: p50 {p50:.0f} µs, p99 {p99:.0f} µs")
            panel.axvline(p50, color=shade, linestyle="--", linewidth=1)
            panel.axvline(p99, color=shade, linestyle=":", linewidth=1.4)
        panel.set_xscale("log")
        panel.set_title(title)
        panel.set_ylabel("share of the requests, %")
        panel.legend(loc="upper right", frameon=True, edgecolor="none", framealpha=1)
    axes[-1][0].xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes[-1][0].set_xlabel("latency, µs (logarithmic)")
    one = next(iter(measured.values()))[0]
    save(drawn, "How long a request takes",
         f"{one['asked_per_second']:,.0f} requests a second on {one['connections']:.0f} connections, sent at their times. "
         "Dashed: p50, dotted: p99, medians of the runs.", results.meta, path)
