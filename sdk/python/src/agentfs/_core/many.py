"""More operations than one request takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..errors import APIError, TooLarge
from ..models import Entry
from ..operations import Delete, Get, Put
from . import bodies
from .exchange import encoded
from .flow import Flow
from .memory import Memory

# The most that a batch takes, and how many bytes of the usual 1 MiB are used: keys and braces come to them.
AT_ONCE = 100
_BYTES = 1_000_000


def entries(memory: Memory, paths: Sequence[str], agent: str | None) -> Flow[list[Entry]]:
    """The entries at paths, without those that do not exist."""
    found: list[Entry] = []
    for first in range(0, len(paths), AT_ONCE):
        gets = [Get(path, agent=agent) for path in paths[first : first + AT_ONCE]]
        while gets:
            answers = yield from memory.batch(gets, atomic=False, agent=agent)
            # A batch answers so many bytes; what it had no room for is asked for again, without the others.
            left = []
            for get, answer in zip(gets, answers, strict=True):
                if isinstance(answer, TooLarge) and len(gets) > 1:
                    left.append(get)
                elif isinstance(answer, APIError):
                    raise answer
                elif isinstance(answer, Entry):
                    found.append(answer)
            gets = left
    return found


def write(memory: Memory, writes: Iterable[Put | Delete]) -> Flow[None]:
    """Makes writes. Those of a request happen all or not at all."""
    for together in _requests(memory, writes):
        yield from _write(memory, together)


def _write(memory: Memory, together: list[Put | Delete]) -> Flow[None]:
    """Makes writes in one request, or in several where the server takes less at once than is usual."""
    try:
        yield from memory.batch(together, atomic=True, agent=None)
    except TooLarge:
        half = len(together) // 2
        if half == 0:
            raise
        yield from _write(memory, together[:half])
        yield from _write(memory, together[half:])


def _requests(memory: Memory, writes: Iterable[Put | Delete]) -> Iterator[list[Put | Delete]]:
    together: list[Put | Delete] = []
    size = 0
    for write in writes:
        own = len(encoded(bodies.operation(write.agent or memory.agent or "", write)))
        if together and (len(together) == AT_ONCE or size + own > _BYTES):
            yield together
            together, size = [], 0
        together.append(write)
        size += own
    if together:
        yield together
