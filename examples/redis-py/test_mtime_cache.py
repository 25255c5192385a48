"""Against real servers: REDIS_PORT is one that stands alone, REDIS_CLUSTER_PORT a node of a cluster."""

import asyncio
import os
import unittest

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.cluster

from mtime_cache import AsyncMtimeCache, Mtime, MtimeCache

PORT = int(os.environ["REDIS_PORT"])
CLUSTER_PORT = int(os.environ["REDIS_CLUSTER_PORT"])
BINARY = bytes(range(256))
# One more would be lost in a float.
BEYOND_FLOATS = 2**53 + 1


class Alone(unittest.TestCase):
    def setUp(self):
        self.other = redis.Redis(port=PORT)
        self.other.flushall()
        self.cache = MtimeCache(redis.Redis(port=PORT))
        self.addCleanup(self.other.close)

    def counted(self, field):
        return self.other.info("mtime")[f"mtime_{field}"]

    def test_a_value_is_fetched_once_and_then_revalidated(self):
        self.assertTrue(self.cache.set("k", BINARY, 100))
        sent, saved = self.counted("bytes_sent"), self.counted("bytes_saved")
        first = self.cache.get("k")
        self.assertEqual(first, BINARY)
        self.assertIs(self.cache.get("k"), first)
        self.assertEqual(self.counted("bytes_sent") - sent, 256)
        self.assertEqual(self.counted("bytes_saved") - saved, 256)

    def test_what_others_write_is_seen_at_once(self):
        self.cache.set("k", b"mine", 100)
        self.cache.get("k")
        Mtime(self.other).set("k", b"theirs", 101)
        self.assertEqual(self.cache.get("k"), b"theirs")

    def test_an_mtime_that_went_back_is_seen_too(self):
        self.cache.set("k", b"newer", 200)
        self.cache.get("k")
        Mtime(self.other).set("k", b"from a backup", 100)
        self.assertEqual(self.cache.get("k"), b"from a backup")

    def test_an_older_write_is_refused_and_an_equal_one_too(self):
        self.assertTrue(self.cache.set("k", b"new", BEYOND_FLOATS))
        self.assertFalse(self.cache.set("k", b"old", BEYOND_FLOATS - 1))
        self.assertFalse(self.cache.set("k", b"equal", BEYOND_FLOATS))
        self.assertEqual(self.cache.get("k"), b"new")
        self.assertEqual(self.cache.held["k"].mtime, str(BEYOND_FLOATS))

    def test_a_key_that_is_gone_is_gone_here_too(self):
        self.cache.set("k", b"v", 100)
        self.cache.get("k")
        self.other.delete("k")
        self.assertIsNone(self.cache.get("k"))
        self.assertNotIn("k", self.cache.held)

    def test_a_late_invalidation_leaves_a_newer_value(self):
        self.cache.set("k", b"v", 100)
        self.assertFalse(self.cache.delete("k", 99))
        self.assertTrue(self.cache.delete("k", 101))
        self.assertIsNone(self.cache.get("k"))

    def test_an_untracked_value_is_sent_and_not_held(self):
        self.cache.set("k", b"v", 100)
        self.cache.get("k")
        self.other.set("k", b"plain")
        self.assertEqual(self.cache.get("k"), b"plain")
        self.assertNotIn("k", self.cache.held)
        self.other.set("k", b"plain again")
        self.assertEqual(self.cache.get("k"), b"plain again")

    def test_an_empty_value_is_a_value(self):
        self.cache.set("k", b"", 100)
        self.assertEqual([self.cache.get("k"), self.cache.get("k")], [b"", b""])

    def test_decoded_strings_and_both_protocols(self):
        for protocol in 2, 3:
            cache = MtimeCache(redis.Redis(port=PORT, protocol=protocol, decode_responses=True))
            cache.set(f"k{protocol}", "grün", "1.5")
            self.assertEqual([cache.get(f"k{protocol}") for _ in range(2)], ["grün", "grün"])
            self.assertEqual(cache.held[f"k{protocol}"].mtime, "1.5")

    def test_the_commands_in_a_pipeline_and_for_many_keys(self):
        with self.other.pipeline(transaction=True) as pipeline:
            commands = Mtime(pipeline)
            commands.set("a", b"1", 10)
            commands.set("b", b"2", 20)
            commands.get("a", 5)
            commands.mget({"a": 10, "b": 10, "c": 10})
            replies = pipeline.execute()
        self.assertEqual(replies[2:], [("10", b"1"), [("10", None), ("20", b"2"), None]])

    def test_the_client_has_the_commands_as_a_module(self):
        self.cache.set("k", b"v", 100)
        client = redis.Redis(port=PORT)
        client.load_external_module("mtime", lambda: Mtime(client))
        self.assertEqual(client.mtime().get("k", 0), ("100", b"v"))


class Cluster(unittest.TestCase):
    def test_every_key_is_found_on_its_node(self):
        client = redis.cluster.RedisCluster(host="127.0.0.1", port=CLUSTER_PORT)
        self.addCleanup(client.close)
        client.flushall(target_nodes=redis.cluster.RedisCluster.PRIMARIES)
        cache = MtimeCache(client)
        keys = [f"key:{number}" for number in range(50)]
        for key in keys:
            self.assertTrue(cache.set(key, key.encode(), 100))
            self.assertEqual([cache.get(key), cache.get(key)], [key.encode()] * 2)
        self.assertEqual(len({client.get_node_from_key(key).port for key in keys}), 3)
        self.assertEqual(cache.mtime.mget({"{t}a": 0, "{t}b": 0}), [None, None])


class Asyncio(unittest.IsolatedAsyncioTestCase):
    async def story(self, client, flush):
        cache = AsyncMtimeCache(client)
        keys = [f"key:{number}" for number in range(20)]
        await flush()
        self.assertTrue(all(await asyncio.gather(*(cache.set(key, BINARY, BEYOND_FLOATS) for key in keys))))
        first = await asyncio.gather(*(cache.get(key) for key in keys))
        self.assertEqual(first, [BINARY] * len(keys))
        again = await asyncio.gather(*(cache.get(key) for key in keys))
        self.assertTrue(all(one is other for one, other in zip(first, again, strict=True)))
        self.assertFalse(await cache.set(keys[0], b"old", BEYOND_FLOATS - 1))
        await client.set(keys[1], b"plain")
        self.assertEqual(await cache.get(keys[1]), b"plain")
        self.assertTrue(await cache.delete(keys[2], BEYOND_FLOATS + 1))
        self.assertIsNone(await cache.get(keys[2]))
        self.assertEqual(await cache.mtime.get(keys[0], BEYOND_FLOATS), (str(BEYOND_FLOATS), None))

    async def test_alone(self):
        async with redis.asyncio.Redis(port=PORT) as client:
            await self.story(client, client.flushall)

    async def test_cluster(self):
        async with redis.asyncio.cluster.RedisCluster(host="127.0.0.1", port=CLUSTER_PORT) as client:
            await self.story(client, lambda: client.flushall(target_nodes="primaries"))


if __name__ == "__main__":
    unittest.main()
