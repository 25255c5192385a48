"""How many bytes conditional requests save, on both sides of the service: curl asks many times for a document that does not
change, and the bytes that came over HTTP and that Redis sent are counted. Prints a table.

Needs REDIS_PORT, the port of a server with the module; `make measure-http` sets it.
"""

import subprocess
import tempfile
from email.utils import formatdate

import redis

from service import PORT, Service

REQUESTS = 500
MTIME = 1_700_000_000_000
ARMS = [
    ("no condition", []),
    ("`If-None-Match`", ["--header", f'If-None-Match: "{MTIME}"']),
    ("`If-Modified-Since`", ["--header", f"If-Modified-Since: {formatdate(MTIME // 1000, usegmt=True)}"]),
]


def main():
    client = redis.Redis(port=PORT)
    print("| document | request | status | HTTP, bytes a request | Redis, bytes a request | requests/s |")
    print("|---:|---|---:|---:|---:|---:|")
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        service = Service(log)
        try:
            for kib in 1, 64, 1024:
                client.execute_command("MTSET", "page:doc", b"x" * kib * 1024, MTIME)
                for name, options in ARMS:
                    before = client.info("stats")["total_net_output_bytes"]
                    wanted = "%{http_code} %{size_header} %{size_download} %{time_total}\n"
                    command = ["curl", "--silent", "--show-error", "--output", "/dev/null", "--write-out", wanted]
                    url = f"{service.url}/doc?[1-{REQUESTS}]"
                    done = subprocess.run([*command, *options, url], check=True, capture_output=True, text=True)
                    # Our own INFO is in it; a few KiB of 500 requests.
                    redis_bytes = client.info("stats")["total_net_output_bytes"] - before
                    rows = [line.split() for line in done.stdout.splitlines()]
                    statuses = ", ".join(sorted({row[0] for row in rows}))
                    http_bytes = sum(int(row[1]) + int(row[2]) for row in rows)
                    seconds = sum(float(row[3]) for row in rows)
                    print(
                        f"| {kib} KiB | {name} | {statuses} | {http_bytes // len(rows):,} | "
                        f"{redis_bytes // len(rows):,} | {len(rows) / seconds:,.0f} |"
                    )
        finally:
            service.stop()


main()
