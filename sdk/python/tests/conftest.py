from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from agentfs import AgentFS
from both import Both
from server import Server, running


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def agent() -> str:
    """A name of its own for each test: none sees the memory of another."""
    return f"agent-{uuid.uuid4()}"


@pytest.fixture
def fs(server: Server, agent: str) -> Iterator[AgentFS]:
    with AgentFS(server.url, server.api_key, agent=agent) as fs:
        yield fs


@pytest.fixture(params=["sync", "async"])
def both(request: pytest.FixtureRequest, server: Server, agent: str) -> Iterator[Both]:
    """Each of the two clients."""
    both = Both(request.param, server, agent)
    yield both
    both.close()
