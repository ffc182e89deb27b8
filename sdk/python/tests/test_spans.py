"""The spans of calls, and the traces that the server is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agentfs import AgentFS, RetryPolicy, VersionConflict

WRITTEN = {"ok": True, "version_id": "v", "created_at": "2026-01-01T00:00:00Z"}
CONFLICT = {"error": {"code": "VERSION_CONFLICT", "message": "no", "current_version_id": "w"}}
EXPORTER = InMemorySpanExporter()


class Answers(httpx2.MockTransport):
    """Answers as it is told, in order, and notes the requests."""

    def __init__(self) -> None:
        self.seen: list[httpx2.Request] = []
        self.answers: list[tuple[int, Any]] = []
        super().__init__(self.answer)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(request)
        status, body = self.answers.pop(0)
        return httpx2.Response(status, content=json.dumps(body))


@pytest.fixture(scope="module", autouse=True)
def _provider() -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
    trace.set_tracer_provider(provider)


@pytest.fixture
def server() -> Answers:
    return Answers()


@pytest.fixture
def fs(server: Answers) -> Iterator[AgentFS]:
    EXPORTER.clear()
    retry = RetryPolicy(first_wait=0.0)
    with httpx2.Client(transport=server) as http:
        yield AgentFS("http://host:8787", "id.secret", agent="ada", retry=retry, http_client=http)


def spans() -> list[ReadableSpan]:
    return list(EXPORTER.get_finished_spans())


def test_a_span_covers_all_attempts_and_the_server_knows_it(server: Answers, fs: AgentFS) -> None:
    server.answers = [(503, {"error": {"code": "UNAVAILABLE", "message": "wait"}}), (200, WRITTEN)]
    fs.put("/a", 1)
    (span,) = spans()
    assert (span.name, span.kind) == ("upsert_memory", trace.SpanKind.CLIENT)
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "upsert_memory",
        "gen_ai.provider.name": "agentfs",
        "gen_ai.memory.store.id": "ada",
        "gen_ai.memory.record.id": "/a",
        "server.address": "host",
        "server.port": 8787,
    }
    context = span.get_span_context()
    assert context is not None
    ids = f"00-{context.trace_id:032x}-{context.span_id:016x}"
    assert [request.headers["traceparent"][:-3] for request in server.seen] == [ids, ids]


def test_writes_are_named_for_what_they_expect(server: Answers, fs: AgentFS) -> None:
    deleted = {"ok": True, "deleted": True, "deleted_entries": 1, "version_id": "v"}
    server.answers = [(200, WRITTEN)] * 3 + [(409, CONFLICT), (200, deleted)]
    fs.put("/a", 1, if_version=None)
    fs.put("/b", 1, if_sha256=None)
    fs.put("/a", 1, if_sha256="0" * 64)
    with pytest.raises(VersionConflict):
        fs.put("/a", 1, if_version="v")
    fs.delete("/a")
    created, updated = ["create_memory"] * 2, ["update_memory"] * 2
    assert [span.name for span in spans()] == [*created, *updated, "delete_memory"]
    failed = spans()[3]
    assert failed.status.status_code is trace.StatusCode.ERROR
    assert (failed.attributes or {})["error.type"] == "VERSION_CONFLICT"


@pytest.mark.parametrize("captured", [False, True])
def test_a_search_says_what_it_found_and_only_if_asked_what_for(
    server: Answers, fs: AgentFS, monkeypatch: pytest.MonkeyPatch, captured: bool
) -> None:
    if captured:
        monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    server.answers = [(200, {"results": []})]
    fs.search("a secret")
    (span,) = spans()
    attributes = span.attributes or {}
    assert attributes["gen_ai.memory.record.count"] == 0
    assert attributes.get("gen_ai.memory.query.text") == ("a secret" if captured else None)


def test_a_read_has_no_span_but_goes_on_with_that_of_its_caller(
    server: Answers, fs: AgentFS
) -> None:
    server.answers = [(200, {"found": False}), (200, {"paths": []}), (200, {"found": False})]
    with trace.get_tracer("test").start_as_current_span("caller") as caller:
        fs.get("/a")
        list(fs.glob("/**"))
    fs.get("/a")
    assert [span.name for span in spans()] == ["caller"]
    trace_id = f"{caller.get_span_context().trace_id:032x}"
    assert [request.headers.get("traceparent", "")[3:35] for request in server.seen] == [
        trace_id,
        trace_id,
        "",
    ]
