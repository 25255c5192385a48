"""Lines over what was varied: the share of "not modified", the size of the index, that of the values."""

from matplotlib.ticker import LogLocator

from data import Missing, cpu_us, groups, series
from style import error_line, figure, save


def size(number):
    """Of a value, as people write it."""
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number >= factor:
            return f"{number / factor:g} {unit}"
    return f"{number:g} B"


def bytes_on_the_wire(row):
    """Both ways, for a key, in KiB."""
    return (row["wire_in_bytes"] + row["wire_out_bytes"]) / 1024


def draw_bytes(results, path):
    """Above what is sent, below what that saves against GET."""
    sizes = groups(results.section("hits"), "value_bytes")
    drawn, axes = figure(6.6, rows=2, columns=len(sizes), sharex=True)
    for column, ((value,), of_size) in enumerate(sorted(sizes.items())):
        above, below = axes[0][column], axes[1][column]
        lines = {arm: series(found, "not_modified_percent", bytes_on_the_wire)
                 for (arm,), found in groups(of_size, "arm").items()}
        for number, (arm, points) in enumerate(lines.items()):
            # Lines that lie on each other: each marker has a size of its own.
            error_line(above, arm, points, markersize=9 - 2 * number, linestyle="-" if number % 2 == 0 else "--")
        above.set_title(f"values of {size(value)}")
        above.set_ylim(bottom=0)
        above.set_ylabel("bytes a request, KiB" if column == 0 else "")
        if "GET" in lines:
            full = dict(zip(*lines["GET"][:2]))
            for number, (arm, points) in enumerate(lines.items()):
                if arm != "GET":
                    both = [(x, 100 * (1 - y / full[x])) for x, y in zip(*points[:2]) if x in full]
                    x, saved = zip(*both)
                    error_line(below, arm, (x, saved, [0] * len(x), [0] * len(x)), markersize=9 - 2 * number,
                               linestyle="-" if number % 2 == 0 else "--")
        below.set_ylim(top=103)
        below.axhline(0, color="#222222", linewidth=0.8)
        below.set_ylabel("saved against GET, %" if column == 0 else "")
        below.set_xlabel("reads that are not modified, %")
        below.set_xticks([0, 50, 90, 99], ["0", "50", "90", "99"])
    axes[0][0].legend(loc="lower left")
    save(drawn, "Bytes on the wire", "Requests and replies, by the server's own count, for each key asked for. "
         "Below nothing saved: the longer request costs more than it saves.", results.meta, path)


def draw_index(results, path):
    """With the same few keys asked for, and with all."""
    found = results.section("index")
    kinds = [("all keys asked for", [row for row in found if row["keys_asked_for"] == row["index_keys"]]),
             ("the same few keys asked for", [row for row in found if "all asked for" not in row["point"]])]
    # Where there is nothing but one point there is no line.
    kinds = [(name, of_kind) for name, of_kind in kinds if len({row["index_keys"] for row in of_kind}) > 1]
    if not kinds:
        raise Missing("runs.csv has only one size of the index")
    drawn, axes = figure(5.2, columns=len(kinds), sharey=True)
    for panel, (name, of_kind) in zip(axes[0], kinds):
        for (arm,), of_arm in groups(of_kind, "arm").items():
            error_line(panel, arm, series(of_arm, "index_keys", cpu_us))
        panel.set_title(name)
        panel.set_xscale("log")
        panel.set_ylim(bottom=0)
        panel.set_xlabel("keys in the index (logarithmic)")
    axes[0][0].set_ylabel("server CPU a request, µs")
    drawn.legend(*axes[0][0].get_legend_handles_labels(), loc="outside right center")
    save(drawn, "Cost against the size of the index", "Medians, with the least and the greatest run.", results.meta, path)


def draw_values(results, path):
    """Both axes logarithmic."""
    found = results.section("value")
    if len({row["value_bytes"] for row in found}) < 2:
        raise Missing("runs.csv has only one size of values")
    drawn, axes = figure(5.2)
    panel = axes[0][0]
    for (arm,), of_arm in groups(found, "arm").items():
        error_line(panel, arm, series(of_arm, "value_bytes", cpu_us))
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.xaxis.set_major_formatter(lambda x, _: size(x))
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
    panel.minorticks_off()
    panel.set_xlabel("size of a value (logarithmic)")
    panel.set_ylabel("server CPU a request, µs (logarithmic)")
    drawn.legend(*panel.get_legend_handles_labels(), loc="outside right center")
    save(drawn, "Cost against the size of the value", "Medians, with the least and the greatest run.", results.meta, path)
