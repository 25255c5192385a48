"""How all pictures look: colours that colour-blind people can tell apart, on white whatever page they are on."""

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402  (the backend comes first)

# Okabe and Ito's, by who does the work.
PLAIN, MODULE, KEYMETA, LUA, FUNCTION, CLIENT = "#7f7f7f", "#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#009e73"
KINDS = [
    ("plain commands", PLAIN), ("redis-mtime", MODULE), ("redis-mtime, keymeta storage", KEYMETA),
    ("Lua script", LUA), ("Redis Function", FUNCTION), ("by the client", CLIENT),
]
# Inches; 900 pixels of a README at 100 a inch.
WIDTH = 9

matplotlib.rcParams.update({
    "figure.facecolor": "white", "savefig.facecolor": "white", "axes.facecolor": "white",
    "font.family": "DejaVu Sans", "font.size": 10, "axes.titlesize": 11, "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": "#e5e5e5", "grid.linewidth": 0.7, "legend.frameon": False, "legend.fontsize": 9,
    "lines.linewidth": 1.8, "lines.markersize": 5, "errorbar.capsize": 3,
    # The same data make the same file.
    "svg.hashsalt": "redis-mtime", "svg.fonttype": "path",
})


def colour(arm):
    """Who does the work."""
    if arm.endswith(", keymeta"):
        return KEYMETA
    for begins, found in (("Lua", LUA), ("FCALL", FUNCTION), ("MT", MODULE)):
        if arm.startswith(begins):
            return found
    return CLIENT if "by the client" in arm else PLAIN


def line(arm):
    """Colour by who does the work, dashes and marker by what it is asked for."""
    quiet = "not modified" in arm
    writes = arm.startswith(("SET", "MTSET")) or "write" in arm
    return {"color": colour(arm), "marker": "^" if writes else "o",
            "linestyle": ":" if writes else "--" if quiet else "-", "markerfacecolor": "white" if quiet else colour(arm)}


def error_line(axes, arm, points, **more):
    """A line with a bar from the least to the greatest run at each point."""
    x, y, below, above = points
    axes.errorbar(x, y, yerr=[below, above], label=arm, **{**line(arm), **more})


def figure(height, columns=1, rows=1, **more):
    """With room for the title and the caption."""
    return pyplot.subplots(rows, columns, figsize=(WIDTH, height), layout="constrained", squeeze=False, **more)


def save(drawn, title, note, meta, path):
    """As path.svg and path.png, with what was measured below."""
    about = ", ".join(meta[name] for name in ("server", "cpu", "date") if meta.get(name))
    drawn.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    drawn.supxlabel("\n".join(text for text in (note, about) if text), x=0.01, ha="left", fontsize=8.5, color="#555555")
    drawn.savefig(path.with_suffix(".svg"), metadata={"Date": None, "Title": title})
    drawn.savefig(path.with_suffix(".png"), dpi=150, metadata={"Software": None})
    pyplot.close(drawn)
