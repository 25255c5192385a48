"""A headless Chromium revalidates its cache against the service, and shows the new version when there is one."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

import redis

from service import PORT, Service

BROWSER = os.environ.get("CHROMIUM", "chromium")
# Fetches a document three times, with a change in between that the page asks for itself.
PAGE = b"""<!doctype html><title>t</title><pre id=seen></pre><script>
(async () => {
  const seen = [];
  const read = async () => seen.push(await (await fetch('/doc.txt')).text());
  await read();
  await read();
  await fetch('/doc.txt', { method: 'PUT', body: 'second' });
  await read();
  document.getElementById('seen').textContent = seen.join(',');
})();
</script>"""


class Browser(unittest.TestCase):
    def test_a_browser_revalidates(self):
        self.assertIsNotNone(shutil.which(BROWSER), f"no {BROWSER} here")
        client = redis.Redis(port=PORT)
        self.addCleanup(client.close)
        client.flushall()
        client.execute_command("MTSET", "page:index.html", PAGE, 1_700_000_000_000)
        client.execute_command("MTSET", "page:doc.txt", "first", 1_700_000_000_000)
        with tempfile.NamedTemporaryFile(suffix=".log") as log, tempfile.TemporaryDirectory() as profile:
            service = Service(log)
            self.addCleanup(service.stop)
            for _ in range(2):
                self.assertRegex(self.visit(service, profile), "first,first,second|second,second,second")
            requests = re.findall(r'"(\w+) (/\S*) HTTP/1.1" (\d+)', service.log())
        documents = [(method, int(status)) for method, path, status in requests if path == "/doc.txt"]
        first, second = documents[:4], documents[4:]
        # Fetched, not modified, changed, fetched anew. The second visit comes with what the first left in the cache.
        self.assertEqual(first, [("GET", 200), ("GET", 304), ("PUT", 204), ("GET", 200)])
        self.assertEqual(second, [("GET", 304), ("GET", 304), ("PUT", 204), ("GET", 200)])
        pages = [int(status) for _, path, status in requests if path == "/index.html"]
        self.assertEqual(pages, [200, 304])
        self.assertGreaterEqual(client.info("mtime")["mtime_bytes_saved"], len(PAGE))

    def visit(self, service, profile):
        command = [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={profile}", "--virtual-time-budget=10000", "--timeout=30000", "--dump-dom",
            f"{service.url}/index.html",
        ]
        done = subprocess.run(command, check=True, capture_output=True, timeout=180)
        return re.search(rb"<pre id=\"?seen\"?>(.*?)</pre>", done.stdout)[1].decode()


if __name__ == "__main__":
    unittest.main()
