"""The routes of the API, a method each, as flows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from .. import errors
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
from ..operations import Delete, Get, Put, Unconditional
from ..retry import RetryPolicy
from . import bodies, read
from .bodies import Moment
from .exchange import encoded, exchange
from .flow import Flow, Page, Send
from .spans import Operation, call

if TYPE_CHECKING:
    from . import wire

T = TypeVar("T")

BatchResult: TypeAlias = Entry | Written | Deleted | errors.APIError | None
BatchResults: TypeAlias = list[BatchResult]
Mode: TypeAlias = Literal["semantic", "text", "hybrid"]
Order: TypeAlias = Literal["path", "newest"]
Filter: TypeAlias = Mapping[str, Any]

# Most items of a page.
_LIST, _DUMP, _HISTORY = 1000, 500, 100


@dataclass(frozen=True)
class Memory:
    """Builds requests and reads their answers. `agent` is the default of calls that name none."""

    agent: str | None
    retry: RetryPolicy
    url: str = ""
    """The server's, which spans name."""

    def of(self, agent: str) -> Memory:
        """The same for another agent."""
        return replace(self, agent=agent)

    def put(self, op: Put) -> Flow[Written]:
        """Writes a value."""
        body = bodies.put(self._agent(op.agent), op)
        span = Operation(_kind(op), body["agent_id"], op.path)
        key = bodies.idempotency_key(op)
        return self._call("/v1/put", body, read.written, key=key, span=span)

    def get(
        self, op: Get, *, as_of: Moment | None = None, after: float = 0.0
    ) -> Flow[Entry | None]:
        """Reads a value, in `after` seconds."""
        body = bodies.get(self._agent(op.agent), op, as_of)
        return self._call("/v1/get", body, read.found, after=after)

    def delete(self, op: Delete, *, recursive: bool = False) -> Flow[Deleted]:
        """Deletes a value, and everything below it."""
        body = bodies.delete(self._agent(op.agent), op, recursive=recursive)
        span = Operation("delete_memory", body["agent_id"], op.path)
        key = bodies.idempotency_key(op)
        return self._call("/v1/delete", body, read.deleted, key=key, span=span)

    def move(
        self,
        path: str,
        to: str,
        *,
        overwrite: bool,
        idempotency_key: str | None,
        agent: str | None,
    ) -> Flow[Moved]:
        """Moves a value and everything below it."""
        body: dict[str, Any] = {"agent_id": self._agent(agent), "from": path, "to": to}
        if overwrite:
            body["overwrite"] = True
        return self._call("/v1/move", body, read.moved, key=bodies.new_key(idempotency_key))

    def touch(self, path: str, ttl_seconds: int | None, *, agent: str | None) -> Flow[Touched]:
        """Sets when a value expires."""
        body = {"agent_id": self._agent(agent), "path": path, "ttl_seconds": ttl_seconds}
        return self._call("/v1/touch", body, read.touched)

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
        limit: int | None = None,
        path_prefix: str | None = None,
        tags_any: Iterable[str] | None = None,
        filter: Filter | None = None,
        mode: Mode | None = None,
        as_of: Moment | None = None,
        min_version: str | None = None,
        agent: str | None = None,
    ) -> Flow[SearchResults]:
        """Finds entries."""
        body = self._read(agent, as_of, min_version) | {
            "query": query,
            "limit": limit,
            "path_prefix": path_prefix,
            "tags_any": None if tags_any is None else list(tags_any),
            "filter": filter or None,
            "mode": mode,
        }
        span = Operation("search_memory", body["agent_id"], query=query)
        return self._call("/v1/search", _given(body), read.search_results, span=span)

    def list(
        self,
        prefix: str,
        *,
        depth: int | None = None,
        details: bool = False,
        limit: int | None = None,
        page_size: int | None = None,
        as_of: Moment | None = None,
        min_version: str | None = None,
        agent: str | None = None,
    ) -> Flow[Page[ListItem]]:
        """What is in a directory."""
        body = self._read(agent, as_of, min_version) | {"prefix": prefix}
        body |= _given({"depth": depth, "details": details or None})
        return self._pages("/v1/list", body, "items", read.list_item, limit, page_size, _LIST)

    def glob(
        self,
        pattern: str,
        *,
        limit: int | None = None,
        page_size: int | None = None,
        as_of: Moment | None = None,
        min_version: str | None = None,
        agent: str | None = None,
    ) -> Flow[Page[str]]:
        """The paths that match."""
        body = self._read(agent, as_of, min_version) | {"pattern": pattern}
        return self._pages("/v1/glob", body, "paths", str, limit, page_size, _LIST)

    def dump(
        self,
        *,
        prefix: str | None = None,
        filter: Filter | None = None,
        order: Order | None = None,
        limit: int | None = None,
        page_size: int | None = None,
        as_of: Moment | None = None,
        agent: str | None = None,
    ) -> Flow[Page[Entry]]:
        """All entries at or below a path, or those whose values meet conditions."""
        body = self._read(agent, as_of, None)
        body |= _given({"prefix": prefix, "filter": filter or None, "order": order})
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
        span: Operation | None = None,
    ) -> Flow[T]:
        # Encoded here, so that a wrong value raises in the call that has it, and not when its answer is waited for.
        send = Send(route, encoded(body), key, after)

        def flow() -> Flow[T]:
            with call(span, self.url) as now:
                traced = replace(send, headers=now.headers) if now.headers else send
                result = reader((yield from exchange(traced, self.retry)))
                if isinstance(result, SearchResults):
                    now.found(len(result))
                return result

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
            with call(None, self.url) as now:
                send = Send(route, encoded(asked), headers=now.headers)
                answer = yield from exchange(send, self.retry)
            got = [reader(item) for item in answer[items][:limit]]
            left = None if limit is None else limit - len(got)
            following = answer.get("next_cursor")
            return Page(got, None if following is None or left == 0 else page(following, left))

        return page(None, limit)


def _kind(put: Put) -> str:
    """What a put does, as its span has it."""
    conditions = (put.if_version, put.if_sha256)
    if all(isinstance(condition, Unconditional) for condition in conditions):
        return "upsert_memory"
    return "create_memory" if None in conditions else "update_memory"


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields without those that are None."""
    return {name: value for name, value in fields.items() if value is not None}


def _result(op: bodies.Operation, answer: Any) -> BatchResult:
    if "error" in answer:
        return errors.from_batch(answer["error"])
    if isinstance(op, Get):
        return read.found(answer)
    return read.written(answer) if isinstance(op, Put) else read.deleted(answer)
