"""A private server under callgrind, and a client that sends it pipelined requests."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

# The server starts some fifty times slower here, on a machine that may be busy.
START_SECONDS = 60
CONFIG = """unixsocket "{socket}"
port 0
dir "{directory}"
save ""
appendonly no
daemonize no
# As few instructions as can be that are not for a request.
hz 1
dynamic-hz no
activerehashing no
enable-debug-command yes
"""


class ServerError(Exception):
    """It cannot be started, or answers what it should not."""


def encode(words):
    """A request as RESP."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        part = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(part), part))
    return b"".join(parts)


class Server:
    """Ends with the `with` block."""

    def __init__(self, binary, module=None, storage="hash"):
        self.directory = Path(tempfile.mkdtemp())
        self.counts = self.directory / "callgrind.out"
        self.dumps = 0
        path = self.directory / "socket"
        config = CONFIG.format(socket=path, directory=self.directory)
        if module:
            if storage == "keymeta":
                config += "mtime.storage keymeta\n"
            config += f'loadmodule "{module}"\n'
        (self.directory / "redis.conf").write_text(config, encoding="utf-8")
        self.vgdb = f"--vgdb-prefix={self.directory}/vgdb"
        with open(self.directory / "log", "wb") as log:
            # setpriv: the kernel ends the server when this program is killed.
            self.child = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "valgrind", "--tool=callgrind", self.vgdb,
                 f"--callgrind-out-file={self.counts}", binary, str(self.directory / "redis.conf")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        try:
            self._connect(path)
            # The reply buffer would grow and shrink with time, and a reply that does not fit takes more instructions.
            self.call("DEBUG", "REPLYBUFFER", "RESIZING", "0")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Nothing is left."""
        self.child.kill()
        self.child.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _connect(self, path):
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.settimeout(START_SECONDS)
                self.socket.connect(str(path))
                self.replies = self.socket.makefile("rb")
                return
            except OSError:
                self.socket.close()
                if self.child.poll() is not None or time.monotonic() > deadline:
                    log = (self.directory / "log").read_text(encoding="utf-8", errors="replace")
                    raise ServerError(f"the server does not start under valgrind; its log:\n{log}") from None
                time.sleep(0.05)

    def _reply(self):
        line = self.replies.readline()
        if not line.endswith(b"\r\n"):
            raise ServerError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise ServerError(rest.decode(errors="replace"))
        if kind == b"$":
            return None if rest == b"-1" else self.replies.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self._reply() for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest

    def call(self, *words):
        """One request, its reply."""
        return self.pipelined([words], 1)[0]

    def pipelined(self, requests, depth):
        """All requests, so many in one write; the replies."""
        replies = []
        for start in range(0, len(requests), depth):
            batch = requests[start:start + depth]
            self.socket.sendall(b"".join(encode(request) for request in batch))
            replies += [self._reply() for _ in batch]
        return replies

    def dump(self):
        """The file with what was counted since the last one."""
        self.dumps += 1
        done = subprocess.run(["vgdb", self.vgdb, f"--pid={self.child.pid}", "dump"],
                              capture_output=True, text=True, timeout=START_SECONDS, check=False)
        path = Path(f"{self.counts}.{self.dumps}")
        if done.returncode != 0 or not path.exists():
            raise ServerError(f"callgrind writes no counts: {done.stderr.strip() or os.listdir(self.directory)}")
        return path
