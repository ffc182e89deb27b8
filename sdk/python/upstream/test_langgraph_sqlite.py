"""LangGraph's store, held to the tests of the one in SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from server import Server
from sources import Suite
from stores import INTERNALS, VECTORS, Store, store_of

SUITE = Suite(
    "langgraph-checkpoint-sqlite==3.1.2",
    "tests/test_store.py",
    {
        "test_escape_glob_literal": INTERNALS,
        "test_namespace_match_pattern": INTERNALS,
        "test_list_namespaces_prefix_uses_indexable_condition": INTERNALS,
        "test_nonnull_migrations": INTERNALS,
        "test_vector_store_initialization": VECTORS,
        "test_vector_insert_with_auto_embedding": VECTORS,
        "test_vector_update_with_embedding": VECTORS,
        "test_vector_search_with_filters": VECTORS,
        "test_vector_search_pagination": VECTORS,
        "test_vector_search_edge_cases": VECTORS,
        "test_embed_with_path": VECTORS,
        "test_embed_with_path_operation_config": VECTORS,
        "test_scores": VECTORS,
        "test_non_ascii": VECTORS,
    },
)
globals().update(SUITE.tests())


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    with store_of(server) as store:
        yield store


@pytest.fixture
def fake_embeddings() -> None:
    """Of tests that need a store with them, and then make no use of them."""


@pytest.fixture(autouse=True)
def made_by_tests(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    """Some tests make their store themselves."""

    class SqliteStore:
        @staticmethod
        def from_conn_string(_: str) -> AbstractContextManager[Store]:
            return store_of(server)

    def create_vector_store(*_: Any, **__: Any) -> AbstractContextManager[Store]:
        return store_of(server)

    monkeypatch.setattr(SUITE.module, "SqliteStore", SqliteStore)
    monkeypatch.setattr(SUITE.module, "create_vector_store", create_vector_store)
