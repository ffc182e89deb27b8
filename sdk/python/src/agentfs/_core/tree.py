"""Directories as people and models read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


def pattern_below(path: str) -> str:
    """The glob of all paths below a directory."""
    return literal(path.rstrip("/")) + "/**"


def literal(path: str) -> str:
    """The pattern that only this path matches."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", path)


def drawn(path: str, paths: Iterable[str], depth: int | None) -> str:
    """A drawing of the paths below a directory, directories with a slash, no deeper than `depth` levels."""
    root, above = _Directory(), path.rstrip("/") + "/"
    for each in paths:
        root.add(each.removeprefix(above).split("/"))
    return "\n".join([path, *_lines(root, depth)])


@dataclass
class _Directory:
    files: set[str] = field(default_factory=set)
    directories: dict[str, _Directory] = field(default_factory=dict)

    def add(self, segments: list[str]) -> None:
        *above, name = segments
        place = self
        for segment in above:
            place = place.directories.setdefault(segment, _Directory())
        place.files.add(name)


def _lines(place: _Directory, depth: int | None) -> Iterator[str]:
    if depth == 0:
        return
    below = None if depth is None else depth - 1
    # A path may hold a value and be a directory at once: it is drawn twice.
    files = [(name, None) for name in place.files]
    children = sorted(
        [*files, *place.directories.items()], key=lambda child: (child[0], child[1] is not None)
    )
    for index, (name, directory) in enumerate(children, start=1):
        last = index == len(children)
        branch = "└── " if last else "├── "
        if directory is None:
            yield branch + name
            continue
        yield f"{branch}{name}/"
        for line in _lines(directory, below):
            yield ("    " if last else "│   ") + line
