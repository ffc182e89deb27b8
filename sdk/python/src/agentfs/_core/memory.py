"""The routes of the API, a method each, as flows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from .. import errors
from ..models import Agent, Deleted, Entry, ListItem, SearchResults, Version, Written
from ..operations import Delete, Get, Put
from ..retry import RetryPolicy
from . import bodies, read
from .bodies import Moment
from .exchange import encoded, exchange
from .flow import Flow, Page, Send

if TYPE_CHECKING:
    from . import wire

T = TypeVar("T")

BatchResult: TypeAlias = Entry | Written | Deleted | errors.APIError | None
BatchResults: TypeAlias = list[BatchResult]
Mode: TypeAlias = Literal["semantic", "text", "hybrid"]

# Most items of a page.
_LIST, _DUMP, _HISTORY = 1000, 500, 100


@dataclass(frozen=True)
class Memory:
    """Builds requests and reads their answers. `agent` is the default of calls that name none."""

    agent: str | None
    retry: RetryPolicy

    def of(self, agent: str) -> Memory:
        """The same for another agent."""
        return replace(self, agent=agent)

    def put(self, op: Put) -> Flow[Written]:
        """Writes a value."""
        body = bodies.put(self._agent(op.agent), op)
        return self._call("/v1/put", body, read.written, key=bodies.idempotency_key(op))

    def get(
        self, op: Get, *, as_of: Moment | None = None, after: float = 0.0
    ) -> Flow[Entry | None]:
        """Reads a value, in `after` seconds."""
        body = bodies.get(self._agent(op.agent), op, as_of)
        return self._call("/v1/get", body, read.found, after=after)

    def delete(self, op: Delete) -> Flow[Deleted]:
        """Deletes a value."""
        body = bodies.delete(self._agent(op.agent), op)
        return self._call("/v1/delete", body, read.deleted, key=bodies.idempotency_key(op))

    def batch(
        self, operations: Iterable[bodies.Operation], *, atomic: bool, agent: str | None
    ) -> Flow[BatchResults]:
        """Does several operations in one request."""
        ops = list(operations)
        body: wire.BatchRequest = {
            "operations": [bodies.operation(self._agent(op.agent or agent), op) for op in ops],
            "atomic": atomic,
        }

        def results(answer: wire.BatchAnswer) -> BatchResults:
            return [_result(op, of) for op, of in zip(ops, answer["results"], strict=True)]

        return self._call("/v1/batch", body, results)

    def search(
        self,
        query: str,
        *,
        limit: int | None,
        path_prefix: str | None,
        tags_any: Iterable[str] | None,
        mode: Mode | None,
        min_version: str | None,
        agent: str | None,
    ) -> Flow[SearchResults]:
        """Finds entries."""
        body = {
            "agent_id": self._agent(agent),
            "query": query,
            "limit": limit,
            "path_prefix": path_prefix,
            "tags_any": None if tags_any is None else list(tags_any),
            "mode": mode,
            "min_version": min_version,
        }
        return self._call("/v1/search", _given(body), read.search_results)

    def list(
        self,
        prefix: str,
        *,
        limit: int | None,
        page_size: int | None,
        as_of: Moment | None,
        min_version: str | None,
        agent: str | None,
    ) -> Flow[Page[ListItem]]:
        """The children of a directory."""
        body = self._read(agent, as_of, min_version) | {"prefix": prefix}
        return self._pages("/v1/list", body, "items", read.list_item, limit, page_size, _LIST)

    def glob(
        self,
        pattern: str,
        *,
        limit: int | None,
        page_size: int | None,
        as_of: Moment | None,
        min_version: str | None,
        agent: str | None,
    ) -> Flow[Page[str]]:
        """The paths that match."""
        body = self._read(agent, as_of, min_version) | {"pattern": pattern}
        return self._pages("/v1/glob", body, "paths", str, limit, page_size, _LIST)

    def dump(
        self,
        *,
        limit: int | None,
        page_size: int | None,
        as_of: Moment | None,
        agent: str | None,
    ) -> Flow[Page[Entry]]:
        """All entries."""
        body = self._read(agent, as_of, None)
        return self._pages("/v1/dump", body, "entries", read.entry, limit, page_size, _DUMP)

    def history(
        self, path: str, *, limit: int | None, page_size: int | None, agent: str | None
    ) -> Flow[Page[Version]]:
        """The versions of an entry."""
        body = {"agent_id": self._agent(agent), "path": path}
        return self._pages(
            "/v1/history", body, "versions", read.version, limit, page_size, _HISTORY
        )

    def agents(self, *, limit: int | None, page_size: int | None) -> Flow[Page[Agent]]:
        """The agents of the tenant."""
        return self._pages("/v1/agents", {}, "agents", read.agent, limit, page_size, _LIST)

    def _agent(self, agent: str | None) -> str:
        agent = self.agent if agent is None else agent
        if agent is None:
            raise ValueError('no agent: pass agent="ada", or bind the client: AgentFS(agent="ada")')
        return agent

    def _read(
        self, agent: str | None, as_of: Moment | None, min_version: str | None
    ) -> dict[str, Any]:
        at = None if as_of is None else bodies.as_of(as_of)
        return _given({"agent_id": self._agent(agent), "as_of": at, "min_version": min_version})

    def _call(
        self,
        route: str,
        body: Mapping[str, Any],
        reader: Callable[[Any], T],
        *,
        key: str | None = None,
        after: float = 0.0,
    ) -> Flow[T]:
        # Encoded here, so that a wrong value raises in the call that has it, and not when its answer is waited for.
        send = Send(route, encoded(body), key, after)

        def flow() -> Flow[T]:
            return reader((yield from exchange(send, self.retry)))

        return flow()

    def _pages(
        self,
        route: str,
        body: dict[str, Any],
        items: str,
        reader: Callable[[Any], T],
        limit: int | None,
        page_size: int | None,
        most: int,
    ) -> Flow[Page[T]]:
        if limit is not None:
            if limit < 0:
                raise ValueError(f"limit={limit} is less than 0")
            page_size = min(limit, page_size or most)

        def page(cursor: str | None, limit: int | None) -> Flow[Page[T]]:
            if limit == 0:
                return Page((), None)
            asked = body | _given({"limit": page_size, "cursor": cursor})
            answer = yield from exchange(Send(route, encoded(asked)), self.retry)
            got = [reader(item) for item in answer[items][:limit]]
            left = None if limit is None else limit - len(got)
            following = answer.get("next_cursor")
            return Page(got, None if following is None or left == 0 else page(following, left))

        return page(None, limit)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields without those that are None."""
    return {name: value for name, value in fields.items() if value is not None}


def _result(op: bodies.Operation, answer: Any) -> BatchResult:
    if "error" in answer:
        return errors.from_batch(answer["error"])
    if isinstance(op, Get):
        return read.found(answer)
    return read.written(answer) if isinstance(op, Put) else read.deleted(answer)
