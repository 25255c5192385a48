"""Draws what a benchmark measured: draw.py DIRECTORY, which has its CSV files and gets pictures/ and index.html."""

import sys
from pathlib import Path

import bars
import curves
import latency
import page
from data import Missing, Results

PICTURES = {
    "throughput": bars.draw,
    "latency": latency.draw,
    "bytes": curves.draw_bytes,
    "index": curves.draw_index,
    "value": curves.draw_values,
}


def main(directory):
    """Says of each picture where it is, or why there is none."""
    results = Results(directory)
    if not results.runs:
        sys.exit(f"pictures: there is no runs.csv in {directory}")
    where = directory / "pictures"
    where.mkdir(exist_ok=True)
    drawn, left_out = [], []
    for name, draw in PICTURES.items():
        path = where / f"{name}.svg"
        try:
            draw(results, path)
        except Missing as reason:
            # Nobody should take one of another run for one of this.
            for old in (path, path.with_suffix(".png")):
                old.unlink(missing_ok=True)
            left_out.append(f"{name}: {reason}")
            print(f"pictures: no picture {name}: {reason}", flush=True)
            continue
        drawn.append(path)
        print(f"pictures: {path}, and as .png", flush=True)
    if (directory / "report.md").exists():
        page.write(directory, drawn, left_out)
        print(f"pictures: {directory / 'index.html'}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
