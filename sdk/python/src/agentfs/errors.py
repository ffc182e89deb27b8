"""The exceptions that clients raise."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._core.wire import Error, ErrorCode

__all__ = [
    "APIError",
    "AgentFSError",
    "ConnectionFailed",
    "DestinationExists",
    "EditRefused",
    "EmbeddingsNotConfigured",
    "Forbidden",
    "IdempotencyMismatch",
    "InvalidRequest",
    "NotFound",
    "NotText",
    "QuotaExceeded",
    "RateLimited",
    "ServerFault",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "VersionConflict",
    "VersionGone",
]


class AgentFSError(Exception):
    """Base class of all exceptions of this package."""

    retryable: bool = False
    """Whether the same request may succeed later. The client has already retried before it raises."""

    retry_after: float | None = None
    """Seconds to wait before the next attempt, if the server says so."""


class ConnectionFailed(AgentFSError):
    """The server did not answer: the connection failed, broke or timed out. `__cause__` has the reason.

    A write may or may not have happened. All attempts had the same idempotency key, so it has not happened twice.
    """

    retryable = True


class APIError(AgentFSError):
    """The server answered with an error. The subclass is its kind; `code` is the exact error."""

    code: str | None
    """The error code, such as `INVALID_PATH`; see docs/API.md. None if a proxy in front of the server answered."""

    message: str
    """What is wrong and what to do."""

    status: int | None
    """The HTTP status. None for an operation of a batch, and for errors that the client itself found."""

    request_id: str | None
    """The id of the request in the server's log."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        retryable: bool = False,
    ) -> None:
        about = f" (request {request_id})" if request_id else ""
        super().__init__(f"{code or status}: {message}{about}" if code or status else message)
        self.message = message
        self.code = code
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after
        self.retryable = retryable


class InvalidRequest(APIError):
    """The request is wrong: a path, a pattern, a field or the URL. `message` says how to fix it."""


class Unauthorized(APIError):
    """The key is missing, unknown, expired or revoked."""


class Forbidden(APIError):
    """The key lacks the scope that `message` names, or the path is reserved."""


class NotFound(APIError):
    """`files` found nothing at a path, or the URL has no such route.

    `AgentFS.get` returns None for a path without a value, and does not raise.
    """


class TooLarge(APIError):
    """The request exceeds what the server takes (MAX_BODY_BYTES, by default 1 MiB), its answer what it returns at once, or a
    subtree what it moves or deletes at once.
    """


class VersionConflict(APIError):
    """The entry's latest version is not `if_version`: someone else wrote first. Read it again and decide again."""

    current_version: str | None = None
    """The latest version, or None if the entry does not exist."""


class DestinationExists(APIError):
    """There is an entry where a move would put one. Move to another path, or pass `overwrite=True`."""


class VersionGone(APIError):
    """A restore or a failover lost the version `min_version`."""


class IdempotencyMismatch(APIError):
    """The idempotency key was used before, with a different request."""


class RateLimited(APIError):
    """Too many requests a minute. `retry_after` is the number of seconds until the server accepts more."""


class QuotaExceeded(RateLimited):
    """A quota is used up. `retry_after` is the number of seconds until midnight UTC; None if it is the storage quota."""


class EmbeddingsNotConfigured(APIError):
    """The server has no embeddings, so semantic search is impossible. Search without `mode`."""


class ServerFault(APIError):
    """The server failed. Its log has the reason under `request_id`."""


class Unavailable(APIError):
    """The server or its database is unavailable at the moment."""


class NotText(AgentFSError, TypeError):
    """`files` found a value that is not a string."""


class EditRefused(AgentFSError, ValueError):
    """The edit does not fit the text: nothing was written."""

    lines: Sequence[int]
    """The lines, from 1, on which the text to replace begins; empty if it does not occur."""

    def __init__(self, message: str, lines: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.lines = lines


KINDS: Mapping[ErrorCode, type[APIError]] = {
    "VALIDATION_ERROR": InvalidRequest,
    "INVALID_PATH": InvalidRequest,
    "INVALID_GLOB": InvalidRequest,
    "INVALID_IDEMPOTENCY_KEY": InvalidRequest,
    "TENANT_NOT_FOUND": InvalidRequest,
    "UNAUTHORIZED": Unauthorized,
    "FORBIDDEN": Forbidden,
    "RESERVED_PATH": Forbidden,
    "NOT_FOUND": NotFound,
    "METHOD_NOT_ALLOWED": InvalidRequest,
    "BODY_TOO_LARGE": TooLarge,
    "ANSWER_TOO_LARGE": TooLarge,
    "SUBTREE_TOO_LARGE": TooLarge,
    "UNSUPPORTED_MEDIA_TYPE": InvalidRequest,
    "VERSION_CONFLICT": VersionConflict,
    "DESTINATION_EXISTS": DestinationExists,
    "VERSION_GONE": VersionGone,
    "IDEMPOTENCY_KEY_MISMATCH": IdempotencyMismatch,
    "RATE_LIMIT_EXCEEDED": RateLimited,
    "PREAUTH_RATE_LIMIT_EXCEEDED": RateLimited,
    "AUTH_LOCKOUT": RateLimited,
    "QUOTA_WRITES_PER_DAY": QuotaExceeded,
    "QUOTA_WRITE_BYTES_PER_DAY": QuotaExceeded,
    "QUOTA_IDEMPOTENCY_KEYS_PER_DAY": QuotaExceeded,
    "QUOTA_STORED_BYTES": QuotaExceeded,
    "QUOTA_SEARCHES": QuotaExceeded,
    "QUOTA_EMBED_TOKENS_PER_DAY": QuotaExceeded,
    "EMBEDDINGS_NOT_CONFIGURED": EmbeddingsNotConfigured,
    "INTERNAL": ServerFault,
    "UNAVAILABLE": Unavailable,
}

# Whoever sent the request can mend it: a model that gave a path or a text is told so.
REFUSALS = (InvalidRequest, Forbidden, TooLarge)

# For a newer server, whose codes are not known here, and for a proxy in front of it.
_BY_STATUS = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    413: TooLarge,
    429: RateLimited,
    500: ServerFault,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
_MAY_PASS = {429, 502, 503, 504}
# The key is wrong and stays wrong. For others that last, the server sends x-should-retry.
_LASTING = {"PREAUTH_RATE_LIMIT_EXCEEDED", "AUTH_LOCKOUT"}


def from_reply(status: int, headers: Mapping[str, str], body: bytes) -> APIError:
    """The exception for an answer other than 200."""
    try:
        error = cast("Error", json.loads(body)["error"])
        code: str | None = error["code"]
    except (ValueError, TypeError, KeyError):
        said = body[:200].decode(errors="replace").strip()
        error = {"code": "INTERNAL", "message": f"not an answer of AgentFS: {said!r}"}
        code = None
    retryable = (
        status in _MAY_PASS
        and code not in _LASTING
        and headers.get("x-should-retry", "").lower() != "false"
    )
    return _made(error, code, status, _seconds(headers.get("retry-after")), retryable)


def from_batch(error: Error) -> APIError:
    """The exception for one operation of a batch."""
    return _made(error, error["code"], None, None, error["code"] == "UNAVAILABLE")


def _made(
    error: Error, code: str | None, status: int | None, retry_after: float | None, retryable: bool
) -> APIError:
    by_code = cast("Mapping[str | None, type[APIError]]", KINDS)
    kind = by_code.get(code) or _BY_STATUS.get(status or 0, APIError)
    made = kind(
        error.get("message", "no message"),
        code=code,
        status=status,
        request_id=error.get("request_id"),
        retry_after=retry_after,
        retryable=retryable,
    )
    if isinstance(made, VersionConflict):
        made.current_version = error.get("current_version_id")
    return made


def _seconds(retry_after: Any) -> float | None:
    try:
        return max(0.0, float(retry_after))
    except (TypeError, ValueError):
        # None, or a date, which some proxies send: the usual backoff will do.
        return None
