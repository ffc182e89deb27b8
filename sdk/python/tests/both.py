"""The two clients behind one face, so that one test holds both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from inspect import isawaitable
from typing import Any

from agentfs import AgentFS, AsyncAgentFS
from server import Server


class Both:
    """`fs` is one of the clients, and `do` gets what its calls return."""

    def __init__(self, kind: str, server: Server, agent: str) -> None:
        self.fs: Any
        if kind == "sync":
            self.fs = AgentFS(server.url, server.api_key, agent=agent)
        else:
            self.fs = AsyncAgentFS(server.url, server.api_key, agent=agent)
        self._loop = asyncio.new_event_loop()

    def do(self, call: Any) -> Any:
        """The answer of a call; a list, where it is an iterator."""
        if isinstance(call, AsyncIterable):
            return self._loop.run_until_complete(_listed(call))
        if isawaitable(call):
            return self._loop.run_until_complete(_answer(call))
        return list(call) if hasattr(call, "__next__") else call

    def close(self) -> None:
        self.do((self.fs.aclose if hasattr(self.fs, "aclose") else self.fs.close)())
        self._loop.close()


async def _listed(items: AsyncIterable[Any]) -> list[Any]:
    return [item async for item in items]


async def _answer(call: Any) -> Any:
    return await call
