"""What the clients hand to HTTP, and whose connections they use."""

from __future__ import annotations

import asyncio
import time

import httpx2
import pytest

from agentfs import AgentFS, AsyncAgentFS, ConnectionFailed, RetryPolicy

RETRY = RetryPolicy(max_retries=2, first_wait=0.2, random=lambda: 1.0)


class Refusing(httpx2.MockTransport):
    """Notes the requests and answers none."""

    def __init__(self) -> None:
        self.seen: list[httpx2.Request] = []
        self.first = asyncio.Event()
        super().__init__(self.note)

    def note(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(request)
        self.first.set()
        raise httpx2.ReadTimeout("")


def held(transport: Refusing, waited: float, error: ConnectionFailed) -> None:
    assert "ReadTimeout" in str(error)
    assert waited >= 0.2 + 0.4
    assert len(transport.seen) == 3
    (heads,) = {
        (
            str(request.url),
            request.headers["authorization"],
            request.headers["content-type"],
            request.headers["idempotency-key"],
            request.read(),
        )
        for request in transport.seen
    }
    assert heads[:3] == ("http://host/v1/put", "Bearer id.secret", "application/json")
    assert heads[4] == '{"agent_id":"ada","path":"/é","value":{"a":[1,null]}}'.encode()


def test_a_client_waits_between_its_tries_and_leaves_a_given_one_open() -> None:
    transport = Refusing()
    with httpx2.Client(transport=transport) as http:
        began = time.monotonic()
        with (
            AgentFS("http://host/", "id.secret", agent="ada", retry=RETRY, http_client=http) as fs,
            pytest.raises(ConnectionFailed) as raised,
        ):
            fs.put("/é", {"a": [1, None]})
        held(transport, time.monotonic() - began, raised.value)
        assert not http.is_closed


def test_the_client_for_asyncio_does_so_too_and_lets_others_run() -> None:
    async def put(transport: Refusing) -> tuple[float, ConnectionFailed]:
        began = time.monotonic()
        async with httpx2.AsyncClient(transport=transport) as http:
            fs = AsyncAgentFS(
                "http://host", "id.secret", agent="ada", retry=RETRY, http_client=http
            )
            async with fs:
                writing = asyncio.create_task(fs.put("/é", {"a": [1, None]}))
                await transport.first.wait()
                assert len(transport.seen) == 1
                with pytest.raises(ConnectionFailed) as raised:
                    await writing
            assert not http.is_closed
        return time.monotonic() - began, raised.value

    transport = Refusing()
    held(transport, *asyncio.run(put(transport)))
