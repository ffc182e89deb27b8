"""Many writers, and a network that loses answers: no write is lost, and none is made twice."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from agentfs import AgentFS, AsyncAgentFS, Delete, Put, RetryPolicy
from proxy import flaky_proxy
from server import Server

WRITERS, TIMES = 16, 5
PATIENT = RetryPolicy(max_retries=30, first_wait=0.01, longest_wait=0.05)
BEFORE = "".join(f"writer {writer}: 0\n" for writer in range(WRITERS))
AFTER = BEFORE.replace(": 0\n", f": {TIMES}\n")


def test_no_edit_of_many_threads_is_lost(server: Server, agent: str) -> None:
    with (
        AgentFS(server.url, server.api_key, agent=agent) as fs,
        ThreadPoolExecutor(WRITERS) as threads,
    ):
        fs.files.write_text("/tally", BEFORE, tags=["t"])

        def count(writer: int) -> None:
            for done in range(TIMES):
                line = f"writer {writer}: {{}}\n"
                fs.files.edit("/tally", line.format(done), line.format(done + 1))

        list(threads.map(count, range(WRITERS)))
        assert fs.files.read_text("/tally") == AFTER
        versions = list(fs.history("/tally"))
        assert len(versions) == 1 + WRITERS * TIMES
        assert {version.tags for version in versions} == {("t",)}


def test_no_edit_of_many_tasks_is_lost(server: Server, agent: str) -> None:
    async def all_of_them() -> tuple[str, int]:
        async with AsyncAgentFS(server.url, server.api_key, agent=agent) as fs:
            await fs.files.write_text("/tally", "")

            async def count(writer: int) -> None:
                for done in range(TIMES):
                    await fs.files.insert("/tally", 0, f"{writer}.{done}")

            await asyncio.gather(*map(count, range(WRITERS)))
            return await fs.files.read_text("/tally"), len([v async for v in fs.history("/tally")])

    text, versions = asyncio.run(all_of_them())
    made = {f"{writer}.{done}" for writer in range(WRITERS) for done in range(TIMES)}
    assert sorted(text.splitlines()) == sorted(made)
    assert versions == 1 + len(made)


def test_no_write_is_made_twice_where_connections_are_cut(server: Server, agent: str) -> None:
    puts = range(12)

    def write(writer: int) -> None:
        for each in puts:
            fs.put(f"/put/{writer}", each)
        fs.batch(Put(f"/batch/{writer}", each) for each in puts)
        fs.batch([Put(f"/batch/{writer}", "end"), Delete(f"/batch/{writer}")], atomic=True)
        assert fs.delete(f"/put/{writer}").deleted
        fs.files.edit("/text", f"<{writer}>", f"[{writer}]")

    with (
        flaky_proxy(server.url, seed=7) as proxy,
        AgentFS(proxy.url, server.api_key, agent=agent, retry=PATIENT) as fs,
        ThreadPoolExecutor(4) as threads,
    ):
        fs.files.write_text("/text", "<0><1><2><3>")
        list(threads.map(write, range(4)))

    # What came through is looked at without the proxy.
    with AgentFS(server.url, server.api_key, agent=agent) as fs:
        for writer in range(4):
            put = [version.value for version in fs.history(f"/put/{writer}")]
            assert put == [None, *reversed(puts)]
            batch = [version.value for version in fs.history(f"/batch/{writer}")]
            assert batch == [None, "end", *reversed(puts)]
        assert fs.files.read_text("/text") == "[0][1][2][3]"
        assert len(list(fs.history("/text"))) == 5
    assert min(proxy.cuts[what] for what in ("request", "answer", "middle")) > 0, proxy.cuts


def test_no_write_of_tasks_is_made_twice_where_connections_are_cut(
    server: Server, agent: str
) -> None:
    async def write(url: str) -> None:
        async with AsyncAgentFS(url, server.api_key, agent=agent, retry=PATIENT) as fs:
            await asyncio.gather(*(fs.put(f"/{each}", each) for each in range(40)))

    with flaky_proxy(server.url, seed=8) as proxy:
        asyncio.run(write(proxy.url))
    with AgentFS(server.url, server.api_key, agent=agent) as fs:
        assert [len(list(fs.history(f"/{each}"))) for each in range(40)] == [1] * 40
    assert proxy.cuts["answer"] > 0
