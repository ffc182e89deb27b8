"""Values as the bytes of files."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any


def to_bytes(value: Any) -> bytes:
    """A text as UTF-8, `{"encoding": "base64", "content": …}` as what it holds, and any other value as JSON."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and value.keys() == {"encoding", "content"}:
        try:
            if value["encoding"] == "base64":
                return base64.b64decode(value["content"], validate=True)
        except (TypeError, binascii.Error):
            # Then it is a value of its own that looks like this.
            pass
    return json.dumps(value, ensure_ascii=False).encode()


def from_bytes(content: bytes) -> Any:
    """The value for the bytes of a file: a text, if they are one that AgentFS takes."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" not in text:
        return text
    return {"encoding": "base64", "content": base64.b64encode(content).decode()}
