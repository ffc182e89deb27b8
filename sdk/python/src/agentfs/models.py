"""What the methods of a client return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "Agent",
    "Author",
    "Deleted",
    "Details",
    "Entry",
    "ListItem",
    "Match",
    "Moved",
    "SearchResult",
    "SearchResults",
    "Touched",
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
    """The version of the tombstone; of the first one in path order, if the delete was recursive."""
    created_at: datetime | None
    entries: int = 0
    """The number of entries that were deleted: 0 or 1, unless the delete was recursive."""
    note: str | None = None
    """A remark, if nothing was deleted and there are entries below the path."""


@dataclass(frozen=True)
class Moved:
    """The result of a move."""

    entries: int
    """The number of entries that were moved."""
    version_id: str
    """The new version of the first of them in path order. A read with it as `min_version` sees the whole move."""
    created_at: datetime


@dataclass(frozen=True)
class Touched:
    """The result of a touch. If there is no entry, or it has expired, `touched` is false and nothing was changed."""

    touched: bool
    version_id: str | None
    """The version of the entry, which stays the same."""
    expires_at: datetime | None
    """When the value expires now. None means never."""


@dataclass(frozen=True)
class Entry:
    """One version of the value at a path."""

    path: str
    value: Any
    """Any JSON. Numbers become int or float, so decimal fractions keep about 17 digits."""
    version_id: str
    created_at: datetime
    """When this version was written, in UTC. When the first one was, `list` with details says."""
    expires_at: datetime | None
    """When the value expires. None means never."""
    tags: tuple[str, ...]
    importance: float
    """From 0 to 1, for your own use."""
    searchable: bool
    """Whether search can find it."""
    size: int | None = field(default=None, kw_only=True)
    """The bytes of the value as JSON: of a text, with its quotes and escapes. None in a dump or search."""
    sha256: str | None = field(default=None, kw_only=True)
    """The SHA-256 of these bytes, for the `if_sha256` of a write. None in a dump or search."""


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
class Author:
    """The key that wrote a version."""

    key_id: str
    """The part of the key before the dot, which is no secret."""
    label: str | None
    """Its label now. None if there is no such key any more."""


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
    size: int | None = None
    """The bytes of the value as JSON. None where there is no value."""
    sha256: str | None = None
    """The SHA-256 of these bytes. None where there is no value."""
    author: Author | None = None
    """Who wrote it. None if it was written without a key, or before keys were kept."""


@dataclass(frozen=True)
class Details:
    """What a list says of an entry, without its value."""

    size: int
    """The bytes of the value as JSON: of a text, with its quotes and escapes."""
    version_id: str
    """The latest version."""
    created_at: datetime
    """When the entry was first written."""
    updated_at: datetime
    """When the latest version was written."""
    expires_at: datetime | None
    """When the value expires. None means never."""
    tags: tuple[str, ...]
    importance: float
    searchable: bool


@dataclass(frozen=True)
class ListItem:
    """An entry or a directory. A path that has a value and is a directory is listed twice."""

    path: str
    type: Literal["file", "dir"]
    details: Details | None = None
    """What is known of an entry, if the list was asked for it."""


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
