"""Carries flows out over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar, cast

import httpx2

from .._core.flow import Flow, NoReply, Page, Reply, Send
from .._core.settings import Settings

T = TypeVar("T")


class AsyncDriver:
    """Sends what flows ask for, over one pool of connections."""

    def __init__(
        self, settings: Settings, timeout: float, http_client: httpx2.AsyncClient | None
    ) -> None:
        self.settings = settings
        self._owned = http_client is None
        # Its default for connecting is that of reading; a host that is there takes no 5 seconds.
        limits = httpx2.Timeout(timeout, connect=min(timeout, 5.0))
        self._http = http_client or httpx2.AsyncClient(timeout=limits)

    async def run(self, flow: Flow[T]) -> T:
        """What a flow returns."""
        try:
            send = next(flow)
            while True:
                send = flow.send(await self._reply(send))
        except StopIteration as end:
            return cast("T", end.value)

    async def each(self, pages: Flow[Page[T]]) -> AsyncIterator[T]:
        """The items of pages, of which each is asked for when it is needed."""
        rest: Flow[Page[T]] | None = pages
        while rest is not None:
            page = await self.run(rest)
            for item in page.items:
                yield item
            rest = page.rest

    async def aclose(self) -> None:
        """Closes the connections, unless they were given."""
        if self._owned:
            await self._http.aclose()

    async def _reply(self, send: Send) -> Reply | NoReply:
        if send.after:
            await asyncio.sleep(send.after)
        try:
            answer = await self._http.post(
                self.settings.url + send.route,
                content=send.body,
                headers=self.settings.headers(send),
            )
        except httpx2.RequestError as reason:
            return NoReply(reason)
        return Reply(answer.status_code, answer.headers, answer.content)
