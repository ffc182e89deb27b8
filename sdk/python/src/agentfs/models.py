"""What the methods of a client return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "Agent",
    "Deleted",
    "Entry",
    "ListItem",
    "Match",
    "SearchResult",
    "SearchResults",
    "Version",
    "Written",
]


@dataclass(frozen=True)
class Written:
    """The result of a put. It is committed, on disk."""

    version_id: str
    """The new version, for the `if_version` of the next put."""
    created_at: datetime


@dataclass(frozen=True)
class Deleted:
    """The result of a delete. If there was no value, `deleted` is false and nothing was written."""

    deleted: bool
    version_id: str | None
    """The version of the tombstone."""
    created_at: datetime | None


@dataclass(frozen=True)
class Entry:
    """One version of the value at a path."""

    path: str
    value: Any
    """Any JSON. Numbers become int or float, so decimal fractions keep about 17 digits."""
    version_id: str
    created_at: datetime
    """When this version was written, in UTC."""
    expires_at: datetime | None
    """When the value expires. None means never."""
    tags: tuple[str, ...]
    importance: float
    """From 0 to 1, for your own use."""
    searchable: bool
    """Whether search can find it."""


@dataclass(frozen=True)
class SearchResult(Entry):
    """An entry found by a search."""

    similarity: float
    """From 0 to 1. What counts as high depends on the mode and the model."""


class SearchResults(list[SearchResult]):
    """The entries found by a search, best first."""

    note: str | None = None
    """A remark of the server on how it searched, or why it found nothing."""


@dataclass(frozen=True)
class Version:
    """One version of an entry. A tombstone or an expired version has the value None, and `deleted_at`."""

    version_id: str
    value: Any
    created_at: datetime
    expires_at: datetime | None
    deleted_at: datetime | None
    """When the value was deleted or expired."""
    tags: tuple[str, ...]
    importance: float
    searchable: bool


@dataclass(frozen=True)
class ListItem:
    """A child of a directory. A path that has a value and is a directory is listed twice."""

    path: str
    type: Literal["file", "dir"]


@dataclass(frozen=True)
class Agent:
    """An agent with at least one entry."""

    id: str
    memory_count: int
    """The number of its live entries."""


@dataclass(frozen=True)
class Match:
    """A line found by grep."""

    path: str
    line: int
    """The line number, from 1."""
    text: str
