"""One request with its repetitions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .. import errors
from .flow import Flow, NoReply, Reply, Send

if TYPE_CHECKING:
    from ..retry import RetryPolicy


def encoded(body: object) -> bytes:
    """JSON as it is sent. What JSON does not have is a TypeError or a ValueError."""
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def exchange(send: Send, retry: RetryPolicy) -> Flow[Any]:
    """Sends a request until its answer is known, and returns that; raises the error that it is, or the last one."""
    retries, waited = 0, 0.0
    while True:
        reply = yield send
        if isinstance(reply, Reply) and reply.status == 200:
            return _decoded(reply.body)
        error = _error(reply)
        wait = retry.wait(error, retries, waited)
        if wait is None:
            raise error
        retries, waited = retries + 1, waited + wait
        send = replace(send, after=wait)


def _error(reply: Reply | NoReply) -> errors.AgentFSError:
    if isinstance(reply, Reply):
        return errors.from_reply(reply.status, reply.headers, reply.body)
    reason = reply.reason
    failed = errors.ConnectionFailed(f"no answer: {str(reason) or type(reason).__name__}")
    failed.__cause__ = reason
    return failed


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as reason:
        said = body[:200].decode(errors="replace").strip()
        raise errors.AgentFSError(
            f"not an answer of AgentFS; is the URL right? {said!r}"
        ) from reason
