"""LangGraph's long-term memory on AgentFS. Needs the extra `langgraph`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ._core.extras import needs

with needs("langgraph"):
    from langgraph.store.base import BaseStore, Op, Result, TTLConfig
    from langgraph.store.base.batch import AsyncBatchedBaseStore

    from ._core.langgraph import Store

if TYPE_CHECKING:
    from ._async.client import AsyncAgentFS
    from ._sync.client import AgentFS

__all__ = ["AgentFSStore", "AsyncAgentFSStore"]


class AgentFSStore(BaseStore):
    """A LangGraph store in the memory of an agent.

    The item with the key "tea" in the namespace ("ada", "likes") is the entry at /ada/likes/tea, below `root`. Both times of an item
    are those of its latest version. `search` with a query searches by meaning or words, as `AgentFS.search` does, and finds at
    most 50 items; what is in `index` of a put makes no difference to that, unless it is False.
    """

    supports_ttl = True

    def __init__(
        self,
        fs: AgentFS,
        *,
        root: str = "/",
        searchable: bool = True,
        ttl: TTLConfig | None = None,
    ) -> None:
        """`fs` is a client that is bound to an agent.

        Items are searchable unless `searchable` is false, or `index` of their put. `ttl` has the defaults of times to live, in
        minutes; items are gone when they expire, whatever `omit_expired` and `sweep_interval_minutes` say.
        """
        super().__init__()
        self.ttl_config = ttl
        self._driver = fs._driver
        self._store = Store(fs._memory, root, searchable)

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Carries out operations. All reads see the state before the writes."""
        return self._driver.run(self._store.batch(ops))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As `batch`, in a thread. `AsyncAgentFSStore` needs none."""
        return await asyncio.to_thread(self.batch, list(ops))


class AsyncAgentFSStore(AsyncBatchedBaseStore):
    """As `AgentFSStore`, for asyncio. It is made, and used, in one event loop."""

    supports_ttl = True

    def __init__(
        self,
        fs: AsyncAgentFS,
        *,
        root: str = "/",
        searchable: bool = True,
        ttl: TTLConfig | None = None,
    ) -> None:
        """See `AgentFSStore`."""
        super().__init__()
        self.ttl_config = ttl
        self._driver = fs._driver
        self._store = Store(fs._memory, root, searchable)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Carries out operations. All reads see the state before the writes."""
        return await self._driver.run(self._store.batch(ops))
