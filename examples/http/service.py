"""The service as a process of its own, for the tests and the measurement."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

PORT = int(os.environ["REDIS_PORT"])


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Service:
    def __init__(self, log):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = Path(log.name)
        arguments = ["-m", "uvicorn", "app:app", "--port", str(self.port), "--no-use-colors"]
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=Path(__file__).parent,
            env={**os.environ, "REDIS_URL": f"redis://127.0.0.1:{PORT}"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(f"the service does not start:\n{self.log()}") from None
                time.sleep(0.02)

    def log(self):
        return self.log_path.read_text()

    def stop(self):
        self.process.terminate()
        self.process.wait()
