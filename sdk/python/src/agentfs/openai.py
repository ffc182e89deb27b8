"""Sessions of the OpenAI Agents SDK in AgentFS. Needs the extra `openai`."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ._core.extras import needs

with needs("openai"):
    from agents import SessionSettings, TResponseInputItem
    from agents.memory.session import SessionABC
    from agents.memory.session_settings import coerce_session_settings, resolve_session_limit

from ._core import many, names, tree
from ._core.flow import gathered
from .operations import Put

if TYPE_CHECKING:
    from ._sync.client import AgentFS

__all__ = ["AgentFSSession"]


class AgentFSSession(SessionABC):
    """A conversation in the memory of an agent: each item is an entry below /sessions and the session's id.

    It requires no event loop of its own: requests are made in threads, so that `Runner.run_sync` can use it too.
    """

    def __init__(
        self,
        session_id: str,
        fs: AgentFS,
        *,
        root: str = "/sessions",
        session_settings: SessionSettings | dict[str, Any] | None = None,
    ) -> None:
        """`fs` is a client that is bound to an agent."""
        self.session_id = session_id
        self.session_settings = coerce_session_settings(session_settings or SessionSettings())
        self._fs = fs
        self._place = f"{root.rstrip('/')}/{names.segment(session_id)}"
        self._last = 0
        self._naming = threading.Lock()

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Returns the items in order; with a limit, the last ones."""
        return await asyncio.to_thread(
            self._get, resolve_session_limit(limit, self.session_settings)
        )

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Adds items at the end. Up to 100 that fit one request are added all or not at all."""
        puts = [
            Put(f"{self._place}/{name}", item, if_version=None)
            for name, item in zip(self._names(), items, strict=False)
        ]
        await asyncio.to_thread(lambda: self._fs._driver.run(many.write(self._fs._memory, puts)))

    async def pop_item(self) -> TResponseInputItem | None:
        """Removes the last item and returns it."""
        return await asyncio.to_thread(self._pop)

    async def clear_session(self) -> None:
        """Removes all items. Their history stays."""
        await asyncio.to_thread(self._fs.delete, self._place, recursive=True)

    def _get(self, limit: int | None) -> list[TResponseInputItem]:
        if limit is None:
            entries = list(self._fs.dump(self._place))
        elif limit <= 0:
            return []
        else:
            read = many.entries(self._fs._memory, self._paths()[-limit:], None)
            entries = self._fs._driver.run(read)
        return [entry.value for entry in entries if entry.path != self._place]

    def _pop(self) -> TResponseInputItem | None:
        while paths := self._paths():
            last = self._fs.get(paths[-1])
            # Whoever deletes it has popped it; another one goes on with the item before.
            if last is not None and self._fs.delete(last.path).deleted:
                item: TResponseInputItem = last.value
                return item
        return None

    def _paths(self) -> list[str]:
        below = self._fs._memory.glob(tree.literal(self._place) + "/*")
        return self._fs._driver.run(gathered(below))

    def _names(self) -> Iterator[str]:
        """Names in the order of time, which differ from those of other writers too."""
        while True:
            with self._naming:
                self._last = max(self._last + 1, time.time_ns())
                name = f"{self._last:020}-{names.unique()}"
            yield name
