"""A client of AgentFS: durable memory with the shape of a file system for AI agents.

`AgentFS` and `AsyncAgentFS` are the client. What their calls answer is in `models`, and what they raise in `errors`.
"""

from ._async.client import AsyncAgentFS
from ._async.files import AsyncFiles
from ._sync.client import AgentFS
from ._sync.files import Files
from ._version import __version__
from .errors import (
    AgentFSError,
    APIError,
    ConnectionFailed,
    DestinationExists,
    EditRefused,
    EmbeddingsNotConfigured,
    Forbidden,
    IdempotencyMismatch,
    InvalidRequest,
    NotFound,
    NotText,
    QuotaExceeded,
    RateLimited,
    ServerFault,
    TooLarge,
    Unauthorized,
    Unavailable,
    VersionConflict,
    VersionGone,
)
from .models import (
    Agent,
    Author,
    Deleted,
    Details,
    Entry,
    ListItem,
    Match,
    Moved,
    SearchResult,
    SearchResults,
    Touched,
    Version,
    Written,
)
from .operations import UNCONDITIONAL, Delete, Get, Put
from .retry import RetryPolicy

__all__ = [
    "UNCONDITIONAL",
    "APIError",
    "Agent",
    "AgentFS",
    "AgentFSError",
    "AsyncAgentFS",
    "AsyncFiles",
    "Author",
    "ConnectionFailed",
    "Delete",
    "Deleted",
    "DestinationExists",
    "Details",
    "EditRefused",
    "EmbeddingsNotConfigured",
    "Entry",
    "Files",
    "Forbidden",
    "Get",
    "IdempotencyMismatch",
    "InvalidRequest",
    "ListItem",
    "Match",
    "Moved",
    "NotFound",
    "NotText",
    "Put",
    "QuotaExceeded",
    "RateLimited",
    "RetryPolicy",
    "SearchResult",
    "SearchResults",
    "ServerFault",
    "TooLarge",
    "Touched",
    "Unauthorized",
    "Unavailable",
    "Version",
    "VersionConflict",
    "VersionGone",
    "Written",
    "__version__",
]
