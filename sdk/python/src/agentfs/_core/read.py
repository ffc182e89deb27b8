"""Answers of the API as the objects that a client returns."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from ..models import (
    Agent,
    Author,
    Deleted,
    Details,
    Entry,
    ListItem,
    Moved,
    SearchResult,
    SearchResults,
    Touched,
    Version,
    Written,
)

if TYPE_CHECKING:
    from . import wire


def moment(text: str) -> datetime:
    """A moment of RFC 3339; Python 3.10 knows no Z."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def moment_or_none(text: str | None) -> datetime | None:
    """A moment, if there is one."""
    return None if text is None else moment(text)


def written(answer: wire.PutAnswer) -> Written:
    """The answer to a put."""
    return Written(answer["version_id"], moment(answer["created_at"]))


def deleted(answer: wire.DeleteAnswer) -> Deleted:
    """The answer to a delete."""
    at = moment_or_none(answer.get("created_at"))
    entries = answer.get("deleted_entries", int(answer["deleted"]))
    return Deleted(answer["deleted"], answer.get("version_id"), at, entries, answer.get("note"))


def moved(answer: wire.MoveAnswer) -> Moved:
    """The answer to a move."""
    # A move that moved nothing is an error, so that both are always there.
    version, at = cast("str", answer["version_id"]), cast("str", answer["created_at"])
    return Moved(answer["moved"], version, moment(at))


def touched(answer: wire.TouchAnswer) -> Touched:
    """The answer to a touch."""
    until = moment_or_none(answer.get("expires_at"))
    return Touched(answer["touched"], answer.get("version_id"), until)


def found(answer: wire.GetAnswer) -> Entry | None:
    """The answer to a get."""
    if not answer["found"]:
        return None
    got = entry(cast("wire.DumpedEntry", answer))
    return replace(got, size=answer.get("size"), sha256=answer.get("sha256"))


def entry(answer: wire.DumpedEntry) -> Entry:
    """An entry of a dump."""
    return Entry(path=answer["path"], **_shared(answer))


def search_results(answer: wire.SearchAnswer) -> SearchResults:
    """The answer to a search."""
    results = SearchResults(
        SearchResult(path=result["path"], similarity=result["similarity"], **_shared(result))
        for result in answer["results"]
    )
    results.note = answer.get("note")
    return results


def version(answer: wire.Version) -> Version:
    """A version of a history."""
    author = answer.get("author")
    return Version(
        deleted_at=moment_or_none(answer.get("deleted_at")),
        size=answer.get("size"),
        sha256=answer.get("sha256"),
        author=None if author is None else Author(author["key_id"], author.get("label")),
        **_shared(answer),
    )


def list_item(answer: wire.ListItem) -> ListItem:
    """An entry or a directory."""
    return ListItem(answer["path"], answer["type"], _details(answer))


def agent(answer: wire.Agent) -> Agent:
    """An agent of the tenant."""
    return Agent(answer["id"], answer["memory_count"])


def _details(answer: Any) -> Details | None:
    """They come together, or not at all."""
    if answer.get("version_id") is None:
        return None
    return Details(
        size=answer["size"],
        version_id=answer["version_id"],
        created_at=moment(answer["created_at"]),
        updated_at=moment(answer["updated_at"]),
        expires_at=moment_or_none(answer.get("expires_at")),
        tags=tuple(answer["tags"]),
        importance=answer["importance"],
        searchable=answer["searchable"],
    )


def _shared(answer: wire.DumpedEntry | wire.SearchResult | wire.Version) -> dict[str, Any]:
    return {
        "value": answer["value"],
        "version_id": answer["version_id"],
        "created_at": moment(answer["created_at"]),
        "expires_at": moment_or_none(answer.get("expires_at")),
        "tags": tuple(answer["tags"]),
        "importance": answer["importance"],
        "searchable": answer["searchable"],
    }
