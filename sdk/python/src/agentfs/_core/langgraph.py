"""LangGraph's long-term memory as flows: an item is an entry whose path is its namespace and key."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from langgraph.store.base import (
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    validate_op_namespace,
)

from ..models import Entry, SearchResult
from ..operations import Delete, Put
from . import filters, many, names, tree
from .flow import Flow, Page, gathered
from .memory import Memory

# What the API takes.
_MOST_CHARACTERS, _MOST_SEGMENTS, _MOST_FOUND, _MOST_DUMPED = 512, 64, 50, 500
# Keeps the time to live that an item was put with: that of the entry begins anew with each read.
_TTL = "ttl:"

Found: TypeAlias = tuple[Entry, tuple[str, ...], str]
"""An entry, and the namespace and key of the item that it is."""


@dataclass(frozen=True)
class Store:
    """Carries out the operations of a store on the entries below `root`, which is `/` or begins with it."""

    memory: Memory
    root: str
    searchable: bool

    def batch(self, ops: Iterable[Op]) -> Flow[list[Result]]:
        """All reads see the state before the writes; of several writes of an item the last one counts."""
        ops = list(ops)
        for op in ops:
            validate_op_namespace(op)
        writes = {self._path(op): self._write(op) for op in ops if isinstance(op, PutOp)}
        items = yield from self._get([op for op in ops if isinstance(op, GetOp)])
        results: list[Result] = []
        for op in ops:
            if isinstance(op, GetOp):
                results.append(items.get(self._path(op)))
            elif isinstance(op, SearchOp):
                results.append((yield from self._search(op)))
            elif isinstance(op, ListNamespacesOp):
                results.append((yield from self._namespaces(op)))
            else:
                results.append(None)
        yield from many.write(self.memory, writes.values())
        return results

    def _write(self, op: PutOp) -> Put | Delete:
        path = self._path(op)
        if op.value is None:
            return Delete(path)
        seconds = None if op.ttl is None else max(1, math.ceil(op.ttl * 60))
        return Put(
            path,
            op.value,
            searchable=self.searchable and op.index is not False,
            tags=() if seconds is None else (f"{_TTL}{seconds}",),
            ttl_seconds=seconds,
        )

    def _get(self, ops: Sequence[GetOp]) -> Flow[dict[str, Item]]:
        refresh = {self._path(op): op.refresh_ttl for op in ops}
        entries = yield from many.entries(self.memory, list(refresh), None)
        yield from self._refresh([entry for entry in entries if refresh[entry.path]])
        return {
            entry.path: Item(
                value=entry.value,
                key=key,
                namespace=namespace,
                created_at=entry.created_at,
                updated_at=entry.created_at,
            )
            for entry, namespace, key in self._items(entries)
        }

    def _search(self, op: SearchOp) -> Flow[list[SearchItem]]:
        prefix, wanted = tuple(op.namespace_prefix), filters.checked(op.filter)
        last = op.offset + op.limit
        if op.query and op.query.strip():
            results = yield from self.memory.search(
                op.query,
                path_prefix=self._joined(prefix),
                filter=filters.of_server(wanted),
                limit=_MOST_FOUND if wanted else max(1, min(_MOST_FOUND, last)),
            )
            found = list(self._matching(results, prefix, wanted))
        else:
            found = yield from self._latest(prefix, wanted, last)
        found = found[op.offset : last]
        if op.refresh_ttl:
            yield from self._refresh([entry for entry, _, _ in found])
        return [
            SearchItem(
                namespace=namespace,
                key=key,
                value=entry.value,
                created_at=entry.created_at,
                updated_at=entry.created_at,
                score=entry.similarity if isinstance(entry, SearchResult) else None,
            )
            for entry, namespace, key in found
        ]

    def _latest(
        self, prefix: tuple[str, ...], wanted: Mapping[str, Any], last: int
    ) -> Flow[list[Found]]:
        """The items below a namespace, the latest first, up to the `last` one."""
        found: list[Found] = []
        rest: Flow[Page[Entry]] | None = self.memory.dump(
            prefix=self._joined(prefix),
            filter=filters.of_server(wanted),
            order="newest",
            page_size=max(1, min(_MOST_DUMPED, last)),
        )
        while rest is not None and len(found) < last:
            page = yield from rest
            found.extend(self._matching(page.items, prefix, wanted))
            rest = page.rest
        return found

    def _matching(
        self, entries: Iterable[Entry], prefix: tuple[str, ...], wanted: Mapping[str, Any]
    ) -> Iterator[Found]:
        for entry, namespace, key in self._items(entries):
            # What is at the path of the namespace itself is in the one above it.
            if namespace[: len(prefix)] == prefix and filters.matches(entry.value, wanted):
                yield entry, namespace, key

    def _namespaces(self, op: ListNamespacesOp) -> Flow[list[tuple[str, ...]]]:
        conditions = op.match_conditions or ()
        above = self._joined(max((_beginning(each) for each in conditions), key=len, default=()))
        paths = yield from gathered(self.memory.glob(tree.pattern_below(above)))
        namespaces = {self._names(path)[:-1] for path in paths}
        matching = {
            namespace[: op.max_depth]
            for namespace in namespaces
            if namespace and all(_matches(namespace, each) for each in conditions)
        }
        return sorted(matching)[op.offset : op.offset + op.limit]

    def _refresh(self, entries: Iterable[Entry]) -> Flow[None]:
        for entry in entries:
            for tag in entry.tags:
                seconds = tag.removeprefix(_TTL)
                if entry.expires_at is not None and tag != seconds and seconds.isdecimal():
                    yield from self.memory.touch(entry.path, int(seconds), agent=None)

    def _items(self, entries: Iterable[Entry]) -> Iterator[Found]:
        """The entries that are items, with their namespaces and keys: others may write other values."""
        for entry in entries:
            *namespace, key = self._names(entry.path)
            if isinstance(entry.value, Mapping):
                yield entry, tuple(namespace), key

    def _path(self, op: GetOp | PutOp) -> str:
        return self._joined((*op.namespace, str(op.key)))

    def _joined(self, labels: Sequence[str]) -> str:
        path = self.root.rstrip("/") + "".join(f"/{names.segment(label)}" for label in labels)
        if path.startswith("/sys/") or path == "/sys":
            # AgentFS has reserved it.
            path = "/%73ys" + path[4:]
        if len(path) > _MOST_CHARACTERS or path.count("/") > _MOST_SEGMENTS:
            raise ValueError(
                f"the namespace and key make a path of {len(path)} characters and {path.count('/')} segments; "
                f"AgentFS takes {_MOST_CHARACTERS} and {_MOST_SEGMENTS}: {path[:100]!r}"
            )
        return path or "/"

    def _names(self, path: str) -> tuple[str, ...]:
        below = path[len(self.root.rstrip("/")) :]
        return tuple(names.name(segment) for segment in below.split("/")[1:])


def _beginning(condition: MatchCondition) -> tuple[str, ...]:
    """The labels with which all namespaces begin that fit."""
    if condition.match_type != "prefix":
        return ()
    path = tuple(condition.path)
    return path[: path.index("*")] if "*" in path else path


def _matches(namespace: tuple[str, ...], condition: MatchCondition) -> bool:
    wanted: tuple[Any, ...] = tuple(condition.path)
    if len(wanted) > len(namespace):
        return False
    prefix = condition.match_type == "prefix"
    part = namespace[: len(wanted)] if prefix else namespace[len(namespace) - len(wanted) :]
    return all(want in ("*", label) for label, want in zip(part, wanted, strict=True))
