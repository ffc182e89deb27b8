"""Our stores with what the tests of other stores call besides."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from agentfs import AgentFS, AsyncAgentFS
from agentfs.langgraph import AgentFSStore, AsyncAgentFSStore
from server import Server

# That of the suites: 6 seconds.
TTL_MINUTES = 0.1

VECTORS = "it computes its own vectors, and the vectors of AgentFS are computed by the server"
INTERNALS = "it tests the inside of another store"
# Of both suites of PostgreSQL.
EXPIRED = dict.fromkeys(
    [
        "test_omit_expired_filters_read_paths",
        "test_omit_expired_disabled_preserves_expired_rows",
        "test_omit_expired_refresh_ttl_only_refreshes_live_rows",
        "test_omit_expired_search_pagination",
    ],
    "it expires a row of PostgreSQL by hand",
)


class Store(AgentFSStore):
    def setup(self) -> None:
        """AgentFS needs none."""


class AsyncStore(AsyncAgentFSStore):
    async def setup(self) -> None:
        """AgentFS needs none."""

    async def start_ttl_sweeper(self) -> None:
        """AgentFS needs none: what has expired is not there."""


@contextmanager
def store_of(server: Server) -> Iterator[Store]:
    with AgentFS(server.url, server.api_key, agent=f"agent-{uuid.uuid4()}") as fs:
        yield Store(fs, ttl={"default_ttl": TTL_MINUTES, "refresh_on_read": True})


@asynccontextmanager
async def async_store_of(server: Server) -> AsyncIterator[AsyncStore]:
    agent = f"agent-{uuid.uuid4()}"
    async with AsyncAgentFS(server.url, server.api_key, agent=agent) as fs:
        yield AsyncStore(fs, ttl={"default_ttl": TTL_MINUTES, "refresh_on_read": True})
