# Made of _async/files.py by generate.py; do not change it by hand.
"""The memory as text files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Iterable

from .._core.bodies import Moment
from .._core.files import TextFiles
from .._core.memory import Memory
from ..models import Match, Moved, Written
from ..operations import UNCONDITIONAL, Condition, Put
from .driver import Driver


class Files:
    """The memory of an agent as text files. A file is an entry whose value is a string.

    `edit` and `insert` are safe with concurrent writers: they write only if the version that they read is still the latest, and
    start again otherwise (compare-and-set), up to 100 times. They keep tags, importance and searchable. If the entry has a time to
    live, that starts anew.

    Methods that read a file raise `NotFound` if there is no value at the path, and `NotText` if it is not a string.
    """

    def __init__(self, driver: Driver, memory: Memory) -> None:
        self._driver = driver
        self._files = TextFiles(memory)

    def read_text(
        self, path: str, *, as_of: Moment | None = None, agent: str | None = None
    ) -> str:
        """Returns the text at `path`, now or as of a moment."""
        return self._driver.run(self._files.read(path, as_of=as_of, agent=agent))

    def write_text(
        self,
        path: str,
        text: str,
        *,
        searchable: bool = False,
        tags: Iterable[str] = (),
        ttl_seconds: int | None = None,
        if_version: Condition = UNCONDITIONAL,
        if_sha256: Condition = UNCONDITIONAL,
        agent: str | None = None,
    ) -> Written:
        """Writes a text. It replaces the whole entry at `path`, including tags and options.

        With `if_version=None`, it only creates a file, and raises `VersionConflict` if there is one. For this and `if_sha256`, see
        `AgentFS.put`.
        """
        put = Put(
            path,
            text,
            searchable=searchable,
            tags=tags,
            ttl_seconds=ttl_seconds,
            if_version=if_version,
            if_sha256=if_sha256,
            agent=agent,
        )
        return self._driver.run(self._files.write(put))

    def edit(
        self, path: str, old: str, new: str, *, replace_all: bool = False, agent: str | None = None
    ) -> Written:
        """Replaces `old`, which must occur exactly once, with `new`. With `replace_all`, replaces all occurrences.

        Raises `EditRefused` if `old` does not occur, or more than once; `lines` says where.
        """
        return self._driver.run(
            self._files.edit(path, old, new, every=replace_all, agent=agent)
        )

    def insert(self, path: str, line: int, text: str, *, agent: str | None = None) -> Written:
        """Inserts `text` as lines of its own after the line with the number `line`; 0 inserts at the beginning.

        Raises `EditRefused` if the file has no such line.
        """
        return self._driver.run(self._files.insert(path, line, text, agent=agent))

    def move(
        self, path: str, to: str, *, overwrite: bool = False, agent: str | None = None
    ) -> Moved:
        """Moves a file or directory, with everything below it, to `to`. See `AgentFS.move`."""
        moved = self._files.memory.move(
            path, to, overwrite=overwrite, idempotency_key=None, agent=agent
        )
        return self._driver.run(moved)

    def delete_tree(self, path: str, *, agent: str | None = None) -> int:
        """Deletes a file or directory with everything below it, in one transaction. Returns the number of entries deleted.

        Raises `NotFound` if there is nothing at `path` or below it.
        """
        return self._driver.run(self._files.delete_tree(path, agent=agent))

    def grep(
        self, pattern: str | re.Pattern[str], glob: str = "/**", *, agent: str | None = None
    ) -> Iterator[Match]:
        """Iterates over the lines that contain a match of a regular expression (`re.search`), in the files that match `glob`.

        It skips values that are not strings. It reads all of the files, 100 a request, so a narrower `glob` is faster.
        """
        return self._driver.each(self._files.grep(pattern, glob, agent=agent))

    def glob(self, pattern: str, *, agent: str | None = None) -> Iterator[str]:
        """Iterates over the paths that match, sorted, including those of values that are not strings. See `AgentFS.glob`."""
        return self._driver.each(self._files.glob(pattern, agent=agent))

    def tree(
        self,
        path: str = "/",
        *,
        depth: int | None = None,
        as_of: Moment | None = None,
        agent: str | None = None,
    ) -> str:
        """Draws a directory as the command `tree` does, `depth` levels deep. Defaults to all levels."""
        return self._driver.run(self._files.tree(path, depth=depth, as_of=as_of, agent=agent))
