"""Sessions of the OpenAI Agents SDK, held to the tests of the one in SQLite."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from agentfs import AgentFS
from agentfs.openai import AgentFSSession
from server import Server
from sources import Suite

CONNECTIONS = "it tests the connections, locks and transactions of SQLite"
ROWS = "it damages rows of SQLite, and AgentFS takes nothing but JSON"
SUITE = Suite(
    "openai-agents==0.24.0",
    "tests/memory/test_session.py",
    {
        "test_sqlite_session_close_closes_worker_thread_connections": CONNECTIONS,
        "test_sqlite_session_reaps_connections_from_exited_worker_threads": CONNECTIONS,
        "test_sqlite_session_closes_retired_connections_before_the_next_allocation": CONNECTIONS,
        "test_sqlite_session_keeps_connections_of_live_worker_threads": CONNECTIONS,
        "test_sqlite_session_closed_rejects_empty_add_items": CONNECTIONS,
        "test_sqlite_session_file_lock_is_shared_across_instances": CONNECTIONS,
        "test_sqlite_session_failed_add_items_releases_write_lock": CONNECTIONS,
        "test_sqlite_session_failed_clear_session_rolls_back": CONNECTIONS,
        "test_sqlite_session_failed_pop_item_releases_write_lock": CONNECTIONS,
        "test_sqlite_session_rollback_failure_evicts_connection": CONNECTIONS,
        "test_sqlite_session_close_retries_quarantined_connection": CONNECTIONS,
        "test_sqlite_session_post_commit_cancellation_propagates_after_known_outcome": CONNECTIONS,
        "test_await_mutation_cancellation_hides_later_failure_without_loop_error": CONNECTIONS,
        "test_sqlite_session_pop_item_skips_corrupt_most_recent": ROWS,
        "test_sqlite_session_pop_item_returns_none_after_dropping_only_corrupt_rows": ROWS,
        "test_sqlite_session_get_items_limit_skips_corrupt_newest_rows": ROWS,
        "test_sqlite_session_get_items_session_settings_limit_skips_corrupt_rows": ROWS,
    },
)
globals().update(SUITE.tests())


class Session(AgentFSSession):
    def close(self) -> None:
        """The client is closed by whoever made it."""


@pytest.fixture(autouse=True)
def made_by_tests(monkeypatch: pytest.MonkeyPatch, server: Server, fs: AgentFS) -> None:
    """The file of a database stands for an agent; without a file, each session has one of its own."""

    def session(session_id: str, file: Any = None, **options: Any) -> Session:
        agent = f"agent-{uuid.uuid5(uuid.NAMESPACE_URL, str(file)) if file else uuid.uuid4()}"
        return Session(session_id, fs.agent(agent), **options)

    monkeypatch.setattr(SUITE.module, "SQLiteSession", session)
