# Made of _async/driver.py by generate.py; do not change it by hand.
"""Carries flows out over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TypeVar, cast

import httpx2

from .._core.flow import Flow, NoReply, Page, Reply, Send
from .._core.settings import Settings

T = TypeVar("T")


class Driver:
    """Sends what flows ask for, over one pool of connections."""

    def __init__(
        self, settings: Settings, timeout: float, http_client: httpx2.Client | None
    ) -> None:
        self.settings = settings
        self._owned = http_client is None
        # Its default for connecting is that of reading; a host that is there takes no 5 seconds.
        limits = httpx2.Timeout(timeout, connect=min(timeout, 5.0))
        self._http = http_client or httpx2.Client(timeout=limits)

    def run(self, flow: Flow[T]) -> T:
        """What a flow returns."""
        try:
            send = next(flow)
            while True:
                send = flow.send(self._reply(send))
        except StopIteration as end:
            return cast("T", end.value)

    def each(self, pages: Flow[Page[T]]) -> Iterator[T]:
        """The items of pages, of which each is asked for when it is needed."""
        rest: Flow[Page[T]] | None = pages
        while rest is not None:
            page = self.run(rest)
            for item in page.items:
                yield item
            rest = page.rest

    def close(self) -> None:
        """Closes the connections, unless they were given."""
        if self._owned:
            self._http.close()

    def _reply(self, send: Send) -> Reply | NoReply:
        if send.after:
            time.sleep(send.after)
        try:
            answer = self._http.post(
                self.settings.url + send.route,
                content=send.body,
                headers=self.settings.headers(send),
            )
        except httpx2.RequestError as reason:
            return NoReply(reason)
        return Reply(answer.status_code, answer.headers, answer.content)
