"""Ports of 127.0.0.1 for the servers a program is about to start."""

import contextlib
import functools
import itertools
import random
import socket
from collections.abc import Iterator

from deploy.local.process import StartFailed

# Below the range of outgoing connections: from within it, a client that retries while a server
# restarts can take that server's port away.
_BLOCKS = [range(first, first + 250) for first in range(15_000, 30_000, 250)]
_held: list[socket.socket] = []


def free_port(*, following: int = 0) -> int:
    """A port that nobody holds, with as many free ones `following` it.

    Two programs that ask at once get different ports, though the servers listen only a while later:
    each draws from a block of its own, and gives none out again before the rest of the block.

    Raises:
        StartFailed: Every port tried was taken.
    """
    for port in itertools.islice(_mine(), len(_BLOCKS[0])):
        wanted = [port, *itertools.islice(_mine(), following)]
        if wanted[-1] == port + following and all(_unbound(one) for one in wanted):
            return port
    raise StartFailed("no free port between 15000 and 30000 on 127.0.0.1")


@functools.cache
def _mine() -> Iterator[int]:
    """The ports of the first block that no other living process has, round and round."""
    for block in random.sample(_BLOCKS, len(_BLOCKS)):
        # Who holds the first port has the block: the socket is never closed, and ends with the process.
        first = socket.socket()
        try:
            first.bind(("127.0.0.1", block.start))
        except OSError:
            first.close()
        else:
            _held.append(first)
            return itertools.cycle(block[1:])
    raise StartFailed("every block of ports between 15000 and 30000 is in use by another program")


def _unbound(port: int) -> bool:
    with contextlib.suppress(OSError), socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
        return True
    return False
