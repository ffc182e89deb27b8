"""The requests of the API. What has its default is left out."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from ..operations import Delete, Get, Put, Unconditional

if TYPE_CHECKING:
    from . import wire

Operation: TypeAlias = Get | Put | Delete
Moment: TypeAlias = datetime | str


def get(agent: str, op: Get, at: Moment | None) -> wire.GetRequest:
    """Of a get, as of a moment."""
    body: wire.GetRequest = {"agent_id": agent, "path": op.path}
    if op.min_version is not None:
        body["min_version"] = op.min_version
    if at is not None:
        body["as_of"] = as_of(at)
    return body


def put(agent: str, op: Put) -> wire.PutRequest:
    """Of a put."""
    body: wire.PutRequest = {"agent_id": agent, "path": op.path, "value": op.value}
    if op.searchable:
        body["searchable"] = True
    if isinstance(op.tags, str):
        raise TypeError(f"tags={op.tags!r} is one text; write tags=[{op.tags!r}]")
    if tags := list(op.tags):
        body["tags"] = tags
    if op.importance:
        body["importance"] = op.importance
    if op.ttl_seconds is not None:
        body["ttl_seconds"] = op.ttl_seconds
    if not isinstance(op.if_version, Unconditional):
        body["if_version"] = op.if_version
    if not isinstance(op.if_sha256, Unconditional):
        body["if_sha256"] = op.if_sha256
    return body


def delete(agent: str, op: Delete, *, recursive: bool = False) -> wire.DeleteRequest:
    """Of a delete."""
    body: wire.DeleteRequest = {"agent_id": agent, "path": op.path}
    if recursive:
        body["recursive"] = True
    if not isinstance(op.if_version, Unconditional):
        body["if_version"] = op.if_version
    if not isinstance(op.if_sha256, Unconditional):
        body["if_sha256"] = op.if_sha256
    return body


def operation(
    agent: str, op: Operation
) -> wire.GetOperation | wire.PutOperation | wire.DeleteOperation:
    """Of an operation of a batch."""
    if isinstance(op, Get):
        # A batch reads no past.
        reads: wire.GetOperation = {"op": "get", "agent_id": agent, "path": op.path}
        if op.min_version is not None:
            reads["min_version"] = op.min_version
        return reads
    key = idempotency_key(op)
    if isinstance(op, Put):
        puts: wire.PutOperation = {"op": "put", **put(agent, op), "idempotency_key": key}
        return puts
    # A batch deletes no subtrees.
    deletes: wire.DeleteOperation = {"op": "delete", "agent_id": agent, "path": op.path}
    if not isinstance(op.if_version, Unconditional):
        deletes["if_version"] = op.if_version
    if not isinstance(op.if_sha256, Unconditional):
        deletes["if_sha256"] = op.if_sha256
    deletes["idempotency_key"] = key
    return deletes


def idempotency_key(op: Put | Delete) -> str:
    """The write's own, or a new one."""
    return new_key(op.idempotency_key)


def new_key(given: str | None) -> str:
    """The key that is given, or a new one."""
    return given or str(uuid.uuid4())


def as_of(at: Moment) -> str:
    """A moment in the past, in RFC 3339."""
    if isinstance(at, str):
        return at
    if at.tzinfo is None:
        raise ValueError(
            f"as_of={at!r} has no time zone; give it one, such as datetime.timezone.utc"
        )
    return at.isoformat()
