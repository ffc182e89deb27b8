# Made of api/openapi.json by generate.py; do not change it by hand.
"""What the API takes and answers."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, TypedDict


class AgentsRequest(TypedDict, total=False):
    cursor: str | None
    limit: int | None


class Agent(TypedDict):
    id: str
    memory_count: int


class _AgentsAnswer(TypedDict):
    agents: list[Agent]


class AgentsAnswer(_AgentsAnswer, total=False):
    next_cursor: str | None


ErrorCode: TypeAlias = Literal["VALIDATION_ERROR", "INVALID_PATH", "INVALID_GLOB", "INVALID_IDEMPOTENCY_KEY", "TENANT_NOT_FOUND", "UNAUTHORIZED", "FORBIDDEN", "RESERVED_PATH", "NOT_FOUND", "METHOD_NOT_ALLOWED", "BODY_TOO_LARGE", "ANSWER_TOO_LARGE", "SUBTREE_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "VERSION_CONFLICT", "VERSION_GONE", "DESTINATION_EXISTS", "IDEMPOTENCY_KEY_MISMATCH", "RATE_LIMIT_EXCEEDED", "PREAUTH_RATE_LIMIT_EXCEEDED", "AUTH_LOCKOUT", "QUOTA_WRITES_PER_DAY", "QUOTA_WRITE_BYTES_PER_DAY", "QUOTA_IDEMPOTENCY_KEYS_PER_DAY", "QUOTA_STORED_BYTES", "QUOTA_SEARCHES", "QUOTA_EMBED_TOKENS_PER_DAY", "EMBEDDINGS_NOT_CONFIGURED", "INTERNAL", "UNAVAILABLE"]


class _Error(TypedDict):
    code: ErrorCode
    message: str


class Error(_Error, total=False):
    current_version_id: str | None
    request_id: str | None


class Envelope(TypedDict):
    error: Error


class _GetOperation(TypedDict):
    agent_id: str
    op: Literal["get"]
    path: str


class GetOperation(_GetOperation, total=False):
    min_version: str | None


class _PutOperation(TypedDict):
    agent_id: str
    op: Literal["put"]
    path: str
    value: Any


class PutOperation(_PutOperation, total=False):
    idempotency_key: str
    if_sha256: str | None
    if_version: str | None
    importance: float
    searchable: bool
    tags: list[str]
    ttl_seconds: int | None


class _DeleteOperation(TypedDict):
    agent_id: str
    op: Literal["delete"]
    path: str


class DeleteOperation(_DeleteOperation, total=False):
    idempotency_key: str
    if_sha256: str | None
    if_version: str | None


Operation: TypeAlias = GetOperation | PutOperation | DeleteOperation


class _BatchRequest(TypedDict):
    operations: list[Operation]


class BatchRequest(_BatchRequest, total=False):
    atomic: bool


class _GetAnswer(TypedDict):
    found: bool


class GetAnswer(_GetAnswer, total=False):
    created_at: str | None
    expires_at: str | None
    importance: float | None
    path: str | None
    searchable: bool | None
    sha256: str | None
    size: int | None
    tags: list[str] | None
    value: Any
    version_id: str | None


class PutAnswer(TypedDict):
    created_at: str
    ok: bool
    version_id: str


class _DeleteAnswer(TypedDict):
    deleted: bool
    deleted_entries: int
    ok: bool


class DeleteAnswer(_DeleteAnswer, total=False):
    created_at: str | None
    note: str | None
    version_id: str | None


OperationResult: TypeAlias = GetAnswer | PutAnswer | DeleteAnswer | Envelope


class BatchAnswer(TypedDict):
    results: list[OperationResult]


class _DeleteRequest(TypedDict):
    agent_id: str
    path: str


class DeleteRequest(_DeleteRequest, total=False):
    if_sha256: str | None
    if_version: str | None
    recursive: bool


DumpOrder: TypeAlias = Literal["path", "newest"]


class _DumpRequest(TypedDict):
    agent_id: str


class DumpRequest(_DumpRequest, total=False):
    as_of: str | None
    cursor: str | None
    filter: dict[str, Any] | None
    limit: int | None
    order: DumpOrder
    prefix: str | None


class _DumpedEntry(TypedDict):
    created_at: str
    importance: float
    path: str
    searchable: bool
    tags: list[str]
    value: Any
    version_id: str


class DumpedEntry(_DumpedEntry, total=False):
    expires_at: str | None


class _DumpAnswer(TypedDict):
    count: int
    entries: list[DumpedEntry]


class DumpAnswer(_DumpAnswer, total=False):
    next_cursor: str | None


class _GetRequest(TypedDict):
    agent_id: str
    path: str


class GetRequest(_GetRequest, total=False):
    as_of: str | None
    min_version: str | None


class _GlobRequest(TypedDict):
    agent_id: str
    pattern: str


class GlobRequest(_GlobRequest, total=False):
    as_of: str | None
    cursor: str | None
    limit: int | None
    min_version: str | None


class _GlobAnswer(TypedDict):
    paths: list[str]


class GlobAnswer(_GlobAnswer, total=False):
    next_cursor: str | None


class _HistoryRequest(TypedDict):
    agent_id: str
    path: str


class HistoryRequest(_HistoryRequest, total=False):
    cursor: str | None
    limit: int | None


class _Author(TypedDict):
    key_id: str


class Author(_Author, total=False):
    label: str | None


class _Version(TypedDict):
    created_at: str
    importance: float
    searchable: bool
    tags: list[str]
    value: Any
    version_id: str


class Version(_Version, total=False):
    author: Author | None
    deleted_at: str | None
    expires_at: str | None
    sha256: str | None
    size: int | None


class _HistoryAnswer(TypedDict):
    versions: list[Version]


class HistoryAnswer(_HistoryAnswer, total=False):
    next_cursor: str | None


class _ListRequest(TypedDict):
    agent_id: str
    prefix: str


class ListRequest(_ListRequest, total=False):
    as_of: str | None
    cursor: str | None
    depth: int | None
    details: bool
    limit: int | None
    min_version: str | None


ListItemType: TypeAlias = Literal["file", "dir"]


class _ListItem(TypedDict):
    path: str
    type: ListItemType


class ListItem(_ListItem, total=False):
    created_at: str | None
    expires_at: str | None
    importance: float | None
    searchable: bool | None
    size: int | None
    tags: list[str] | None
    updated_at: str | None
    version_id: str | None


class _ListAnswer(TypedDict):
    items: list[ListItem]


class ListAnswer(_ListAnswer, total=False):
    next_cursor: str | None


_MoveRequest = TypedDict("_MoveRequest", {"agent_id": "str", "from": "str", "to": "str"})


class MoveRequest(_MoveRequest, total=False):
    overwrite: bool


class _MoveAnswer(TypedDict):
    moved: int
    ok: bool


class MoveAnswer(_MoveAnswer, total=False):
    created_at: str | None
    version_id: str | None


class _PutRequest(TypedDict):
    agent_id: str
    path: str
    value: Any


class PutRequest(_PutRequest, total=False):
    if_sha256: str | None
    if_version: str | None
    importance: float
    searchable: bool
    tags: list[str]
    ttl_seconds: int | None


SearchMode: TypeAlias = Literal["semantic", "text", "hybrid"]


class _SearchRequest(TypedDict):
    agent_id: str
    query: str


class SearchRequest(_SearchRequest, total=False):
    as_of: str | None
    filter: dict[str, Any] | None
    limit: int | None
    min_version: str | None
    mode: SearchMode | None
    path_prefix: str | None
    tags_any: list[str] | None


class _SearchResult(TypedDict):
    created_at: str
    importance: float
    path: str
    searchable: bool
    similarity: float
    tags: list[str]
    value: Any
    version_id: str


class SearchResult(_SearchResult, total=False):
    expires_at: str | None


class _SearchAnswer(TypedDict):
    results: list[SearchResult]


class SearchAnswer(_SearchAnswer, total=False):
    note: str | None


class TouchRequest(TypedDict):
    agent_id: str
    path: str
    ttl_seconds: int | None


class _TouchAnswer(TypedDict):
    ok: bool
    touched: bool


class TouchAnswer(_TouchAnswer, total=False):
    expires_at: str | None
    version_id: str | None
