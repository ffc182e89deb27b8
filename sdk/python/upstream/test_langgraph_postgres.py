"""LangGraph's store, held to the tests of the one in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server import Server
from sources import Suite
from stores import EXPIRED, INTERNALS, VECTORS, Store, store_of

SUITE = Suite(
    "langgraph-checkpoint-postgres==3.2.0",
    "tests/test_store.py",
    {
        **EXPIRED,
        "test_escape_like_literal": INTERNALS,
        "test_namespace_match_pattern": INTERNALS,
        "test_nonnull_migrations": INTERNALS,
        "test_vector_store_initialization": VECTORS,
        "test_vector_insert_with_auto_embedding": VECTORS,
        "test_vector_update_with_embedding": VECTORS,
        "test_vector_search_with_filters": VECTORS,
        "test_vector_search_pagination": VECTORS,
        "test_vector_search_edge_cases": VECTORS,
        "test_embed_with_path_sync": VECTORS,
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
def vector_store() -> None:
    """Of tests that are left out."""


@pytest.fixture
def fake_embeddings() -> None:
    """Of tests that are left out."""
