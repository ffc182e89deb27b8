"""When a request is sent again: the core alone, with replies made by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

import agentfs
from agentfs import Delete, Get, Put, RetryPolicy
from agentfs._core import many
from agentfs._core.bodies import Operation
from agentfs._core.flow import Flow, NoReply, Reply, Send
from agentfs._core.memory import Memory

CUT = NoReply(OSError("cut"))
# The longest of the random waits: 0.25, 0.5, 1, 2, 4.
POLICY = RetryPolicy(random=lambda: 1.0)
MEMORY = Memory("ada", POLICY)
WRITTEN = {"ok": True, "version_id": "v", "created_at": "2026-01-02T03:04:05.000006Z"}


def reply(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, headers or {}, json.dumps(body).encode())


def refusal(status: int, code: str, **headers: str) -> Reply:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return reply(status, {"error": {"code": code, "message": "no", "request_id": "r"}}, names)


BUSY = refusal(503, "UNAVAILABLE", retry_after="1")


def tried(flow: Flow[Any], *replies: Reply | NoReply) -> tuple[list[Send], Any]:
    """What is sent until the flow ends, which must be after the last reply, and what it returns or raises."""
    sends = [next(flow)]
    for index, each in enumerate(replies, start=1):
        try:
            sends.append(flow.send(each))
        except StopIteration as end:
            assert index == len(replies)
            return sends, end.value
        except agentfs.AgentFSError as error:
            assert index == len(replies)
            return sends, error
    raise AssertionError(f"it is not at its end, and sends {sends[-1]}")


def test_a_write_that_is_sent_again_is_the_same_request_with_the_same_key() -> None:
    sends, written = tried(MEMORY.put(Put("/a", 1)), CUT, BUSY, CUT, reply(200, WRITTEN))
    assert written.version_id == "v"
    assert len({(send.route, send.body, send.idempotency_key) for send in sends}) == 1
    assert sends[0].idempotency_key
    for write in (MEMORY.put(Put("/a", 1)), MEMORY.delete(Delete("/a"))):
        assert next(write).idempotency_key not in (None, sends[0].idempotency_key)


def test_the_writes_of_a_batch_have_a_key_each() -> None:
    ops: list[Operation] = [
        Put("/a", 1),
        Get("/a"),
        Delete("/a"),
        Put("/b", 2, idempotency_key="own"),
    ]
    batch = MEMORY.batch(ops, atomic=False, agent=None)
    sends, _ = tried(batch, CUT, refusal(400, "VALIDATION_ERROR"))
    assert sends[0].body == sends[1].body
    first, got, deleted, own = json.loads(sends[0].body)["operations"]
    assert "idempotency_key" not in got
    assert len({first["idempotency_key"], deleted["idempotency_key"], "own"}) == 3
    assert own["idempotency_key"] == "own"
    assert sends[0].idempotency_key is None


def test_writes_that_are_too_large_together_are_made_in_halves() -> None:
    large = refusal(413, "BODY_TOO_LARGE")
    done = reply(200, {"results": [WRITTEN]})
    puts = [Put(f"/{number}", number) for number in range(2)]
    sends, _ = tried(many.write(MEMORY, puts), large, done, done)
    paths = [[op["path"] for op in json.loads(send.body)["operations"]] for send in sends]
    assert paths == [["/0", "/1"], ["/0"], ["/1"]]
    _, error = tried(many.write(MEMORY, puts[:1]), large)
    assert isinstance(error, agentfs.TooLarge)


def test_waits_double_and_hold_what_the_server_asks_for() -> None:
    limited = refusal(429, "RATE_LIMIT_EXCEEDED", retry_after="7")
    sends, error = tried(MEMORY.get(Get("/a")), CUT, CUT, limited, BUSY, CUT, CUT)
    assert [send.after for send in sends] == [0, 0.25, 0.5, 7 + 1, 1 + 2, 4]
    assert isinstance(error, agentfs.ConnectionFailed)
    assert isinstance(error.__cause__, OSError)


def test_waits_are_spread() -> None:
    low, high = RetryPolicy(random=lambda: 0.0), RetryPolicy(random=lambda: 1.0)
    assert [low.backoff(n) for n in range(3)] == [0.125, 0.25, 0.5]
    assert high.backoff(50) == high.longest_wait


@pytest.mark.parametrize(
    "known",
    [
        refusal(400, "VALIDATION_ERROR"),
        refusal(409, "VERSION_CONFLICT"),
        refusal(422, "IDEMPOTENCY_KEY_MISMATCH"),
        refusal(500, "INTERNAL"),
        refusal(429, "AUTH_LOCKOUT", retry_after="1"),
        refusal(429, "QUOTA_STORED_BYTES", x_should_retry="false"),
        refusal(503, "EMBEDDINGS_NOT_CONFIGURED", x_should_retry="false"),
        refusal(429, "QUOTA_WRITES_PER_DAY", retry_after="3600"),
        Reply(302, {}, b""),
        Reply(200, {}, b"<html>"),
    ],
)
def test_an_answer_that_is_known_is_not_asked_for_again(known: Reply) -> None:
    _, error = tried(MEMORY.put(Put("/a", 1)), known)
    assert isinstance(error, agentfs.AgentFSError)
    if known.headers.get("retry-after") == "3600":
        assert (error.retry_after, error.retryable) == (3600, True)
    else:
        assert not error.retryable


def test_a_call_waits_no_longer_than_it_may_in_all() -> None:
    asked = refusal(503, "UNAVAILABLE", retry_after="40")
    sends, error = tried(MEMORY.get(Get("/a")), asked, asked, asked)
    assert sum(send.after for send in sends) <= POLICY.max_wait
    assert isinstance(error, agentfs.Unavailable)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_what_a_proxy_says_is_of_the_kind_of_its_status(status: int) -> None:
    page = Reply(status, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"<h1>Bad Gateway</h1>")
    _, got = tried(MEMORY.get(Get("/a")), page, reply(200, {"found": False}))
    assert got is None
    _, error = tried(Memory("ada", RetryPolicy(max_retries=0)).get(Get("/a")), page)
    assert isinstance(error, agentfs.Unavailable)
    assert (error.code, error.retry_after) == (None, None)
    assert "Bad Gateway" in str(error)


def test_a_code_of_a_newer_server_is_of_the_kind_of_its_status() -> None:
    _, error = tried(MEMORY.get(Get("/a")), refusal(403, "SOMETHING_NEW"))
    assert isinstance(error, agentfs.Forbidden)
    assert error.code == "SOMETHING_NEW"


def test_what_a_newer_server_adds_is_passed_over() -> None:
    page = {"items": [{"path": "/a", "type": "file", "size": 1}], "new": True}
    flow = MEMORY.list("/", limit=None, page_size=None, as_of=None, min_version=None, agent=None)
    _, got = tried(flow, reply(200, page))
    assert list(got.items) == [agentfs.ListItem("/a", "file")]


def test_a_page_may_be_empty_and_not_the_last() -> None:
    flow = MEMORY.glob("/*", limit=None, page_size=2, as_of=None, min_version=None, agent=None)
    _, first = tried(flow, reply(200, {"paths": [], "next_cursor": "c"}))
    sends, second = tried(first.rest, CUT, reply(200, {"paths": ["/a"]}))
    assert json.loads(sends[0].body) == {
        "agent_id": "ada",
        "pattern": "/*",
        "limit": 2,
        "cursor": "c",
    }
    assert (list(second.items), second.rest) == (["/a"], None)


def test_an_edit_that_meets_another_writer_reads_what_was_in_the_way() -> None:
    from agentfs._core.files import TextFiles

    def entry(value: str, version: str) -> Reply:
        return reply(
            200,
            {
                "found": True,
                "path": "/a",
                "value": value,
                "version_id": version,
                "created_at": "2026-01-02T03:04:05.000006Z",
                "expires_at": "2026-01-02T03:05:05.000006Z",
                "tags": ["t"],
                "importance": 0.5,
                "searchable": True,
            },
        )

    error = {"code": "VERSION_CONFLICT", "message": "no", "current_version_id": "v2"}
    sends, _ = tried(
        TextFiles(MEMORY).edit("/a", "x", "y", every=False, agent=None),
        entry("x", "v1"),
        reply(409, {"error": error}),
        entry("ax", "v2"),
        reply(200, WRITTEN),
    )
    bodies = [json.loads(send.body) for send in sends]
    assert "min_version" not in bodies[0]
    assert bodies[2]["min_version"] == "v2"
    assert 0 < sends[2].after <= 0.5
    assert bodies[3] == {
        "agent_id": "ada",
        "path": "/a",
        "value": "ay",
        "if_version": "v2",
        "tags": ["t"],
        "importance": 0.5,
        "searchable": True,
        "ttl_seconds": 60,
    }
    assert sends[1].idempotency_key != sends[3].idempotency_key
