"""Throughput and CPU time of the arms of the first table."""

from matplotlib.patches import Patch

from data import cpu_us, groups, spread
from style import KINDS, colour, figure, save


def draw(results, path):
    """Two bars an arm, side by side."""
    arms = {arm: found for (arm,), found in groups(results.section("base"), "arm").items()}
    names = list(arms)
    drawn, axes = figure(1.7 + 0.3 * len(names), columns=2, sharey=True)
    panels = [
        (axes[0][0], cpu_us, "server CPU a request, µs", "{:.2f}"),
        (axes[0][1], lambda row: row["keys_per_second"] / 1000, "requests a second, thousands", "{:.0f}"),
    ]
    for panel, measure, label, form in panels:
        middles, below, above = zip(*(spread(arms[name], measure) for name in names))
        panel.barh(names, middles, xerr=[below, above], color=[colour(name) for name in names], height=0.72,
                   error_kw={"elinewidth": 1, "capsize": 2.5, "ecolor": "#222222"})
        ends = [middle + more for middle, more in zip(middles, above)]
        for place, (end, middle) in enumerate(zip(ends, middles)):
            panel.text(end + max(ends) * 0.015, place, form.format(middle), va="center", fontsize=8.5)
        panel.set_xlim(0, max(ends) * 1.16)
        panel.set_xlabel(label)
        panel.grid(axis="y", visible=False)
        panel.margins(y=0.02)
        panel.tick_params(axis="y", length=0)
    axes[0][0].invert_yaxis()
    used = {colour(name) for name in names}
    axes[0][0].set_title("less is better")
    axes[0][1].set_title("more is better")
    # Where the bars are short on any machine: between the scripts that read and those that write.
    axes[0][0].legend(handles=[Patch(color=shade, label=kind) for kind, shade in KINDS if shade in used],
                      loc="center right", frameon=True, edgecolor="#cccccc", framealpha=1, bbox_to_anchor=(1, 0.44))
    base = results.section("base")[0]
    save(drawn, "What a request costs", f"{base['point']} values, pipeline {base['pipeline']:.0f}, index of "
         f"{base['index_keys']:,.0f} keys. Bars are medians, lines go from the least run to the greatest.",
         results.meta, path)
