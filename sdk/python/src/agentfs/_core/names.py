"""Names of others as segments of a path."""

from __future__ import annotations

import re
import uuid
from urllib.parse import unquote

_UNSAFE = re.compile(r"[/%\x00-\x1f\x7f]")


def segment(name: str) -> str:
    """A name as one segment of a path: what a path cannot have, or would take for more, is percent-encoded."""
    if not name:
        raise ValueError("a name in a path must not be empty")
    if name in (".", ".."):
        return "%2E" * len(name)
    return _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", name)


def name(of: str) -> str:
    """The name that a segment stands for."""
    return unquote(of)


def unique() -> str:
    """A name that no other program makes."""
    return uuid.uuid4().hex[:12]
