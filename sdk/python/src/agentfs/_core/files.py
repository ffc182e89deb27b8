"""Text files as flows: entries whose value is a text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..errors import NotFound, NotText, VersionConflict
from ..models import Entry, Match, Written
from ..operations import Delete, Get, Put
from . import many, text, tree
from .bodies import Moment
from .flow import Flow, Page, gathered
from .memory import Memory

# How often an edit meets another writer before it gives up. Each time, one of them has written.
_MOST_CONFLICTS = 100


@dataclass(frozen=True)
class TextFiles:
    """Reads and changes texts. An edit happens to the version that was read, or is made again."""

    memory: Memory

    def read(self, path: str, *, as_of: Moment | None, agent: str | None) -> Flow[str]:
        """The text at a path."""
        entry = yield from self.memory.get(Get(path, agent=agent), as_of=as_of)
        return _text(path, entry)[0]

    def write(self, put: Put) -> Flow[Written]:
        """Writes a text."""
        if not isinstance(put.value, str):
            raise TypeError(
                f"a file is a string, not a {type(put.value).__name__}; write other values with put"
            )
        return self.memory.put(put)

    def edit(
        self, path: str, old: str, new: str, *, every: bool, agent: str | None
    ) -> Flow[Written]:
        """Replaces a part of a text."""
        return self.change(path, lambda now: text.replaced(path, now, old, new, every=every), agent)

    def insert(self, path: str, line: int, new: str, *, agent: str | None) -> Flow[Written]:
        """Puts lines behind a line of a text."""
        return self.change(path, lambda now: text.inserted(path, now, line, new), agent)

    def grep(
        self, pattern: str | re.Pattern[str], glob: str, *, agent: str | None
    ) -> Flow[Page[Match]]:
        """The lines in which a pattern is found."""
        paths = self.glob(glob, page_size=many.AT_ONCE, agent=agent)
        return self._matches(paths, re.compile(pattern), agent)

    def glob(
        self,
        pattern: str,
        *,
        page_size: int | None = None,
        as_of: Moment | None = None,
        agent: str | None = None,
    ) -> Flow[Page[str]]:
        """The paths that match."""
        return self.memory.glob(
            pattern, limit=None, page_size=page_size, as_of=as_of, min_version=None, agent=agent
        )

    def tree(
        self, path: str, *, depth: int | None, as_of: Moment | None, agent: str | None
    ) -> Flow[str]:
        """A drawing of what is below a directory."""
        below = self.glob(tree.pattern_below(path), as_of=as_of, agent=agent)
        paths = yield from gathered(below)
        if not paths and path.strip("/"):
            raise _missing(path)
        return tree.drawn(path, paths, depth)

    def delete_tree(self, path: str, *, agent: str | None) -> Flow[int]:
        """Deletes a file and everything below it."""
        deleted = yield from self.memory.delete(Delete(path, agent=agent), recursive=True)
        if not deleted.deleted:
            raise _missing(path)
        return deleted.entries

    def change(self, path: str, change: Callable[[str], str], agent: str | None) -> Flow[Written]:
        """Writes what `change` makes of a text."""
        get, wait, conflicts = Get(path, agent=agent), 0.0, 0
        while True:
            entry = yield from self.memory.get(get, after=wait)
            now, entry = _text(path, entry)
            put = Put(
                path,
                change(now),
                searchable=entry.searchable,
                tags=entry.tags,
                importance=entry.importance,
                ttl_seconds=_lifetime(entry),
                # Not if_sha256: the put replaces tags and options too, which another writer may have changed.
                if_version=entry.version_id,
                agent=agent,
            )
            try:
                return (yield from self.memory.put(put))
            except VersionConflict as conflict:
                conflicts += 1
                if conflicts == _MOST_CONFLICTS:
                    raise
                # A read replica may not have it yet.
                get = replace(get, min_version=conflict.current_version)
                wait = self.memory.retry.random() * min(0.01 * conflicts, 0.5)

    def _matches(
        self, paths: Flow[Page[str]], pattern: re.Pattern[str], agent: str | None
    ) -> Flow[Page[Match]]:
        page = yield from paths
        entries = yield from many.entries(self.memory, page.items, agent)
        found = [
            Match(entry.path, line, words)
            for entry in entries
            if isinstance(entry.value, str)
            for line, words in text.matches(entry.value, pattern)
        ]
        rest = page.rest
        return Page(found, None if rest is None else self._matches(rest, pattern, agent))


def _text(path: str, entry: Entry | None) -> tuple[str, Entry]:
    if entry is None:
        raise _missing(path)
    if not isinstance(entry.value, str):
        kind = type(entry.value).__name__
        raise NotText(f"the value at {path} is not a string but a {kind}; read it with get")
    return entry.value, entry


def _missing(path: str) -> NotFound:
    return NotFound(f"there is no value at {path}", code="NOT_FOUND")


def _lifetime(entry: Entry) -> int | None:
    """The time to live of the value, in full: what is left of it would depend on this machine's clock."""
    if entry.expires_at is None:
        return None
    return max(1, round((entry.expires_at - entry.created_at).total_seconds()))
