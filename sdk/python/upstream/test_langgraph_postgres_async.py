"""LangGraph's store for asyncio, held to the tests of the one in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from server import Server
from sources import Suite
from stores import EXPIRED, INTERNALS, VECTORS, AsyncStore, async_store_of

SUITE = Suite(
    "langgraph-checkpoint-postgres==3.2.0",
    "tests/test_async_store.py",
    {
        **EXPIRED,
        "test_abatch_uses_single_pool_checkout": INTERNALS,
        "test_vector_store_initialization": VECTORS,
        "test_vector_insert_with_auto_embedding": VECTORS,
        "test_vector_update_with_embedding": VECTORS,
        "test_vector_search_with_filters": VECTORS,
        "test_vector_search_pagination": VECTORS,
        "test_vector_search_edge_cases": VECTORS,
        "test_embed_with_path": VECTORS,
        "test_search_sorting": VECTORS,
    },
)
globals().update(SUITE.tests())


@pytest.fixture
async def store(server: Server) -> AsyncIterator[AsyncStore]:
    async with async_store_of(server) as store:
        yield store
