"""What flows and drivers give each other."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Send:
    """A request, to be sent in `after` seconds."""

    route: str
    body: bytes
    idempotency_key: str | None = None
    after: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    """Those of the trace that it is part of."""


@dataclass(frozen=True)
class Reply:
    """The answer that came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class NoReply:
    """Why none came."""

    reason: Exception


Flow = Generator[Send, Reply | NoReply, T]
"""Yields requests, takes their replies, and returns a T."""


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some items, and the flow that gets those behind them."""

    items: Sequence[T]
    rest: Flow[Page[T]] | None


def gathered(pages: Flow[Page[T]]) -> Flow[list[T]]:
    """The items of all pages."""
    items: list[T] = []
    rest: Flow[Page[T]] | None = pages
    while rest is not None:
        page = yield from rest
        items.extend(page.items)
        rest = page.rest
    return items
