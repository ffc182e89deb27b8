"""A proxy that cuts connections at random, at three places that differ for whoever sends a write."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit


class FlakyProxy:
    """Forwards bytes. `cuts` counts the connections that it cut: the request, the answer, or in the middle of the answer."""

    def __init__(self, url: str, seed: int) -> None:
        target = urlsplit(url)
        self._target = (target.hostname, target.port)
        self._random = random.Random(seed)
        self.cuts: Counter[str] = Counter()
        self.url = ""

    async def serve(self, ready: threading.Event, end: asyncio.Event) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        ready.set()
        await end.wait()
        server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        above_reader, above_writer = await asyncio.open_connection(*self._target)
        up = self._pump(reader, above_writer, {"request": 0.05})
        down = self._pump(above_reader, writer, {"answer": 0.15, "middle": 0.1})
        pumps = [asyncio.ensure_future(up), asyncio.ensure_future(down)]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            above_writer.transport.abort()
            writer.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cuts: dict[str, float]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                for what, share in cuts.items():
                    if self._random.random() < share:
                        self.cuts[what] += 1
                        if what == "middle":
                            writer.write(data[: len(data) // 2])
                            await writer.drain()
                        return
                writer.write(data)
                await writer.drain()


@contextmanager
def flaky_proxy(url: str, seed: int) -> Iterator[FlakyProxy]:
    """A proxy before a server, until the block ends."""
    proxy, ready = FlakyProxy(url, seed), threading.Event()
    loop, end = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(proxy.serve(ready, end)))
    thread.start()
    ready.wait()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()
