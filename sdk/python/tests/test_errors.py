"""What goes wrong on a server, by kind."""

from __future__ import annotations

from typing import get_args

import httpx2
import pytest

import agentfs
from agentfs import AgentFS, Get, RetryPolicy
from agentfs._core import wire
from agentfs.errors import KINDS
from server import SEARCHES_PER_MINUTE, Server

ONCE = RetryPolicy(max_retries=0)


def key_with(server: Server, *scopes: str) -> str:
    answer = httpx2.post(
        f"{server.url}/v1/admin/create-key",
        json={"scopes": scopes},
        headers={"Authorization": f"Bearer {server.admin_key}"},
    )
    key: str = answer.raise_for_status().json()["api_key"]
    return key


def test_every_code_of_the_api_has_a_kind() -> None:
    assert set(KINDS) == set(get_args(wire.ErrorCode))
    assert all(issubclass(kind, agentfs.APIError) for kind in KINDS.values())


@pytest.mark.parametrize(
    ("path", "kind", "code"),
    [
        ("notes/lunch", agentfs.InvalidRequest, "INVALID_PATH"),
        ("/sys/x", agentfs.Forbidden, "RESERVED_PATH"),
    ],
)
def test_a_wrong_request_says_what_is_wrong(
    fs: AgentFS, path: str, kind: type[agentfs.APIError], code: str
) -> None:
    with pytest.raises(kind) as raised:
        fs.get(path)
    error = raised.value
    assert type(error) is kind
    assert error.code == code
    assert error.status in (400, 403)
    assert error.request_id
    assert error.request_id in str(error)
    assert code in str(error)
    assert not error.retryable


def test_a_key_that_is_unknown_or_lacks_a_scope_is_refused(server: Server) -> None:
    unknown = f"agfs_live_{'A' * 11}.{'B' * 43}"
    with AgentFS(server.url, unknown, agent="a") as fs, pytest.raises(agentfs.Unauthorized):
        fs.get("/a")
    reader = key_with(server, "memory:read")
    with AgentFS(server.url, reader, agent="a") as fs:
        assert fs.get("/nothing") is None
        with pytest.raises(agentfs.Forbidden, match="memory:write"):
            fs.put("/a", 1)


def test_a_limit_says_when_it_ends(server: Server) -> None:
    key = key_with(server, "search:read")

    def search_on(fs: AgentFS) -> None:
        # The minute may end once on the way.
        for _ in range(2 * SEARCHES_PER_MINUTE + 2):
            fs.search("x")

    with (
        AgentFS(server.url, key, agent="a", retry=ONCE) as fs,
        pytest.raises(agentfs.RateLimited) as raised,
    ):
        search_on(fs)
    assert raised.value.code == "RATE_LIMIT_EXCEEDED"
    assert raised.value.retryable
    assert raised.value.retry_after is not None
    assert 0 < raised.value.retry_after <= 60


def test_a_server_without_embeddings_says_so_at_once(fs: AgentFS) -> None:
    with pytest.raises(agentfs.EmbeddingsNotConfigured) as raised:
        fs.search("x", mode="semantic")
    assert not raised.value.retryable


def test_a_version_that_is_gone_has_its_kind(fs: AgentFS) -> None:
    with pytest.raises(agentfs.VersionGone):
        fs.get("/a", min_version="00000000-0000-7000-8000-000000000000")


def test_one_key_for_two_writes_is_refused(fs: AgentFS, agent: str) -> None:
    fs.put("/a", 1, idempotency_key=agent)
    with pytest.raises(agentfs.IdempotencyMismatch):
        fs.put("/a", 2, idempotency_key=agent)


def test_an_operation_that_is_wrong_refuses_the_batch(fs: AgentFS) -> None:
    with pytest.raises(agentfs.InvalidRequest, match=r"operations\[0\]"):
        fs.batch([Get("wrong")])
    with pytest.raises(agentfs.InvalidRequest):
        fs.batch([])


def test_a_url_that_leads_elsewhere_is_named(server: Server) -> None:
    with (
        AgentFS(f"{server.url}/api", server.api_key, agent="a") as fs,
        pytest.raises(agentfs.NotFound),
    ):
        fs.get("/a")
    with (
        AgentFS("http://127.0.0.1:1", "key", agent="a", retry=ONCE) as fs,
        pytest.raises(agentfs.ConnectionFailed) as raised,
    ):
        fs.get("/a")
    assert isinstance(raised.value.__cause__, httpx2.ConnectError)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.delenv("AGENTFS_URL", raising=False)
    monkeypatch.delenv("AGENTFS_API_KEY", raising=False)
    with pytest.raises(ValueError, match="AGENTFS_URL"):
        AgentFS()
    with pytest.raises(ValueError, match="AGENTFS_API_KEY"):
        AgentFS(server.url)
    with pytest.raises(ValueError, match="http://"):
        AgentFS("127.0.0.1:8787", "key")
    with AgentFS(server.url, server.api_key) as fs:
        with pytest.raises(ValueError, match="no agent"):
            fs.get("/a")
        assert server.api_key not in repr(fs)
    monkeypatch.setenv("AGENTFS_URL", f"{server.url}/")
    monkeypatch.setenv("AGENTFS_API_KEY", server.api_key)
    with AgentFS(agent="nobody") as fs:
        assert fs.get("/a") is None
