"""What the benchmark wrote: its CSV files as rows, and medians and ranges over the runs of an arm."""

import csv
from collections import defaultdict
from statistics import median

NUMBERS = {
    "index_keys", "keys_asked_for", "value_bytes", "pipeline", "connections", "not_modified_percent", "keys_a_request",
    "run", "cpu_ns", "keys_per_second", "wire_in_bytes", "wire_out_bytes", "asked_per_second", "achieved_per_second",
    "p50_us", "p99_us", "p999_us", "max_us", "upper_us", "count",
}


class Missing(Exception):
    """A picture has no data; the text says of what."""


class Results:
    """The files of one directory. One that is not there has no rows."""

    def __init__(self, directory):
        self.runs = rows(directory / "runs.csv")
        self.latency = rows(directory / "latency.csv")
        self.histogram = rows(directory / "histogram.csv")
        self.meta = {row["name"]: row["value"] for row in rows(directory / "meta.csv")}

    def section(self, name):
        """Its runs, of which there must be some."""
        found = [row for row in self.runs if row["section"] == name]
        if not found:
            raise Missing(f"runs.csv has no section {name}")
        return found


def rows(path):
    """Of a CSV file with a heading, numbers as numbers."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return [{name: float(text) if name in NUMBERS and text else text for name, text in row.items()}
                for row in csv.DictReader(file)]


def groups(found, *names):
    """The rows by the values of these columns, in the order of their first."""
    result = defaultdict(list)
    for row in found:
        result[tuple(row[name] for name in names)].append(row)
    return result


def spread(found, measure):
    """Median, and how far it is to the least and the greatest."""
    values = [measure(row) for row in found]
    middle = median(values)
    return middle, middle - min(values), max(values) - middle


def series(found, column, measure):
    """Points of a line with error bars: x, y, below, above."""
    points = sorted((x, *spread(of_x, measure)) for (x,), of_x in groups(found, column).items())
    return [list(part) for part in zip(*points)]


def cpu_us(row):
    """Of the server's main thread, for a key."""
    return row["cpu_ns"] / 1000
