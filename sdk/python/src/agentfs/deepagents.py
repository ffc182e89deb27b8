"""The files of deepagents in AgentFS. Needs the extra `deepagents`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._core.extras import needs

with needs("deepagents"):
    from deepagents.backends.protocol import (
        BackendProtocol,
        DeleteResult,
        EditResult,
        FileData,
        FileDownloadResponse,
        FileInfo,
        FileUploadResponse,
        GlobResult,
        GrepResult,
        LsResult,
        ReadResult,
        WriteResult,
    )
    from deepagents.backends.utils import (
        InvalidGlobPatternError,
        compile_grep_include_glob,
        grep_matches_from_files,
        perform_string_replacement,
        slice_read_response,
        validate_path,
    )

from ._core import many
from ._core.content import from_bytes, to_bytes
from ._core.files import TextFiles
from .errors import REFUSALS, NotFound, NotText
from .models import Entry, ListItem

if TYPE_CHECKING:
    from ._sync.client import AgentFS

__all__ = ["AgentFSBackend"]

# The deepest that a path can be.
_ALL_LEVELS = 64


class AgentFSBackend(BackendProtocol):
    """A file is an entry of an agent, as a text; what is no text is kept as base64.

    Every version of the files is kept, edits are safe with other writers, and a delete of a directory happens at one moment.
    """

    def __init__(self, fs: AgentFS, *, root: str = "/", searchable: bool = False) -> None:
        """`fs` is a client that is bound to an agent. The files are those below `root`.

        With `searchable`, `AgentFS.search` finds the files that are written.
        """
        self._fs = fs
        self._root = root.rstrip("/")
        self._searchable = searchable

    def ls(self, path: str) -> LsResult:
        """Lists a directory."""
        try:
            items = list(self._fs.list(self._place(path) or "/", details=True))
        except (*REFUSALS, ValueError) as refused:
            return LsResult(error=_said(refused))
        return LsResult(entries=[self._info(item) for item in items])

    def read(self, file_path: str, offset: int = 0, limit: int = 2000) -> ReadResult:
        """Reads lines of a file."""
        try:
            entry = self._fs.get(self._place(file_path))
        except (*REFUSALS, ValueError) as refused:
            return ReadResult(error=_said(refused))
        if entry is None:
            return ReadResult(error=f"File '{file_path}' not found")
        data = _data(entry)
        if data["encoding"] == "base64":
            return ReadResult(file_data=data)
        return slice_read_response(data, offset, limit)

    def write(self, file_path: str, content: str) -> WriteResult:
        """Writes a file, whether or not there is one."""
        try:
            self._fs.put(self._place(file_path), content, searchable=self._searchable)
        except (*REFUSALS, ValueError) as refused:
            return WriteResult(error=_said(refused))
        return WriteResult(path=file_path)

    def edit(
        self, file_path: str, old_string: str, new_string: str, replace_all: bool = False
    ) -> EditResult:
        """Replaces a text in a file. Other writers cannot come between."""
        made = 0

        def replace(now: str) -> str:
            nonlocal made
            result = perform_string_replacement(now, old_string, new_string, replace_all)
            if isinstance(result, str):
                raise _Refused(result)
            after, made = result
            return after

        try:
            change = TextFiles(self._fs._memory).change(self._place(file_path), replace, None)
            self._fs._driver.run(change)
        except NotFound:
            return EditResult(error=f"Error: File '{file_path}' not found")
        except NotText:
            return EditResult(error="Error: Cannot edit binary files with text replacements.")
        except _Refused as refused:
            return EditResult(error=str(refused))
        except (*REFUSALS, ValueError) as refused:
            return EditResult(error=_said(refused))
        return EditResult(path=file_path, occurrences=made)

    def delete(self, file_path: str) -> DeleteResult:
        """Deletes a file or directory, with everything in it."""
        try:
            if self._fs.delete(self._place(file_path), recursive=True).deleted:
                return DeleteResult(path=file_path)
        except (*REFUSALS, ValueError) as refused:
            return DeleteResult(error=_said(refused))
        return DeleteResult(error=f"Error: File '{file_path}' not found")

    def grep(
        self,
        pattern: str,
        path: str | None = None,
        glob: str | None = None,
        *,
        max_count: int | None = None,
    ) -> GrepResult:
        """Finds a literal text in files."""
        try:
            entries = self._fs.dump(self._place(path or "/") or None)
            files = {self._path(entry.path): _data(entry) for entry in entries}
        except (*REFUSALS, ValueError) as refused:
            return GrepResult(error=_said(refused))
        return grep_matches_from_files(files, pattern, path, glob, max_count=max_count)

    def glob(self, pattern: str, path: str | None = None) -> GlobResult:
        """Finds files by their paths."""
        try:
            matches = compile_grep_include_glob(pattern)
            place = self._place(path or "/")
            items = list(self._fs.list(place or "/", depth=_ALL_LEVELS, details=True))
        except InvalidGlobPatternError as refused:
            return GlobResult(error=str(refused))
        except (*REFUSALS, ValueError) as refused:
            return GlobResult(error=_said(refused))
        return GlobResult(
            matches=[
                self._info(item)
                for item in items
                if item.type == "file" and matches(item.path[len(place) + 1 :])
            ]
        )

    def upload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        """Writes files."""
        return [FileUploadResponse(path, self._upload(path, content)) for path, content in files]

    def download_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        """Reads files whole."""
        places: dict[str, str] = {}
        invalid: dict[str, str] = {}
        for path in paths:
            try:
                places[path] = self._place(path)
            except ValueError:
                invalid[path] = "invalid_path"
        read = many.entries(self._fs._memory, list(dict.fromkeys(places.values())), None)
        found = {entry.path: to_bytes(entry.value) for entry in self._fs._driver.run(read)}
        return [
            FileDownloadResponse(path, content=found[places[path]])
            if places.get(path) in found
            else FileDownloadResponse(path, error=invalid.get(path, "file_not_found"))
            for path in paths
        ]

    def _upload(self, path: str, content: bytes) -> str | None:
        try:
            self._fs.put(self._place(path), from_bytes(content), searchable=self._searchable)
        except ValueError:
            return "invalid_path"
        except REFUSALS as refused:
            return "invalid_path" if refused.code == "INVALID_PATH" else refused.message
        return None

    def _place(self, path: str) -> str:
        """The path of a file in AgentFS; that of the whole is empty where everything is in it."""
        return (self._root + validate_path(path)).rstrip("/")

    def _path(self, place: str) -> str:
        return place[len(self._root) :]

    def _info(self, item: ListItem) -> FileInfo:
        path, details = self._path(item.path), item.details
        if item.type == "dir" or details is None:
            return {"path": f"{path}/", "is_dir": True, "size": 0, "modified_at": ""}
        at = details.updated_at.isoformat()
        return {"path": path, "is_dir": False, "size": details.size, "modified_at": at}


class _Refused(Exception):
    """An edit that does not fit, in the words of deepagents."""


def _said(refused: Exception) -> str:
    return f"Error: {getattr(refused, 'message', refused)}"


def _data(entry: Entry) -> FileData:
    at, value = entry.created_at.isoformat(), entry.value
    content, encoding = _content(value)
    return {"content": content, "encoding": encoding, "created_at": at, "modified_at": at}


def _content(value: Any) -> tuple[str, str]:
    if isinstance(value, dict) and value.get("encoding") == "base64":
        return str(value.get("content", "")), "base64"
    return to_bytes(value).decode(), "utf-8"
