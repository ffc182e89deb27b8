"""The operations of a batch. Clients also build single gets, puts and deletes from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["UNCONDITIONAL", "Condition", "Delete", "Get", "Put", "Unconditional"]


class Unconditional:
    """The type of `UNCONDITIONAL`. It is not None, since None means that the entry must not exist."""

    def __repr__(self) -> str:
        return "UNCONDITIONAL"


UNCONDITIONAL = Unconditional()
"""Write, whatever the latest version is."""

Condition: TypeAlias = "str | Unconditional | None"
"""The version or SHA-256 that a write expects, None for no entry, or `UNCONDITIONAL`."""


@dataclass(frozen=True)
class Get:
    """Reads the value at a path. The result is an `Entry`, or None if there is no value."""

    path: str
    min_version: str | None = None
    """A version that the read must see, if it goes to a read replica."""
    agent: str | None = None
    """The agent. Defaults to that of the batch."""


@dataclass(frozen=True)
class Put:
    """Writes a value with its tags and options. The result is a `Written`."""

    path: str
    value: Any
    """Anything that `json.dumps` accepts, except NaN and infinities."""
    searchable: bool = False
    """Whether search can find it."""
    tags: Iterable[str] = ()
    """At most 20 tags of at most 64 characters."""
    importance: float = 0.0
    """From 0 to 1, for your own use."""
    ttl_seconds: int | None = None
    """Seconds until the value expires, in history too. None means never."""
    if_version: Condition = UNCONDITIONAL
    """Write only if this is the latest version; None: only if there is no entry."""
    if_sha256: Condition = UNCONDITIONAL
    """Write only if the latest value has this `sha256`, in whatever version. Give this or `if_version`."""
    idempotency_key: str | None = None
    """Makes repetitions of the same request safe for 24 hours. Defaults to a new one for each call."""
    agent: str | None = None
    """The agent. Defaults to that of the batch."""


@dataclass(frozen=True)
class Delete:
    """Deletes the value at a path and keeps its history. The result is a `Deleted`."""

    path: str
    if_version: Condition = UNCONDITIONAL
    """Delete only if this is the latest version."""
    if_sha256: Condition = UNCONDITIONAL
    """Delete only if the latest value has this `sha256`. Give this or `if_version`."""
    idempotency_key: str | None = None
    """As in `Put`."""
    agent: str | None = None
    """The agent. Defaults to that of the batch."""
