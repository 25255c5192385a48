"""Counts the instructions of a request under callgrind, and compares them with bounds.

Time is another one each time on a machine that is shared; the number of instructions is not. Each arm is a multiple of
plain GET or SET of the same run, so that what the C library or the client costs falls out. `make bench-smoke` runs
it, `make profile` with --profile.
"""

import argparse
import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from arms import GET, KEYS, MTIME, PLAIN, ROUNDS, VALUE, key, with_module
from server import Server, ServerError

BOUNDS = Path(__file__).with_name("bounds.csv")
# Above what was measured. Two runs differ by some hundredths at most, and a third more in the module's own part, which is less
# than half of a request, must not pass.
ALLOWED = 1.10
# The module looks into the index for one read in 64 all the same.
SETTLED = 0.96
SETTLING = 500
# So many lines of a profile.
FUNCTIONS = 25


def say(text):
    """Where it has got to."""
    print(f"instructions: {text}", file=sys.stderr, flush=True)


def instructions(path):
    """All that a dump has counted."""
    found = re.search(r"^(?:summary|totals): (\d+)", path.read_text(encoding="utf-8", errors="replace"), re.M)
    if not found:
        raise ServerError(f"no sum in {path.name}")
    return int(found.group(1))


def requests(arm, turn):
    """For every key."""
    return [arm.request(number, turn) for number in range(0, KEYS, arm.keys_a_request)]


def fill(server, module, storage):
    """Every key, tracked where there is a module, and read until that is as cheap as it gets."""
    words = [("MTSET", key(n), VALUE, MTIME) if module else ("SET", key(n), VALUE) for n in range(KEYS)]
    server.pipelined(words, 16)
    if module and storage == "hash":
        settle(server)


def settle(server):
    """Reads until the module remembers nearly all mtimes. What it keeps them in grows by a step at most ten times a second, and
    forgets everything at each, so that without this some rounds count the growing."""
    reading = with_module("")[1]
    known = saved(server)
    for turn in range(SETTLING):
        server.pipelined(requests(reading, turn), reading.depth)
        before, known = known, saved(server)
        if known - before >= SETTLED * KEYS:
            return
    raise ServerError(f"after {SETTLING} rounds of reads the module remembers {known - before} of {KEYS} mtimes")


def saved(server):
    """How many reads the module has answered from what it remembers."""
    return int(re.search(rb"mtime_index_lookups_saved:(\d+)", server.call("INFO", "mtime"))[1])


def measure(server, arm):
    """The dump of the least round, and its instructions a key."""
    dumps = []
    # The first round is the warm-up: what it has to do once is not asked for again.
    for turn in range(1 + ROUNDS):
        replies = server.pipelined(requests(arm, turn), arm.depth)
        wrong = [reply for reply in replies if not arm.expects(reply)]
        if wrong:
            raise ServerError(f"{arm.name}: the reply is {wrong[0]!r}")
        dumps.append(server.dump())
    least = min(dumps[1:], key=instructions)
    return least, instructions(least) / KEYS


def plan(binary, module):
    """Servers to start, each with its arms: those with key metadata have both storages."""
    yield None, "hash", PLAIN
    yield module, "hash", [GET, *with_module("")]
    if keeps_metadata(binary):
        yield module, "keymeta", with_module(", keymeta")


def name_and_version(binary):
    """As ("Redis", 7, 0): replies cost another share of a request on another version, so bounds are for one."""
    text = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\w+) server v=(\d+)\.(\d+)", text)
    if not found:
        raise ServerError(f"{binary} does not tell its version: {text.strip()}")
    return found[1], int(found[2]), int(found[3])


def keeps_metadata(binary):
    """Whether the server is one that has metadata of keys."""
    name, *version = name_and_version(binary)
    return name == "Redis" and version >= [8, 6]


def read_bounds():
    """Server and arm to measured ratio and bound."""
    if not BOUNDS.exists():
        return {}
    with open(BOUNDS, encoding="utf-8", newline="") as file:
        return {(row["server"], row["arm"]): (float(row["measured"]), float(row["bound"]))
                for row in csv.DictReader(file)}


def write_bounds(server, ratios):
    """Other servers keep theirs."""
    bounds = {key: found for key, found in read_bounds().items() if key[0] != server}
    bounds |= {(server, arm): (ratio, ratio * ALLOWED) for arm, ratio in ratios.items()}
    with open(BOUNDS, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["server", "arm", "measured", "bound"])
        rows.writerows([*key, f"{measured:.3f}", f"{bound:.3f}"] for key, (measured, bound) in sorted(bounds.items()))


def count_all(binary, module):
    """Instructions a key, and multiples of GET or SET."""
    counts, ratios = {}, {}
    for loaded, storage, arms in plan(binary, module):
        say(f"starting a server, {storage + ' storage' if loaded else 'no module'}")
        with Server(binary, loaded, storage) as server:
            fill(server, loaded, storage)
            for arm in arms:
                say(arm.name)
                counts[arm.name] = measure(server, arm)[1]
                if arm.name != arm.against:
                    ratios[arm.name] = counts[arm.name] / counts[arm.against]
    return counts, ratios


def compare(server, counts, ratios):
    """Prints the table. Whether all are within their bounds."""
    bounds = {arm: found for (of, arm), found in read_bounds().items() if of == server}
    good = True
    print(f"{server}:")
    print(f"{'arm':<45} {'instructions':>12} {'ratio':>7} {'measured':>9} {'bound':>7}  verdict")
    for arm, count in counts.items():
        if arm not in ratios:
            print(f"{arm:<45} {count:>12.0f} {'1.000':>7} {'':>9} {'':>7}")
            continue
        if arm not in bounds:
            good = False
            print(f"{arm:<45} {count:>12.0f} {ratios[arm]:>7.3f} {'':>9} {'':>7}  NO BOUND")
            continue
        measured, bound = bounds[arm]
        within = ratios[arm] <= bound
        good &= within
        print(f"{arm:<45} {count:>12.0f} {ratios[arm]:>7.3f} {measured:>9.3f} {bound:>7.3f}  "
              f"{'ok' if within else 'TOO MANY'}")
    for arm in bounds.keys() - counts.keys():
        good = False
        print(f"{arm:<45} has a bound but is not measured")
    return good


def annotated(dump, keys, inclusive):
    """The functions with the most instructions: (instructions a key, function)."""
    text = subprocess.run(
        ["callgrind_annotate", f"--inclusive={'yes' if inclusive else 'no'}", "--auto=no", "--threshold=100", str(dump)],
        capture_output=True, text=True, check=True,
    ).stdout
    for line in text.splitlines():
        found = re.match(r"\s*([\d,]+) +\([ \d.]+%\) +(\S.*)$", line)
        if found and "PROGRAM TOTALS" not in line:
            # file:function [object]
            name = re.sub(r"\s*\[(.*/)?([^/\]]*)\]$", r" [\2]", found[2])
            yield int(found[1].replace(",", "")) / keys, re.sub(r"^\S*?:", "", name, count=1)


def profile(binary, module, wanted):
    """Prints what an arm's instructions are spent on."""
    for loaded, storage, arms in plan(binary, module):
        for arm in arms:
            if arm.name != wanted:
                continue
            say(f"{arm.name} on {binary}")
            with Server(binary, loaded, storage) as server:
                fill(server, loaded, storage)
                dump, count = measure(server, arm)
                print(f"{arm.name}: {count:.0f} instructions")
                # To what was on the stack at the last dump, main and below, callgrind counts everything as its own.
                for inclusive in (False, True):
                    print(f"\n| {'with what it calls' if inclusive else 'by itself'} | share | function |\n|---:|---:|---|")
                    found = [one for one in annotated(dump, KEYS, inclusive) if inclusive or one[0] < count * 0.99]
                    for own, name in found[:FUNCTIONS]:
                        name = name.replace(f"[{Path(binary).resolve().name}]", "[server]")
                        print(f"| {own:.0f} | {own / count:.1%} | `{name}` |")
            return
    names = [arm.name for _, _, arms in plan(binary, module) for arm in arms]
    raise ServerError(f"no arm {wanted!r} on this server; there are: {'; '.join(names)}")


def main():
    """Exit code 1: beyond a bound, or it could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--update", action="store_true", help="take what is measured now for the new bounds")
    action.add_argument("--profile", metavar="ARM", help="the functions that an arm spends its instructions in")
    options = parser.parse_args()
    binary = shutil.which(os.environ.get("REDIS_SERVER") or "redis-server")
    module = os.environ.get("REDIS_MTIME_MODULE")
    if not shutil.which("valgrind") or not shutil.which("vgdb"):
        sys.exit("instructions: there is no valgrind here, nothing is counted; scripts/setup memcheck installs it")
    if not binary or not module:
        sys.exit("instructions: needs REDIS_MTIME_MODULE, and redis-server or REDIS_SERVER")
    try:
        if options.profile:
            profile(binary, module, options.profile)
            return
        counts, ratios = count_all(binary, module)
        name, *version = name_and_version(binary)
        server = f"{name} {version[0]}.{version[1]}"
        if options.update:
            write_bounds(server, ratios)
        good = compare(server, counts, ratios)
    except (ServerError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"instructions: {error}")
    if not good:
        sys.exit("instructions: more than the bounds allow, or without one; docs/performance.md tells how they are renewed")


if __name__ == "__main__":
    main()
