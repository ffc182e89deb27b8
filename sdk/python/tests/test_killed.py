"""A client is killed at random and started again with the same work, behind a network that loses answers: no write is doubled."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from agentfs import AgentFS
from killed_writer import ITEMS
from proxy import flaky_proxy
from server import Server

WRITER = Path(__file__).with_name("killed_writer.py")
KILLS = 8


def run(url: str, server: Server, agent: str, kill_after: float | None) -> tuple[int, int]:
    """Runs the writer, and kills it so many items after its start; returns how many it has done, and how it ended."""
    command = [sys.executable, str(WRITER), url, server.api_key, agent]
    done = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        began = time.monotonic()
        for _ in process.stdout:
            done += 1
            if kill_after is not None and done > kill_after:
                # In the middle of the next item: the share of the time that an item has taken.
                time.sleep((kill_after % 1) * (time.monotonic() - began) / done)
                process.kill()
                break
    return done, process.returncode


def test_no_write_of_a_client_that_is_killed_is_doubled(server: Server, agent: str) -> None:
    places = random.Random(11)
    with flaky_proxy(server.url, seed=11) as proxy:
        runs = [run(proxy.url, server, agent, places.uniform(0, ITEMS - 2)) for _ in range(KILLS)]
        assert {code for _, code in runs} == {-signal.SIGKILL}
        assert run(proxy.url, server, agent, None) == (ITEMS, 0)
    assert sum(done for done, _ in runs) > ITEMS, "most was done again"
    assert proxy.cuts["answer"] > 0

    with AgentFS(server.url, server.api_key, agent=agent) as fs:
        assert [version.value for version in fs.history("/counter")] == [*reversed(range(ITEMS))]
        for item in range(ITEMS):
            batch = [version.value for version in fs.history(f"/batch/{item}")]
            assert batch == [None, "two", "one"]
            for place in ("drafts", "moved"):
                moved = [version.value for version in fs.history(f"/{place}/{item}")]
                assert moved == [None, item], place
