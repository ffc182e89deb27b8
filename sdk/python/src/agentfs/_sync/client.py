# Made of _async/client.py by generate.py; do not change it by hand.
"""The client."""

from __future__ import annotations

from collections.abc import Iterator, Iterable
from types import TracebackType
from typing import Any

import httpx2

from .._core.bodies import Moment, Operation
from .._core.memory import BatchResults, Filter, Memory, Mode, Order
from .._core.settings import Settings
from ..models import (
    Agent,
    Deleted,
    Entry,
    ListItem,
    Moved,
    SearchResults,
    Touched,
    Version,
    Written,
)
from ..operations import UNCONDITIONAL, Condition, Delete, Get, Put
from ..retry import RetryPolicy
from .driver import Driver
from .files import Files


class AgentFS:
    """A client of AgentFS: the memory of agents, as JSON values at paths.

    All methods except `agents` take `agent`, the agent whose memory they use. It defaults to the agent that the client is bound to.

    Methods raise subclasses of `AgentFSError`: `ConnectionFailed` if the server did not answer, otherwise an `APIError`. They retry
    first, as `retry` says. That is safe for writes too, since all attempts of a call have one idempotency key.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        agent: str | None = None,
        timeout: float = 30.0,
        retry: RetryPolicy | None = None,
        http_client: httpx2.Client | None = None,
    ) -> None:
        """Does not connect yet.

        `url` and `api_key` default to the environment variables AGENTFS_URL and AGENTFS_API_KEY; it raises ValueError if
        these are not set either. `timeout` limits, in seconds, the waits of each attempt: for a connection (at most 5) and for
        the answer. A client given as `http_client` keeps its own timeouts, proxies and certificates, and is not closed.
        """
        settings = Settings.of(url, api_key)
        self._driver = Driver(settings, timeout, http_client)
        self._bind(Memory(agent, retry or RetryPolicy(), settings.url))

    def _bind(self, memory: Memory) -> None:
        self._memory = memory
        self.files = Files(self._driver, memory)
        """The memory as text files: read, write, edit, grep."""

    def agent(self, agent: str) -> AgentFS:
        """Returns a client that is bound to an agent. It shares this client's connections and is closed with it."""
        bound = object.__new__(type(self))
        bound._driver = self._driver
        bound._bind(self._memory.of(agent))
        return bound

    def put(
        self,
        path: str,
        value: Any,
        *,
        searchable: bool = False,
        tags: Iterable[str] = (),
        importance: float = 0.0,
        ttl_seconds: int | None = None,
        if_version: Condition = UNCONDITIONAL,
        if_sha256: Condition = UNCONDITIONAL,
        idempotency_key: str | None = None,
        agent: str | None = None,
    ) -> Written:
        """Writes a new version of the entry at `path`. It replaces the whole entry, including tags and options.

        `value` is anything that `json.dumps` accepts. Search finds it only if `searchable` is true. It expires after
        `ttl_seconds`, in history too. `importance` is a number from 0 to 1 for your own use.

        With `if_version`, it writes only if that is the latest version, or with None, only if there is no entry; otherwise it
        raises `VersionConflict`. `if_sha256` compares the value instead: it is the `sha256` of an `Entry` or `Version`. An
        `idempotency_key` of your own also makes repetitions by other processes safe, for 24 hours.
        """
        put = Put(
            path,
            value,
            searchable=searchable,
            tags=tags,
            importance=importance,
            ttl_seconds=ttl_seconds,
            if_version=if_version,
            if_sha256=if_sha256,
            idempotency_key=idempotency_key,
            agent=agent,
        )
        return self._driver.run(self._memory.put(put))

    def get(
        self,
        path: str,
        *,
        as_of: Moment | None = None,
        min_version: str | None = None,
        agent: str | None = None,
    ) -> Entry | None:
        """Returns the entry at `path`, or None if there is none.

        `as_of` reads the past: a datetime with a time zone, or a string in RFC 3339. `min_version` is a version that the read
        must see, if the server uses read replicas.
        """
        get = Get(path, min_version=min_version, agent=agent)
        return self._driver.run(self._memory.get(get, as_of=as_of))

    def delete(
        self,
        path: str,
        *,
        recursive: bool = False,
        if_version: Condition = UNCONDITIONAL,
        if_sha256: Condition = UNCONDITIONAL,
        idempotency_key: str | None = None,
        agent: str | None = None,
    ) -> Deleted:
        """Deletes the value at `path` and keeps its history. For `if_version`, `if_sha256` and `idempotency_key`, see `put`.

        With `recursive`, it also deletes everything below `path`, in one transaction; a condition cannot be given then.
        """
        delete = Delete(
            path,
            if_version=if_version,
            if_sha256=if_sha256,
            idempotency_key=idempotency_key,
            agent=agent,
        )
        return self._driver.run(self._memory.delete(delete, recursive=recursive))

    def move(
        self,
        path: str,
        to: str,
        *,
        overwrite: bool = False,
        idempotency_key: str | None = None,
        agent: str | None = None,
    ) -> Moved:
        """Moves the entry at `path` and everything below it to `to`, in one transaction. The history stays at the old paths.

        Raises `NotFound` if there is nothing at `path` or below it, and `DestinationExists` if there is an entry at `to` or
        below it. With `overwrite`, entries that are moved replace those at their new paths.
        """
        moved = self._memory.move(
            path, to, overwrite=overwrite, idempotency_key=idempotency_key, agent=agent
        )
        return self._driver.run(moved)

    def touch(
        self, path: str, ttl_seconds: int | None, *, agent: str | None = None
    ) -> Touched:
        """Sets when the value at `path` expires, in seconds from now; None means never. It writes no new version."""
        return self._driver.run(self._memory.touch(path, ttl_seconds, agent=agent))

    def batch(
        self, operations: Iterable[Operation], *, atomic: bool = False, agent: str | None = None
    ) -> BatchResults:
        """Executes up to 100 `Get`, `Put` and `Delete` operations in one request, in order, and returns their results.

        The result of an operation that fails is its `APIError`; the others are executed. With `atomic`, either all are executed
        at one moment, or none is and the error is raised.
        """
        return self._driver.run(self._memory.batch(operations, atomic=atomic, agent=agent))

    def search(
        self,
        query: str,
        *,
        limit: int | None = None,
        path_prefix: str | None = None,
        tags_any: Iterable[str] | None = None,
        filter: Filter | None = None,
        mode: Mode | None = None,
        as_of: Moment | None = None,
        min_version: str | None = None,
        agent: str | None = None,
    ) -> SearchResults:
        """Finds searchable entries that answer a query in plain words, best first.

        `limit` is from 1 to 50 and defaults to 10. `path_prefix` and `tags_any` restrict the search to entries at or below that
        path, and with at least one of these tags; `filter` to those whose values meet conditions, as in `dump`. `mode` is
        "semantic", "text" or "hybrid"; by default the server chooses. `as_of` searches what there was at a past moment, as in `get`.
        """
        found = self._memory.search(
            query,
            limit=limit,
            path_prefix=path_prefix,
            tags_any=tags_any,
            filter=filter,
            mode=mode,
            as_of=as_of,
            min_version=min_version,
            agent=agent,
        )
        return self._driver.run(found)

    def list(
        self,
        prefix: str = "/",
        *,
        depth: int = 1,
        details: bool = False,
        limit: int | None = None,
        page_size: int | None = None,
        as_of: Moment | None = None,
        min_version: str | None = None,
        agent: str | None = None,
    ) -> Iterator[ListItem]:
        """Iterates over the direct children of a directory, sorted; with `depth` also over what is in these, and so on.

        With `details`, entries come with their size, version, times, tags and options. `limit` is the most items to return and
        defaults to all. Pages are requested as the iteration needs them; `page_size` defaults to 1000, which is also the most.
        What exists throughout the iteration is returned exactly once.
        """
        items = self._memory.list(
            prefix,
            depth=None if depth == 1 else depth,
            details=details,
            limit=limit,
            page_size=page_size,
            as_of=as_of,
            min_version=min_version,
            agent=agent,
        )
        return self._driver.each(items)

    def glob(
        self,
        pattern: str,
        *,
        limit: int | None = None,
        page_size: int | None = None,
        as_of: Moment | None = None,
        min_version: str | None = None,
        agent: str | None = None,
    ) -> Iterator[str]:
        """Iterates over the paths that match, sorted. `*` and `?` stay in a segment, `**` crosses segments. For pages, see `list`."""
        paths = self._memory.glob(
            pattern,
            limit=limit,
            page_size=page_size,
            as_of=as_of,
            min_version=min_version,
            agent=agent,
        )
        return self._driver.each(paths)

    def history(
        self,
        path: str,
        *,
        limit: int | None = None,
        page_size: int | None = None,
        agent: str | None = None,
    ) -> Iterator[Version]:
        """Iterates over the versions of an entry, newest first, tombstones included. `page_size` defaults to 20; the most is 100."""
        versions = self._memory.history(path, limit=limit, page_size=page_size, agent=agent)
        return self._driver.each(versions)

    def dump(
        self,
        prefix: str | None = None,
        *,
        filter: Filter | None = None,
        order: Order | None = None,
        limit: int | None = None,
        page_size: int | None = None,
        as_of: Moment | None = None,
        agent: str | None = None,
    ) -> Iterator[Entry]:
        """Iterates over the entries of an agent: all, or those at `prefix` and below it.

        `filter` selects by the values, such as `{"status": "open", "due.day": {"$gte": 10}}`; see docs/API.md#filters. `order`
        is "path" or "newest" and defaults to "path". `page_size` defaults to 200; the most is 500.
        """
        entries = self._memory.dump(
            prefix=prefix,
            filter=filter,
            order=order,
            limit=limit,
            page_size=page_size,
            as_of=as_of,
            agent=agent,
        )
        return self._driver.each(entries)

    def agents(
        self, *, limit: int | None = None, page_size: int | None = None
    ) -> Iterator[Agent]:
        """Iterates over the agents of the tenant that have entries, sorted by id."""
        return self._driver.each(self._memory.agents(limit=limit, page_size=page_size))

    def close(self) -> None:
        """Closes the connections."""
        self._driver.close()

    def __enter__(self) -> AgentFS:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._driver.settings.url!r}, agent={self._memory.agent!r})"
