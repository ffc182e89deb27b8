"""What only some need is installed by extras of the package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Says which extra to install where an import of the block fails."""
    try:
        yield
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("agentfs"):
            raise
        raise ImportError(
            f"agentfs.{extra} needs the package {missing.name}, which the extra [{extra}] of agentfs-client brings: "
            f"pip install './sdk/python[{extra}]' in a checkout of AgentFS"
        ) from missing
