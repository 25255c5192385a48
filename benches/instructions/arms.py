"""What is measured: each request that has a bound, with the reply it must get."""

from collections.abc import Callable
from dataclasses import dataclass

KEYS = 2000
# Over all keys, each counted by itself; the least counts. Now and then a server does something that no request asked for,
# and that takes millions of instructions.
ROUNDS = 5
DEPTH = 16
BATCH = 100
MTIME, BEFORE, AFTER = 1700000000, 1699999900, 1800000000
VALUE, LONGER = b"x" * 64, b"x" * 80


def key(number):
    """Of a tracked key."""
    return f"key:{number:012}"


@dataclass(frozen=True)
class Arm:
    """`request(number, round)` makes a request for a key, or for the BATCH keys from that one on."""

    name: str
    # What 1.00 is: the arm that it is a multiple of, itself among them.
    against: str
    request: Callable
    expects: Callable
    keys_a_request: int = 1
    depth: int = DEPTH


def batch(number, since):
    """The arguments of an MTMGET."""
    return [word for one in range(number, number + BATCH) for word in (key(one), since)]


def value_of(turn):
    """One length in one round, the other in the next."""
    return VALUE if turn % 2 else LONGER


def is_ok(reply):
    """A write was done."""
    return reply == b"OK"


PLAIN = [
    Arm("SET", "SET", lambda number, _: ("SET", key(number), VALUE), is_ok),
]


def with_module(suffix):
    """On the server with the module; `suffix` tells the storages apart."""
    return [
        Arm(f"MTGET, modified{suffix}", "GET", lambda number, _: ("MTGET", key(number), BEFORE),
            lambda reply: reply == VALUE),
        Arm(f"MTGET, not modified{suffix}", "GET", lambda number, _: ("MTGET", key(number), AFTER),
            lambda reply: reply is None),
        Arm(f"a key of an MTMGET of 100, modified{suffix}", "GET", lambda number, _: ("MTMGET", *batch(number, BEFORE)),
            lambda reply: len(reply) == BATCH and all(one[1] == VALUE for one in reply), BATCH, 1),
        Arm(f"a key of an MTMGET of 100, not modified{suffix}", "GET",
            lambda number, _: ("MTMGET", *batch(number, AFTER)),
            lambda reply: len(reply) == BATCH and all(one[1] is None for one in reply), BATCH, 1),
        Arm(f"SET of an untracked key{suffix}", "SET", lambda number, _: ("SET", f"plain:{number:012}", VALUE), is_ok),
        Arm(f"MTSET, same length{suffix}", "SET",
            lambda number, turn: ("MTSET", key(number), VALUE, MTIME + turn), is_ok),
        Arm(f"MTSET, other length{suffix}", "SET",
            lambda number, turn: ("MTSET", key(number), value_of(turn), MTIME + turn), is_ok),
    ]


GET = Arm("GET", "GET", lambda number, _: ("GET", key(number)), lambda reply: reply == VALUE)
