"""Claude's memory tool."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from agentfs import AgentFS, AsyncAgentFS
from agentfs.anthropic import AsyncMemoryTool, MemoryTool
from server import Server
from sources import Suite

SYMLINKS = "AgentFS has no symbolic links"
SUITE = Suite(
    "anthropic==2.14.0",
    "tests/lib/tools/memory_tools/test_filesystem.py",
    {
        "test_mkdir_parents_not_world_writable_under_permissive_umask": "AgentFS has no modes",
        "test_read_rejects_symlink_created_after_validation": SYMLINKS,
        "test_read_rejects_file_replaced_with_symlink_before_open": SYMLINKS,
        "test_view_rejects_directory_symlink_created_after_validation": SYMLINKS,
        "test_symlink_validation_reject_symlink_pointing_outside_memories": SYMLINKS,
        "test_view_lists_symlinks_only_when_they_stay_inside_memories": SYMLINKS,
        "test_symlink_validation_reject_creating_files_through_symlink_pointing_outside": SYMLINKS,
        "test_symlink_validation_reject_parent_directory_that_is_symlink_pointing_outside": SYMLINKS,
        "test_validate_path_returns_resolved_path_not_symlink_target": SYMLINKS,
    },
)
globals().update(SUITE.tests())


class Place:
    """A path of AgentFS where the tests expect one of the machine."""

    known: ClassVar[dict[str, Place]] = {}

    def __init__(self, fs: AgentFS, path: str) -> None:
        self.fs = fs
        self.path = path
        self.known[str(self)] = self

    def __str__(self) -> str:
        return f"{self.fs!r}{self.path}"

    def __truediv__(self, name: str) -> Place:
        return Place(self.fs, f"{self.path}/{name}")

    def mkdir(self, **_: Any) -> None:
        pass

    def is_dir(self) -> bool:
        return True

    def write_bytes(self, content: bytes) -> None:
        self.fs.put(self.path, content.decode())

    def read_bytes(self) -> bytes:
        return self.fs.files.read_text(self.path).encode()


class AsyncPlace(Place):
    async def is_dir(self) -> bool:  # type: ignore[override]
        return True


def snapshot(base: str) -> dict[str, str]:
    entries = Place.known[base].fs.dump("/memories")
    return {entry.path.removeprefix("/"): entry.value for entry in entries}


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SUITE.module, "get_directory_snapshot", snapshot)
    monkeypatch.setattr(SUITE.module, "Path", lambda of: Place.known.get(of) or Path(of))


@pytest.fixture
def sync_local_filesystem_tool(fs: AgentFS) -> MemoryTool:
    tool: Any = MemoryTool(fs)
    tool.base_path, tool.memory_root = Place(fs, ""), Place(fs, "/memories")
    return tool  # type: ignore[no-any-return]


@pytest.fixture
async def async_local_filesystem_tool(
    fs: AgentFS, server: Server
) -> AsyncIterator[AsyncMemoryTool]:
    agent = fs._memory.agent
    async with AsyncAgentFS(server.url, server.api_key, agent=agent) as client:
        tool: Any = AsyncMemoryTool(client)
        tool.base_path, tool.memory_root = Place(fs, ""), AsyncPlace(fs, "/memories")
        yield tool
