"""Changes of texts, and what is found in them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..errors import EditRefused

_LINE = re.compile(r"[^\n]*\n|[^\n]+")


def replaced(path: str, text: str, old: str, new: str, *, every: bool) -> str:
    """The text with `new` for the one `old` in it, or for every one."""
    if not old:
        raise EditRefused("the text to replace is empty; use insert to add lines")
    lines = _lines_of(old, text)
    if not lines:
        raise EditRefused(f"{path} does not contain the text to replace, {_short(old)}")
    if len(lines) > 1 and not every:
        where = ", ".join(map(str, lines))
        raise EditRefused(
            f"{path} contains {_short(old)} {len(lines)} times, on lines {where}; "
            "include more of the text around the one that you mean, or pass replace_all=True",
            lines,
        )
    return text.replace(old, new)


def inserted(path: str, text: str, line: int, new: str) -> str:
    """The text with the lines of `new` behind its line `line`; 0 is its beginning."""
    lines = _LINE.findall(text)
    if not 0 <= line <= len(lines):
        raise EditRefused(f"cannot insert after line {line}: {path} has {len(lines)} lines")
    before, behind = "".join(lines[:line]), "".join(lines[line:])
    return _ended(before) + _ended(new) + behind


def matches(text: str, pattern: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    """The lines in which the pattern is found, with their numbers from 1."""
    for number, line in enumerate(_LINE.findall(text), start=1):
        line = line.removesuffix("\n")
        if pattern.search(line):
            yield number, line


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def _lines_of(part: str, text: str) -> list[int]:
    lines, line, behind = [], 1, 0
    at = text.find(part)
    while at >= 0:
        line += text.count("\n", behind, at)
        lines.append(line)
        line += part.count("\n")
        behind = at + len(part)
        at = text.find(part, behind)
    return lines


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
