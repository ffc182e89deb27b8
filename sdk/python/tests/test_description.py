"""The client can send each field of api/openapi.json, and what it returns has each field of the answers."""

from __future__ import annotations

import inspect
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

import httpx2
import pytest

from agentfs import AgentFS, AsyncAgentFS, Delete, Get, Put, models
from generate import ADMINISTRATION, OPENAPI

DESCRIPTION: dict[str, Any] = json.loads(OPENAPI.read_text())
SCHEMAS: dict[str, Any] = DESCRIPTION["components"]["schemas"]
ROUTES = {
    route.rpartition("/")[2]: methods["post"]
    for route, methods in DESCRIPTION["paths"].items()
    if route.startswith("/v1/") and not route.startswith(ADMINISTRATION)
}
MOMENT = "2026-01-02T03:04:05.000006Z"
# What is passed to each argument of the methods, and to each field of the operations of a batch.
ARGUMENTS: dict[str, Any] = {
    "agent": "ada",
    "as_of": MOMENT,
    "atomic": True,
    "depth": 2,
    "details": True,
    "filter": {"status": "open"},
    "idempotency_key": "key",
    "if_sha256": "0" * 64,
    "if_version": "id",
    "importance": 0.5,
    "limit": 2,
    "min_version": "id",
    "mode": "text",
    "order": "newest",
    "overwrite": True,
    "page_size": 1,
    "path": "/a",
    "path_prefix": "/a",
    "pattern": "/*",
    "prefix": "/a",
    "query": "tea",
    "recursive": True,
    "searchable": True,
    "tags": ["t"],
    "tags_any": ["t"],
    "to": "/b",
    "ttl_seconds": 1,
    "value": 1,
}
# What the answers have and the results do not, with the reason.
ELSEWHERE = {
    "ok": "it is always true",
    "found": "the result is None instead",
    "deleted_entries": "`entries` of Deleted",
    "moved": "`entries` of Moved",
    "count": "the number of the entries",
    "next_cursor": "the iteration follows it",
}
OPERATIONS: tuple[type[Any], ...] = (Get, Put, Delete)
RESULTS: dict[str, tuple[type[Any], ...]] = {
    "Agent": (models.Agent,),
    "Author": (models.Author,),
    "DeleteAnswer": (models.Deleted,),
    "DumpedEntry": (models.Entry,),
    "GetAnswer": (models.Entry,),
    "ListItem": (models.ListItem, models.Details),
    "MoveAnswer": (models.Moved,),
    "PutAnswer": (models.Written,),
    "SearchResult": (models.SearchResult,),
    "TouchAnswer": (models.Touched,),
    "Version": (models.Version,),
}


class Noting(httpx2.MockTransport):
    """An API with two pages of nothing, which notes the fields of what it is sent, by the route or the operation of a batch."""

    def __init__(self) -> None:
        self.fields: dict[str, set[str]] = defaultdict(set)
        self.headers: dict[str, set[str]] = defaultdict(set)
        super().__init__(self.answer)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        route = request.url.path.rpartition("/")[2]
        body = json.loads(request.content)
        self.fields[route] |= body.keys()
        self.headers[route] |= set(request.headers)
        for operation in body.get("operations", ()):
            self.fields[f"batch {operation['op']}"] |= operation.keys()
        answer: dict[str, Any] = {
            "ok": True,
            "found": False,
            "deleted": True,
            "deleted_entries": 1,
            "moved": 1,
            "touched": True,
            "version_id": "id",
            "created_at": MOMENT,
        }
        answer["results"] = [dict(answer)] * len(body.get("operations", ()))
        kinds = ("items", "paths", "versions", "entries", "agents")
        pages: dict[str, Any] = {kind: [] for kind in kinds}
        if "cursor" not in body:
            pages["next_cursor"] = "c"
        return httpx2.Response(200, json=answer | pages)


@pytest.fixture(scope="module")
def sent() -> Noting:
    """What all methods send that are called with all of their arguments."""
    transport = Noting()
    with (
        httpx2.Client(transport=transport) as http,
        AgentFS("http://host", "id.secret", http_client=http) as fs,
    ):
        for name in ROUTES:
            method = getattr(fs, name)
            known = inspect.signature(method).parameters
            if name == "batch":
                every = [of(**arguments(named(of))) for of in OPERATIONS]
                fs.batch(every, **arguments(known.keys() - {"operations"}))
                continue
            called = method(**arguments(known))
            if hasattr(called, "__next__"):
                assert list(called) == []
    return transport


def arguments(names: Iterable[str]) -> dict[str, Any]:
    return {name: ARGUMENTS[name] for name in names}


def named(of: type[Any]) -> set[str]:
    """The names of the fields of a dataclass."""
    return {field.name for field in fields(of)}


def members(schema: dict[str, Any]) -> Iterator[str]:
    """The names of the members that an object may have."""
    if "$ref" in schema:
        schema = SCHEMAS[schema["$ref"].rpartition("/")[2]]
    yield from schema.get("properties", ())
    for part in (*schema.get("allOf", ()), *schema.get("oneOf", ())):
        yield from members(part)


def test_each_route_has_its_method_in_both_clients() -> None:
    for name in ROUTES:
        one, other = getattr(AgentFS, name), getattr(AsyncAgentFS, name)
        assert (
            inspect.signature(one).parameters.keys() == inspect.signature(other).parameters.keys()
        )


@pytest.mark.parametrize("route", ROUTES)
def test_a_method_sends_each_field_of_its_route(sent: Noting, route: str) -> None:
    operation = ROUTES[route]
    described = set(members(operation["requestBody"]["content"]["application/json"]["schema"]))
    assert described, route
    assert sent.fields[route] == described
    headers = {each["name"].lower() for each in operation.get("parameters", ())}
    assert headers <= sent.headers[route]


@pytest.mark.parametrize("op", ["get", "put", "delete"])
def test_an_operation_of_a_batch_has_each_of_its_fields(sent: Noting, op: str) -> None:
    described = set(members(SCHEMAS[f"{op.capitalize()}Operation"]))
    assert sent.fields[f"batch {op}"] == described


@pytest.mark.parametrize("schema", RESULTS)
def test_a_result_has_each_field_of_the_answer(schema: str) -> None:
    has = set[str]().union(*map(named, RESULTS[schema]))
    assert set(members(SCHEMAS[schema])) - ELSEWHERE.keys() <= has


def test_each_answer_is_held_against_a_result() -> None:
    """A new kind of answer, or a new field beside the items of a page, is not passed over."""
    for route, operation in ROUTES.items():
        answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
        name = answer["$ref"].rpartition("/")[2]
        if name in RESULTS:
            continue
        items = {"agents", "entries", "items", "note", "paths", "results", "versions"}
        assert set(members(answer)) <= items | ELSEWHERE.keys(), route
