"""The memory of agents as a file system of fsspec, `agentfs://agent/path`. Needs the extra `fsspec`."""

from __future__ import annotations

import errno
import os
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ._core.extras import needs

with needs("fsspec"):
    from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from ._core import many
from ._core.content import from_bytes, to_bytes
from ._sync.client import AgentFS
from .errors import InvalidRequest, TooLarge, VersionConflict
from .models import Entry, ListItem
from .operations import UNCONDITIONAL

if TYPE_CHECKING:
    from .operations import Condition

__all__ = ["AgentFSFileSystem"]

# The deepest that a path can be.
_ALL_LEVELS = 64


class AgentFSFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """A file is an entry. Its content is the text that the value is, or the value as JSON.

    What is written is a text where it is UTF-8, and base64 in a JSON object otherwise. A file has at most 1 MiB, unless
    the server's MAX_BODY_BYTES says otherwise. There are no empty directories. A listing reads the files, to say their sizes.
    """

    protocol = "agentfs"
    root_marker = ""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        client: AgentFS | None = None,
        **storage_options: Any,
    ) -> None:
        """`url` and `api_key` default to AGENTFS_URL and AGENTFS_API_KEY; `client` is used instead of them."""
        super().__init__(**storage_options)
        self._fs = client or AgentFS(url, api_key)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """Lists a directory; a file lists itself. Without an agent, lists the agents."""
        path = self._strip_protocol(path)
        agent, place = _split(path)
        if not agent:
            found = [_directory(each.id) for each in self._fs.agents()]
        elif items := list(self._fs.list(place, agent=agent)):
            found = self._infos(items, agent, detail)
        else:
            found = [] if place == "/" else [self._info_of_file(path)]
        return found if detail else [each["name"] for each in found]

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Lists all files below a path."""
        path = self._strip_protocol(path)
        agent, place = _split(path)
        if not agent or (maxdepth is not None and maxdepth < 1):
            return super().find(path, maxdepth, withdirs, detail, **kwargs)
        depth = min(maxdepth or _ALL_LEVELS, _ALL_LEVELS)
        items = list(self._fs.list(place, depth=depth, agent=agent))
        found = [_directory(path)] if items else []
        found += self._infos(items, agent, detail)
        if not items and self.isfile(path):
            found = [self._info_of_file(path)]
        named = {each["name"]: each for each in found if withdirs or each["type"] == "file"}
        return dict(sorted(named.items())) if detail else sorted(named)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Describes a file or directory."""
        path = self._strip_protocol(path)
        agent, place = _split(path)
        if place == "/":
            return _directory(path)
        entry = self._get(agent, place)
        if entry is not None:
            return _file(path, entry)
        if any(self._fs.list(place, limit=1, agent=agent)):
            return _directory(path)
        raise _not_found(path)

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        """Reads a file, or a part of it."""
        return self._read(self._strip_protocol(path))[start:end]

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        """Writes a file; with the mode "create", only if there is none."""
        condition = None if mode == "create" else UNCONDITIONAL
        self._write(self._strip_protocol(path), value, condition)

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """Copies a file, with its tags and options, or nothing for a directory."""
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        source = self._get(*_split(path1))
        if source is None:
            if not self.isdir(path1):
                raise _not_found(path1)
            return
        agent, place = _split(path2)
        self._fs.put(
            place,
            source.value,
            searchable=source.searchable,
            tags=source.tags,
            importance=source.importance,
            agent=agent,
        )

    def mv(
        self,
        path1: str,
        path2: str,
        recursive: bool = False,
        maxdepth: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Moves a file or directory; at one moment, if the destination does not exist."""
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        (agent, place), (to_agent, to) = _split(source), _split(target)
        one = "/" not in (place, to) and not path2.endswith("/") and not set("*?[") & set(source)
        whole = maxdepth is None and (recursive or self.isfile(source))
        if one and whole and agent == to_agent and not self.exists(target):
            self._fs.move(place, to, agent=agent)
        else:
            super().mv(path1, path2, recursive=recursive, maxdepth=maxdepth, **kwargs)

    def rm_file(self, path: str) -> None:
        """Deletes a file."""
        path = self._strip_protocol(path)
        agent, place = _split(path)
        if place == "/" or not self._fs.delete(place, agent=agent).deleted:
            raise _not_found(path)

    def rm(
        self, path: str | list[str], recursive: bool = False, maxdepth: int | None = None
    ) -> None:
        """Deletes files; with `recursive`, directories with all that is in them."""
        if not recursive or maxdepth is not None:
            files = self.expand_path(path, recursive=recursive, maxdepth=maxdepth)
            for each in files:
                if not recursive or self.isfile(each):
                    self.rm_file(each)
            return
        for each in self.expand_path(path):
            agent, place = _split(each)
            if place == "/":
                for item in list(self._fs.list(agent=agent)):
                    self._fs.delete(item.path, recursive=True, agent=agent)
            elif not self._fs.delete(place, recursive=True, agent=agent).deleted:
                raise _not_found(each)

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Does nothing: a directory is there while something is in it."""

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Does nothing, as `mkdir`."""

    def rmdir(self, path: str) -> None:
        """Does nothing, unless something is in the directory."""
        if self.isdir(path) and self.ls(path, detail=False):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)

    def created(self, path: str) -> datetime:
        """When the latest version of a file was written."""
        return self.modified(path)

    def modified(self, path: str) -> datetime:
        """When the latest version of a file was written."""
        at: datetime = self._info_of_file(self._strip_protocol(path))["mtime"]
        return at

    def _open(self, path: str, mode: str = "rb", autocommit: bool = True, **_: Any) -> AgentFSFile:
        path = self._strip_protocol(path)
        if mode == "xb" and self.isfile(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        content = self._read(path) if mode == "rb" else b""
        return AgentFSFile(self, path, mode, content, autocommit)

    def _read(self, path: str) -> bytes:
        entry = self._get(*_split(path))
        if entry is None:
            if self.isdir(path):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            raise _not_found(path)
        return to_bytes(entry.value)

    def _write(self, path: str, content: bytes, condition: Condition) -> None:
        agent, place = _split(path)
        if place == "/":
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        try:
            self._fs.put(place, from_bytes(content), if_version=condition, agent=agent)
        except VersionConflict as conflict:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from conflict
        except TooLarge as large:
            raise OSError(errno.EFBIG, large.message, path) from large

    def _append(self, path: str, content: bytes) -> None:
        agent, place = _split(path)
        while True:
            entry = self._get(agent, place)
            before = b"" if entry is None else to_bytes(entry.value)
            try:
                self._write(path, before + content, None if entry is None else entry.version_id)
            except FileExistsError:
                # Someone else has written: append to that.
                continue
            return

    def _get(self, agent: str, place: str) -> Entry | None:
        if not agent or place == "/":
            return None
        try:
            return self._fs.get(place, agent=agent)
        except InvalidRequest as invalid:
            raise FileNotFoundError(errno.ENOENT, invalid.message, agent + place) from invalid

    def _info_of_file(self, path: str) -> dict[str, Any]:
        entry = self._get(*_split(path))
        if entry is None:
            raise _not_found(path)
        return _file(path, entry)

    def _infos(self, items: list[ListItem], agent: str, detail: bool) -> list[dict[str, Any]]:
        """What is said of each; the sizes of files are those of their contents, which are read for that."""
        files = [item.path for item in items if item.type == "file"] if detail else []
        read = self._fs._driver.run(many.entries(self._fs._memory, files, agent))
        entries = {entry.path: entry for entry in read}
        return [
            _directory(agent + item.path)
            if item.type == "dir"
            else _file(agent + item.path, entries.get(item.path))
            for item in items
            # What was deleted meanwhile is not there.
            if item.type == "dir" or not detail or item.path in entries
        ]


class AgentFSFile(AbstractBufferedFile):  # type: ignore[misc]
    """An open file. It is read when it is opened, and written when it is closed."""

    def __init__(
        self, fs: AgentFSFileSystem, path: str, mode: str, content: bytes, autocommit: bool
    ) -> None:
        self._content = content
        super().__init__(
            fs, path, mode, autocommit=autocommit, cache_type="none", size=len(content)
        )

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self._content[start:end]

    def _initiate_upload(self) -> None:
        """A file is one request."""

    def _upload_chunk(self, final: bool = False) -> bool:
        if final and self.autocommit:
            self.commit()
        return final

    def commit(self) -> None:
        """Writes the file."""
        content = self.buffer.getvalue()
        if self.mode == "ab":
            self.fs._append(self.path, content)
        else:
            self.fs.pipe_file(
                self.path, content, mode="create" if self.mode == "xb" else "overwrite"
            )

    def discard(self) -> None:
        """Nothing was written yet."""


def _split(path: str) -> tuple[str, str]:
    agent, _, place = path.partition("/")
    return agent, "/" + place


def _directory(path: str) -> dict[str, Any]:
    return {"name": path, "size": 0, "type": "directory"}


def _file(path: str, entry: Entry | None) -> dict[str, Any]:
    if entry is None:
        return {"name": path, "size": None, "type": "file"}
    return {
        "name": path,
        "size": len(to_bytes(entry.value)),
        "type": "file",
        "mtime": entry.created_at,
        "version_id": entry.version_id,
    }


def _not_found(path: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
