"""The filters of LangGraph's stores, on values that were read."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# The most members that AgentFS takes.
_MOST_OF_SERVER = 16
_KEY = re.compile(r"[\w.\- ]+")
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def checked(filters: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The filters, if all of their keys and operators are known."""
    for key, wanted in (filters or {}).items():
        if not _KEY.fullmatch(key):
            raise ValueError(f"Invalid filter key: {key!r}")
        for name in wanted if _has_operators(wanted) else ():
            if name not in ("$eq", "$ne", *_ORDER):
                raise ValueError(f"Unsupported operator: {name}")
    return filters or {}


def of_server(filters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Those of the filters that mean the same to AgentFS: it has not to send what does not fit them.

    They differ where a member has a dot in its name, is null or is not there, and where an object is to be part of another one.
    """
    same = {key: wanted for key, wanted in filters.items() if "." not in key and _is_plain(wanted)}
    return dict(list(same.items())[:_MOST_OF_SERVER])


def matches(value: Mapping[str, Any], filters: Mapping[str, Any]) -> bool:
    """Whether a value fits all of the filters."""
    return all(_fits(_at(value, key), wanted) for key, wanted in filters.items())


def _at(value: Mapping[str, Any], key: str) -> Any:
    """What a value has at a key; `a.b` is also the member b of the member a."""
    if key in value:
        return value[key]
    at: Any = value
    for name in key.split("."):
        at = at.get(name) if isinstance(at, Mapping) else None
    return at


def _fits(has: Any, wanted: Any) -> bool:
    if _has_operators(wanted):
        return all(_compared(has, name, than) for name, than in wanted.items())
    if isinstance(wanted, Mapping):
        return isinstance(has, Mapping) and all(
            _fits(has.get(name), than) for name, than in wanted.items()
        )
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return (
            isinstance(has, Sequence) and len(has) == len(wanted) and all(map(_fits, has, wanted))
        )
    return _equal(has, wanted)


def _is_plain(wanted: Any) -> bool:
    if _has_operators(wanted):
        return all(_is_scalar(than) for than in wanted.values())
    return _is_scalar(wanted)


def _is_scalar(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" not in value
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _has_operators(wanted: Any) -> bool:
    return isinstance(wanted, Mapping) and any(str(name).startswith("$") for name in wanted)


def _compared(has: Any, name: str, than: Any) -> bool:
    if name in ("$eq", "$ne"):
        return _fits(has, than) == (name == "$eq")
    alike = (_is_number(has) and _is_number(than)) or (
        isinstance(has, str) and isinstance(than, str)
    )
    return alike and _ORDER[name](has, than)


def _equal(has: Any, wanted: Any) -> bool:
    # In Python 1 == True; in JSON they are two.
    return isinstance(has, bool) == isinstance(wanted, bool) and bool(has == wanted)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
