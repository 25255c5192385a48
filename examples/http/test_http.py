"""With curl, against the service and a real server with the module on REDIS_PORT."""

import http.client
import os
import random
import subprocess
import tempfile
import time
import unittest
from email.utils import formatdate

import redis

from service import PORT, Service

# Tue, 14 Nov 2023 22:13:20.123 GMT
MTIME = 1_700_000_000_123
SAME, EARLIER, LATER = (formatdate(MTIME // 1000 + shift, usegmt=True) for shift in (0, -1, 1))
BODY = b"<p>hello</p>" * 100


class Reply:
    def __init__(self, output):
        head, _, self.body = output.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}


class Http(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        log = tempfile.NamedTemporaryFile(suffix=".log")
        cls.addClassCleanup(log.close)
        cls.service = Service(log)
        cls.addClassCleanup(cls.service.stop)
        cls.redis = redis.Redis(port=PORT)
        cls.addClassCleanup(cls.redis.close)

    def setUp(self):
        self.redis.flushall()
        self.mtset("page:a.html", BODY, MTIME)

    def mtset(self, *arguments):
        return self.redis.execute_command("MTSET", *arguments)

    def curl(self, *arguments, path="/a.html"):
        command = ["curl", "--silent", "--show-error", "--include", *arguments, self.service.url + path]
        return Reply(subprocess.run(command, check=True, capture_output=True).stdout)

    def asked(self, *fields, **options):
        return self.curl(*(word for field in fields for word in ("--header", field)), **options)

    def assert_status(self, status, *fields):
        reply = self.asked(*fields)
        self.assertEqual(reply.status, status, fields)
        self.assertEqual(reply.body, BODY if status == 200 else b"", fields)
        return reply

    def test_a_document_comes_with_its_validators(self):
        reply = self.assert_status(200)
        self.assertEqual(reply.headers["last-modified"], SAME)
        self.assertEqual(reply.headers["etag"], f'"{MTIME}"')
        self.assertEqual(reply.headers["cache-control"], "no-cache")
        self.assertIn("text/html", reply.headers["content-type"])

    def test_if_modified_since_has_the_resolution_of_seconds(self):
        self.assert_status(200, f"If-Modified-Since: {EARLIER}")
        reply = self.assert_status(304, f"If-Modified-Since: {SAME}")
        self.assertEqual(reply.headers["etag"], f'"{MTIME}"')
        self.assertEqual(reply.headers["cache-control"], "no-cache")
        self.assert_status(304, f"If-Modified-Since: {LATER}")
        self.mtset("page:a.html", BODY, MTIME // 1000 * 1000 + 999)
        self.assert_status(304, f"If-Modified-Since: {SAME}")
        self.mtset("page:a.html", BODY, MTIME // 1000 * 1000 + 1000)
        self.assert_status(200, f"If-Modified-Since: {SAME}")

    def test_all_three_forms_of_a_date_are_valid(self):
        self.assert_status(304, "If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT")
        self.assert_status(304, "If-Modified-Since: Tuesday, 14-Nov-23 22:13:20 GMT")
        self.assert_status(304, "If-Modified-Since: Tue Nov 14 22:13:20 2023")
        # Two digits more than 50 years ahead are of the last century.
        self.assert_status(200, "If-Modified-Since: Monday, 14-Nov-94 22:13:20 GMT")

    def test_invalid_dates_are_ignored(self):
        for date in (
            "yesterday",
            "1800000000",
            "2023-11-14T22:13:20Z",
            "Tue, 14 Nov 2023 22:13:20",
            "Tue, 14 Nov 2023 22:13:20 UTC",
            "Tue, 14 Nov 2023 22:13:20 +0000",
            "tue, 14 nov 2023 22:13:20 gmt",
            "Tue, 14 Nov 23 22:13:20 GMT",
            "Thu, 31 Feb 2030 22:13:20 GMT",
            "Thu, 14 Nov 2030 25:13:20 GMT",
            f"{LATER}, {LATER}",
            f'"{MTIME}"',
        ):
            self.assert_status(200, f"If-Modified-Since: {date}")
        self.assert_status(200, f"If-Modified-Since: {LATER}", f"If-Modified-Since: {LATER}")

    def test_if_none_match_wins(self):
        self.assert_status(200, 'If-None-Match: "other"', f"If-Modified-Since: {LATER}")
        self.assert_status(304, f'If-None-Match: "{MTIME}"', f"If-Modified-Since: {EARLIER}")
        self.assert_status(200, "If-None-Match: nonsense", f"If-Modified-Since: {LATER}")

    def test_if_none_match_takes_lists_weak_tags_and_a_star(self):
        for tags in f'"{MTIME}"', f'W/"{MTIME}"', f'"1", W/"{MTIME}"', f'"x", "{MTIME}" , "2"', "*":
            self.assert_status(304, f"If-None-Match: {tags}")
        self.assert_status(304, 'If-None-Match: "1"', f'If-None-Match: "{MTIME}"')
        # Equal as numbers, but no tags of ours.
        for tags in f'"0{MTIME}"', f'"{MTIME}.0"', f'"{MTIME}e0"', '""', f"{MTIME}":
            self.assert_status(200, f"If-None-Match: {tags}")

    def test_an_older_version_is_another_version(self):
        self.mtset("page:a.html", BODY, MTIME - 5)
        self.assert_status(200, f'If-None-Match: "{MTIME}"')

    def test_if_match_and_if_unmodified_since_come_first(self):
        self.assert_status(200, f'If-Match: "{MTIME}"')
        self.assert_status(412, 'If-Match: "1"', f'If-None-Match: "{MTIME}"')
        self.assert_status(412, f'If-Match: W/"{MTIME}"')
        self.assert_status(304, f'If-Match: "{MTIME}"', f'If-None-Match: "{MTIME}"')
        self.assert_status(412, f"If-Unmodified-Since: {EARLIER}")
        self.assert_status(200, f"If-Unmodified-Since: {SAME}")
        self.assert_status(200, f"If-Unmodified-Since: {EARLIER}", "If-Match: *")

    def test_head_is_get_without_the_body(self):
        reply = self.curl("--head")
        self.assertEqual((reply.status, reply.body), (200, b""))
        self.assertEqual(reply.headers["content-length"], str(len(BODY)))
        self.assertEqual(self.curl("--head", "--header", f'If-None-Match: "{MTIME}"').status, 304)

    def test_a_missing_document_is_missing_whatever_is_asked(self):
        for field in "If-None-Match: *", "If-Match: *", f"If-Modified-Since: {LATER}":
            self.assertEqual(self.asked(field, path="/none").status, 404)

    def test_a_document_without_an_mtime_is_always_sent(self):
        self.redis.set("page:a.html", BODY)
        reply = self.assert_status(200, f"If-Modified-Since: {LATER}")
        self.assertNotIn("etag", reply.headers)
        self.assertNotIn("last-modified", reply.headers)
        self.assert_status(200, f'If-None-Match: "{MTIME}"')

    def test_last_modified_is_not_given_while_its_second_can_change(self):
        now = int(time.time() * 1000)
        self.mtset("page:a.html", BODY, now)
        reply = self.assert_status(200)
        self.assertEqual(reply.headers["etag"], f'"{now}"')
        self.assertNotIn("last-modified", reply.headers)
        self.mtset("page:a.html", BODY, now - 3000)
        self.assertIn("last-modified", self.assert_status(200).headers)
        self.mtset("page:a.html", BODY, now + 10**9)
        self.assertNotIn("last-modified", self.assert_status(200).headers)

    def put(self, body, *fields, path="/new"):
        options = [word for field in fields for word in ("--header", field)]
        return self.curl("--request", "PUT", "--data-binary", body, *options, path=path)

    def test_a_write_is_conditional_too(self):
        self.assertEqual(self.put("1", "If-Match: *").status, 412)
        created = self.put("1", "If-None-Match: *")
        self.assertEqual(created.status, 201)
        self.assertEqual(self.put("2", "If-None-Match: *").status, 412)
        first = self.put("mine", f"If-Match: {created.headers['etag']}")
        self.assertEqual(first.status, 204)
        # The lost update: whoever read the first version as well comes too late.
        self.assertEqual(self.put("theirs", f"If-Match: {created.headers['etag']}").status, 412)
        self.assertEqual(self.asked(path="/new").body, b"mine")
        self.assertNotEqual(self.put("any").headers["etag"], first.headers["etag"])

    def test_what_the_client_has_does_not_leave_redis(self):
        self.mtset("page:big", b"x" * 100_000, MTIME)
        sent, saved = (self.redis.info("mtime")[f"mtime_bytes_{what}"] for what in ("sent", "saved"))
        for field in f'If-None-Match: "{MTIME}"', f"If-Modified-Since: {SAME}", "If-None-Match: *":
            self.assertEqual(self.asked(field, path="/big").status, 304)
        info = self.redis.info("mtime")
        self.assertEqual(info["mtime_bytes_sent"] - sent, 0)
        self.assertEqual(info["mtime_bytes_saved"] - saved, 300_000)

    def test_random_conditions_against_the_text_of_the_standard(self):
        seed = int(os.environ.get("REDIS_MTIME_TEST_SEED", time.time_ns()))
        dice = random.Random(seed)
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port)
        self.addCleanup(connection.close)
        for _ in range(500):
            mtime = MTIME + dice.choice([-1000, -500, 0, 500, 876, 877, 1000]) + dice.choice([0, 0.5])
            stored = self.redis.execute_command("MTTIME", "page:a.html").decode()
            if dice.random() < 0.3:
                self.mtset("page:a.html", BODY, mtime)
                stored = str(mtime)
            headers, expected = {}, 200
            if dice.random() < 0.6:
                seconds = MTIME // 1000 + dice.choice([-2, -1, 0, 1, 2])
                headers["If-Modified-Since"] = formatdate(seconds, usegmt=True)
                expected = 304 if float(stored) // 1000 <= seconds else 200
            if dice.random() < 0.4:
                tags = [str(MTIME + dice.choice([0, 500, 876, 1000])) for _ in range(dice.randint(1, 3))]
                tags += [stored] if dice.random() < 0.3 else []
                headers["If-None-Match"] = ", ".join(dice.choice(["", "W/"]) + f'"{tag}"' for tag in tags)
                expected = 304 if stored in tags else 200
            connection.request("GET", "/a.html", headers=headers)
            reply = connection.getresponse()
            body = reply.read()
            told = f"seed {seed}: {headers} of {stored}"
            self.assertEqual(reply.status, expected, told)
            self.assertEqual(body, BODY if expected == 200 else b"", told)


if __name__ == "__main__":
    unittest.main()
