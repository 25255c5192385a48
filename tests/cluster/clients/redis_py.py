"""A cluster client as applications use it: redis-py without a special setting. It finds the keys of our commands by COMMAND,
as it does for all commands it does not know.

redis_py.py PORT: works on the cluster until a line comes on standard input, or it is closed. Says "ready" when it has begun.
"""

import select
import sys

from redis.cluster import RedisCluster
from redis.exceptions import ResponseError

cluster = RedisCluster(host="127.0.0.1", port=int(sys.argv[1]))
run = cluster.execute_command


def expect(expected, *command):
    reply = run(*command)
    assert reply == expected, f"{command}: expected {expected}, got {reply}"


def conversation(key):
    run("DEL", key)
    expect(None, "MTGET", key, 0)
    expect(b"OK", "MTSET", key, "World", 1700000000)
    expect(b"World", "MTGET", key, 1699999900)
    expect(None, "MTGET", key, 1700000100)
    expect([b"1700000000", None], "MTGET", key, 1700000000, "WITHMTIME")
    expect(b"1700000000", "MTTIME", key)
    expect(1, "MTTOUCH", key, 1700000001)
    expect([[b"1700000001", b"World"], None], "MTMGET", key, 0, "{" + key + "}other", 0)
    cluster.set(key, "There")
    expect([None, b"There"], "MTGET", key, 1700000100, "WITHMTIME")
    expect(b"OK", "MTSET", key, "again", 1700000002, "IFNEWER")
    expect(1, "MTDEL", key, "IFNEWER", 1700000003)
    expect(None, "MTGET", key, 0, "WITHMTIME")


for number in range(50):
    conversation(f"py:{number}")

# Slots move and masters change from here on. An mtime may get lost, a value may not, and no answer is stale.
values = {}
print("ready", flush=True)
number = rounds = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    number += 1
    rounds += 1
    key = f"py:{number % 100}"
    value = f"{key}={number}".encode()
    if number % 3:
        run("MTSET", key, value, number)
    else:
        cluster.set(key, value)
    values[key] = value
    reply = run("MTGET", key, 10**9, "WITHMTIME")
    mtime, sent = reply
    assert sent == (value if mtime is None else None), f"{key}: {reply}"
    if mtime is not None:
        assert number % 3 and mtime == str(number).encode(), f"{key}: {reply}"
for key, value in values.items():
    assert cluster.get(key) == value, f"{key} is lost"
try:
    run("MTMGET", "a", 0, "b", 0)
except (ResponseError, Exception) as error:
    assert "slot" in str(error).lower(), error
else:
    raise AssertionError("two slots in one command")
print(f"{rounds} rounds")
