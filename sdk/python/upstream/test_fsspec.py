"""fsspec.tests.abstract"""

from __future__ import annotations

import uuid

import fsspec.tests.abstract as abstract
import pytest

from agentfs.fsspec import AgentFSFileSystem
from server import Server


class OnAgentFS(abstract.AbstractFixtures):
    @pytest.fixture
    def fs(self, server: Server) -> AgentFSFileSystem:
        return AgentFSFileSystem(server.url, server.api_key)

    @pytest.fixture
    def fs_path(self) -> str:
        return f"agent-{uuid.uuid4()}/files"

    @pytest.fixture
    def fs_join(self):  # type: ignore[no-untyped-def]
        return lambda *parts: "/".join(parts)

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


class TestCopy(abstract.AbstractCopyTests, OnAgentFS):
    pass


class TestGet(abstract.AbstractGetTests, OnAgentFS):
    pass


class TestPut(abstract.AbstractPutTests, OnAgentFS):
    pass


class TestOpen(abstract.AbstractOpenTests, OnAgentFS):
    pass


class TestPipe(abstract.AbstractPipeTests, OnAgentFS):
    pass
