"""Spans of OpenTelemetry for what happens to a memory, where opentelemetry-api is installed.

They have the names and attributes of the semantic conventions for generative AI. A span covers all attempts of a call.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from .._version import __version__

try:
    from opentelemetry import propagate, trace
except ModuleNotFoundError:
    _INSTALLED = False
else:
    _INSTALLED = True

_CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


@dataclass(frozen=True)
class Operation:
    """What a call does, as a span has it."""

    name: str
    store: str
    record: str | None = None
    query: str | None = None


@dataclass
class Call:
    """A call that is on its way."""

    headers: dict[str, str] = field(default_factory=dict)
    """With which the server knows the trace."""
    span: Any = None

    def found(self, count: int) -> None:
        """Notes how many records it has found."""
        if self.span is not None:
            self.span.set_attribute("gen_ai.memory.record.count", count)


@contextmanager
def call(operation: Operation | None, url: str) -> Iterator[Call]:
    """A span until the block ends, if there is an operation; without, the caller's own span goes on."""
    if not _INSTALLED:
        yield Call()
        return
    if operation is None:
        yield Call(_headers(None))
        return
    tracer = trace.get_tracer("agentfs", __version__)
    attributes = dict(_attributes(operation, url))
    span = tracer.start_span(operation.name, kind=trace.SpanKind.CLIENT, attributes=attributes)
    try:
        yield Call(_headers(span), span)
    except Exception as error:
        span.set_attribute("error.type", getattr(error, "code", None) or type(error).__name__)
        span.set_status(trace.StatusCode.ERROR, str(error))
        raise
    finally:
        span.end()


def _headers(span: Any) -> dict[str, str]:
    headers: dict[str, str] = {}
    propagate.inject(headers, None if span is None else trace.set_span_in_context(span))
    return headers


def _attributes(operation: Operation, url: str) -> Iterator[tuple[str, Any]]:
    yield "gen_ai.operation.name", operation.name
    yield "gen_ai.provider.name", "agentfs"
    yield "gen_ai.memory.store.id", operation.store
    if operation.record is not None:
        yield "gen_ai.memory.record.id", operation.record
    if operation.query is not None and os.environ.get(_CAPTURE, "").lower() == "true":
        yield "gen_ai.memory.query.text", operation.query
    server = urlsplit(url)
    if server.hostname:
        yield "server.address", server.hostname
        yield "server.port", server.port or (443 if server.scheme == "https" else 80)
