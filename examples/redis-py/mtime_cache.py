"""A cache in this process that asks Redis "changed since?" instead of fetching a value again, with redis-py.

    cache = MtimeCache(redis.Redis())                     # or redis.cluster.RedisCluster(...)
    cache = AsyncMtimeCache(redis.asyncio.Redis())        # or redis.asyncio.cluster.RedisCluster(...)

Every `get` asks the server, so nothing it returns is older than the question. What it saves is the value's way over the
network, and whatever the caller makes of the value: the same object comes back until the value changes.
"""

from typing import NamedTuple

# Below every mtime: what a reader without a copy sends.
NOTHING_HELD = "-9223372036854775808"


class Versioned(NamedTuple):
    """A reply of MTGET and MTMGET. `mtime` is None: untracked. `value` is None: not modified."""

    mtime: str | None
    value: bytes | str | None


def _versioned(reply, **_options):
    # Text and not a number: it is only ever sent back, and an integer beyond 2**53 must not become a float.
    if reply is None:
        return None
    mtime, value = reply
    return Versioned(mtime.decode() if isinstance(mtime, bytes) else mtime, value)


def _many_versioned(replies, **_options):
    return [_versioned(reply) for reply in replies]


class Mtime:
    """The commands of redis-mtime for any client of redis-py: sync or asyncio, alone, a cluster or a pipeline.

    redis-py learns from the server's COMMAND reply where the keys of a command are, and so finds the right node. To have
    them at hand as client.mtime(): client.load_external_module("mtime", lambda: Mtime(client)).
    """

    def __init__(self, client):
        self._call = client.execute_command
        client.set_response_callback("MTGET", _versioned)
        client.set_response_callback("MTMGET", _many_versioned)

    def get(self, key, since, *, exact=False):
        return self._call("MTGET", key, since, *(["EXACT"] if exact else []), "WITHMTIME")

    def mget(self, since_by_key):
        return self._call("MTMGET", *(word for pair in since_by_key.items() for word in pair))

    def set(self, key, value, mtime, *, if_newer=False, if_equals=None, px=None):
        condition = ["IFNEWER"] if if_newer else [] if if_equals is None else ["IFEQ", if_equals]
        return self._call("MTSET", key, value, mtime, *condition, *([] if px is None else ["PX", px]))

    def delete(self, key, *, if_newer=None):
        return self._call("MTDEL", key, *([] if if_newer is None else ["IFNEWER", if_newer]))


class _Held:
    """What both caches have in common. `held` can be any mutable mapping, say a cachetools.LRUCache, to bound it."""

    def __init__(self, client, held=None):
        self.mtime = Mtime(client)
        self.held = {} if held is None else held

    def _question(self, key):
        held = self.held.get(key)
        # EXACT: a cache sends back an mtime it was given, so any other one means another value, also an older one after a
        # failover or a restored backup.
        return held, self.mtime.get(key, held.mtime if held else NOTHING_HELD, exact=True)

    def _answer(self, key, held, reply):
        if reply is None:  # gone
            self.held.pop(key, None)
            return None
        if reply.value is None:  # not modified
            return held.value
        if reply.mtime is None:  # untracked: nothing to ask with next time
            self.held.pop(key, None)
        else:
            self.held[key] = reply
        return reply.value


class MtimeCache(_Held):
    """For redis.Redis and redis.cluster.RedisCluster."""

    def get(self, key):
        """The value as the server has it now, or None."""
        held, question = self._question(key)
        return self._answer(key, held, question)

    def set(self, key, value, mtime):
        """Writes unless the server has something as new or newer. False: refused."""
        self.held.pop(key, None)
        return self.mtime.set(key, value, mtime, if_newer=True) is not None

    def delete(self, key, mtime):
        """Deletes unless the server has something as new or newer. False: refused, or there was nothing."""
        self.held.pop(key, None)
        return self.mtime.delete(key, if_newer=mtime) == 1


class AsyncMtimeCache(_Held):
    """The same for redis.asyncio.Redis and redis.asyncio.cluster.RedisCluster."""

    async def get(self, key):
        held, question = self._question(key)
        return self._answer(key, held, await question)

    async def set(self, key, value, mtime):
        self.held.pop(key, None)
        return await self.mtime.set(key, value, mtime, if_newer=True) is not None

    async def delete(self, key, mtime):
        self.held.pop(key, None)
        return await self.mtime.delete(key, if_newer=mtime) == 1
