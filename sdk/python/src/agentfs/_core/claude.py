"""The commands of Claude's memory tool as flows. What they answer is word for word what the tool of Anthropic's SDK answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from anthropic.tools import ToolError

from ..errors import REFUSALS, DestinationExists, NotFound, NotText, VersionConflict
from ..models import ListItem
from ..operations import Delete, Get, Put
from .files import TextFiles
from .flow import Flow, gathered
from .memory import Memory

T = TypeVar("T")

ROOT = "/memories"
_MOST_LINES = 999_999
_WIDTH = len(str(_MOST_LINES))
# Of a listing, in levels.
_DEPTH = 2


@dataclass(frozen=True)
class ClaudeMemory:
    """Carries out commands on the files below /memories."""

    memory: Memory
    searchable: bool

    def view(self, path: str, lines: Sequence[int] | None) -> Flow[str]:
        """Shows a file with the numbers of its lines, or a directory."""
        return _told(self._view(path, lines))

    def create(self, path: str, text: str) -> Flow[str]:
        """Writes a new file."""
        return _told(self._create(path, text))

    def str_replace(self, path: str, old: str, new: str) -> Flow[str]:
        """Replaces the one place that has a text."""
        changed = ""

        def replace(now: str) -> str:
            nonlocal changed
            at = _only_place(path, now, old)
            after = now[:at] + new + now[at + len(old) :]
            changed = _around(after, now.count("\n", 0, at))
            return after

        def flow() -> Flow[str]:
            yield from self._files.change(_place(path), replace, None)
            return (
                "The memory file has been edited. Here is the snippet showing the change (with line numbers):\n"
                + changed
            )

        return _told(self._of_file(path, flow()))

    def insert(self, path: str, line: int, new: str) -> Flow[str]:
        """Inserts lines after a line."""

        def insert(now: str) -> str:
            lines = now.removesuffix("\n").split("\n") if now else []
            if not 0 <= line <= len(lines):
                raise ToolError(
                    f"Invalid `insert_line` parameter: {line}. "
                    f"It should be within the range [0, {len(lines)}]."
                )
            lines.insert(line, new.rstrip("\n"))
            after = "\n".join(lines)
            return after if after.endswith("\n") else after + "\n"

        def flow() -> Flow[str]:
            yield from self._files.change(_place(path), insert, None)
            return f"The file {path} has been edited."

        return _told(self._of_file(path, flow()))

    def delete(self, path: str) -> Flow[str]:
        """Deletes a file or a directory."""
        return _told(self._delete(path))

    def rename(self, old: str, new: str) -> Flow[str]:
        """Moves a file or a directory."""
        return _told(self._rename(old, new))

    def clear(self) -> Flow[str]:
        """Deletes all of them."""
        yield from self.memory.delete(Delete(ROOT), recursive=True)
        return "All memory cleared"

    @property
    def _files(self) -> TextFiles:
        return TextFiles(self.memory)

    def _view(self, path: str, lines: Sequence[int] | None) -> Flow[str]:
        place = _place(path)
        entry = yield from self.memory.get(Get(place))
        if entry is None:
            below = yield from self._children(place, depth=_DEPTH)
            if not below and place != ROOT:
                raise _missing(path)
            return _listing(path, place, below)
        if not isinstance(entry.value, str):
            raise ToolError(f"Unsupported file type for {path}")
        return _numbered(path, entry.value, lines)

    def _create(self, path: str, text: str) -> Flow[str]:
        place = _place(path)
        if (yield from self._is_directory(place)):
            raise ToolError(f"File {path} already exists")
        put = Put(place, text, searchable=self.searchable, if_version=None)
        try:
            yield from self.memory.put(put)
        except VersionConflict as conflict:
            raise ToolError(f"File {path} already exists") from conflict
        return f"File created successfully at: {path}"

    def _delete(self, path: str) -> Flow[str]:
        place = _place(path)
        if place == ROOT:
            raise ToolError(f"Cannot delete the {ROOT} directory itself")
        deleted = yield from self.memory.delete(Delete(place), recursive=True)
        if not deleted.deleted:
            raise ToolError(f"The path {path} does not exist")
        return f"Successfully deleted {path}"

    def _rename(self, old: str, new: str) -> Flow[str]:
        source, target = _place(old), _place(new)
        if source == ROOT:
            raise ToolError(f"Cannot rename the {ROOT} directory itself")
        if target in (ROOT, source):
            raise ToolError(f"The destination {new} already exists")
        move = self.memory.move(source, target, overwrite=False, idempotency_key=None, agent=None)
        try:
            yield from move
        except DestinationExists as conflict:
            raise ToolError(f"The destination {new} already exists") from conflict
        except NotFound as missing:
            raise ToolError(f"The path {old} does not exist") from missing
        return f"Successfully renamed {old} to {new}"

    def _of_file(self, path: str, change: Flow[str]) -> Flow[str]:
        try:
            return (yield from change)
        except NotFound as missing:
            if (yield from self._is_directory(_place(path))):
                raise ToolError(f"The path {path} is not a file.") from missing
            raise _missing(path) from missing
        except NotText as other:
            raise ToolError(f"Unsupported file type for {path}") from other

    def _is_directory(self, place: str) -> Flow[bool]:
        if place == ROOT:
            return True
        page = yield from self.memory.list(place, limit=1)
        return bool(page.items)

    def _children(self, place: str, *, depth: int) -> Flow[list[ListItem]]:
        return (yield from gathered(self.memory.list(place, depth=depth, details=True)))


def _told(flow: Flow[T]) -> Flow[T]:
    """What the model can mend, it is told. What is wrong with the server is for the program that uses the tool."""
    try:
        return (yield from flow)
    except REFUSALS as refused:
        raise ToolError(refused.message) from refused


def _place(path: str) -> str:
    """The path of a file in AgentFS. `.` and `..` are resolved, but do not lead out of /memories."""
    if path != ROOT and not path.startswith(f"{ROOT}/"):
        raise ToolError(f"Path must start with {ROOT}, got: {path}")
    segments: list[str] = []
    for segment in path.split("/")[2:]:
        if segment == "..":
            if not segments:
                raise ToolError(f"Path {path} would escape {ROOT} directory")
            segments.pop()
        elif segment not in ("", "."):
            segments.append(segment)
    return "/".join([ROOT, *segments])


def _missing(path: str) -> ToolError:
    return ToolError(f"The path {path} does not exist. Please provide a valid path.")


def _only_place(path: str, text: str, old: str) -> int:
    count = text.count(old)
    if count == 0:
        raise ToolError(
            f"No replacement was performed, old_str `{old}` did not appear verbatim in {path}."
        )
    if count > 1:
        lines, at = [], text.find(old)
        while at >= 0:
            lines.append(text.count("\n", 0, at) + 1)
            at = text.find(old, at + 1)
        raise ToolError(
            f"No replacement was performed. Multiple occurrences of old_str `{old}` in lines: "
            f"{', '.join(map(str, lines))}. Please ensure it is unique"
        )
    return text.find(old)


def _around(text: str, line: int) -> str:
    """The lines around a line, which counts from 0."""
    first = max(0, line - 2)
    return _with_numbers(text.split("\n")[first : line + 3], first + 1)


def _numbered(path: str, text: str, wanted: Sequence[int] | None) -> str:
    lines, first = text.split("\n"), 1
    if len(lines) > _MOST_LINES:
        raise ToolError(f"File {path} exceeds maximum line limit of {_MOST_LINES:,} lines.")
    if wanted and len(wanted) == 2:
        first = max(1, wanted[0])
        lines = lines[first - 1 : len(lines) if wanted[1] == -1 else wanted[1]]
    return f"Here's the content of {path} with line numbers:\n" + _with_numbers(lines, first)


def _with_numbers(lines: Sequence[str], first: int) -> str:
    return "\n".join(f"{number:>{_WIDTH}}\t{line}" for number, line in enumerate(lines, first))


def _listing(path: str, place: str, below: Sequence[ListItem]) -> str:
    """A directory as the tool shows it. The size of a directory is that of the files which are shown in it."""
    sizes: dict[tuple[str, ...], int] = {(): 0}
    for item in below:
        names = tuple(item.path[len(place) + 1 :].split("/"))
        if any(name.startswith(".") for name in names):
            continue
        if item.type == "dir":
            sizes.setdefault((*names, ""), 0)
            continue
        # Without the quotes of the JSON string.
        sizes[names] = max(0, item.details.size - 2) if item.details else 0
        for level in range(len(names)):
            directory = (*names[:level], "") if level else ()
            sizes[directory] = sizes.get(directory, 0) + sizes[names]
    above = path.rstrip("/")
    shown = "\n".join(
        f"{_size(size)}\t{'/'.join((above, *names)) if names else path}"
        for names, size in sorted(sizes.items())
    )
    return (
        f"Here're the files and directories up to {_DEPTH} levels deep in {path}, excluding hidden items:\n"
        + shown
    )


def _size(of: int) -> str:
    unit = min((of.bit_length() - 1) // 10, 3) if of else 0
    size = of / 1024**unit
    return f"{size:.0f}{'BKMG'[unit]}" if size == int(size) else f"{size:.1f}{'BKMG'[unit]}"
