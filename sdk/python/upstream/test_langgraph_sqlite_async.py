"""LangGraph's store for asyncio, held to the tests of the one in SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from server import Server
from sources import Suite
from stores import VECTORS, AsyncStore, async_store_of

SUITE = Suite(
    "langgraph-checkpoint-sqlite==3.1.2",
    "tests/test_async_store.py",
    {
        "test_vector_store_initialization": VECTORS,
        "test_vector_insert_with_auto_embedding": VECTORS,
        "test_vector_update_with_embedding": VECTORS,
        "test_vector_search_with_filters": VECTORS,
        "test_vector_search_pagination": VECTORS,
        "test_vector_search_edge_cases": VECTORS,
        "test_embed_with_path": VECTORS,
    },
)
globals().update(SUITE.tests())


@pytest.fixture
async def store(server: Server) -> AsyncIterator[AsyncStore]:
    async with async_store_of(server) as store:
        yield store


@pytest.fixture
def fake_embeddings() -> None:
    """Of tests that need a store with them, and then make no use of them."""


@pytest.fixture
def conn_string() -> str:
    return ""


@pytest.fixture(autouse=True)
def made_by_tests(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    """Some tests make their store themselves."""

    def create_vector_store(*_: Any, **__: Any) -> AbstractAsyncContextManager[AsyncStore]:
        return async_store_of(server)

    monkeypatch.setattr(SUITE.module, "create_vector_store", create_vector_store)
