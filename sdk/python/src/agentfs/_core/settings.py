"""The server's URL and the API key."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from .._version import __version__
from .flow import Send

_HELP = "after `make dev`, `. .agentfs-dev/dev.env` sets both"


@dataclass(frozen=True)
class Settings:
    """The server's URL and an API key."""

    url: str
    api_key: str = field(repr=False)

    @classmethod
    def of(cls, url: str | None, api_key: str | None) -> Settings:
        """Takes what is not given from AGENTFS_URL and AGENTFS_API_KEY."""
        url = (url or os.environ.get("AGENTFS_URL", "")).strip().rstrip("/")
        api_key = (api_key or os.environ.get("AGENTFS_API_KEY", "")).strip()
        if not url or not api_key:
            missing = "url or set AGENTFS_URL" if not url else "api_key or set AGENTFS_API_KEY"
            raise ValueError(f"pass {missing}; {_HELP}")
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"the URL must begin with http:// or https://, got {url!r}")
        if not (api_key.isascii() and api_key.isprintable() and " " not in api_key):
            raise ValueError(
                "the API key has characters that no key has; keys look like agfs_live_….…"
            )
        return cls(url, api_key)

    def headers(self, send: Send) -> dict[str, str]:
        """The headers of a request."""
        headers = {
            **send.headers,
            "Authorization": f"Bearer {self.api_key}",
            "Content-Type": "application/json",
            "User-Agent": f"agentfs-python/{__version__}",
        }
        if send.idempotency_key is not None:
            headers["Idempotency-Key"] = send.idempotency_key
        return headers
