"""Sessions of the OpenAI Agents SDK, where its own tests do not look."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentfs import AgentFS
from agentfs.openai import AgentFSSession


def said(*texts: str) -> list[Any]:
    return [{"role": "user", "content": text} for text in texts]


def test_items_are_entries_in_order(fs: AgentFS) -> None:
    async def work() -> None:
        session = AgentFSSession("a/b", fs)
        for number in range(3):
            await session.add_items(said(*(f"{number}.{each}" for each in range(60))))
        items: list[Any] = await session.get_items()
        assert [item["content"] for item in items] == [
            f"{number}.{each}" for number in range(3) for each in range(60)
        ]
        assert await session.get_items(limit=2) == items[-2:]
        assert await session.get_items(limit=0) == []
        assert await session.pop_item() == items[-1]
        await session.clear_session()
        assert await session.get_items() == []

    asyncio.run(work())
    assert [item.path for item in fs.list("/sessions")] == []


def test_sessions_do_not_mix(fs: AgentFS) -> None:
    async def work() -> None:
        one, other = AgentFSSession("one*", fs), AgentFSSession("one", fs, root="/chats/")
        await one.add_items(said("a"))
        await other.add_items(said("b"))
        await AgentFSSession("one", fs).add_items(said("c"))
        assert await one.get_items() == said("a")
        assert await other.get_items() == said("b")
        assert await AgentFSSession("one*", fs).get_items(1) == said("a")

    asyncio.run(work())


def test_an_item_is_popped_once(fs: AgentFS) -> None:
    async def work() -> None:
        await AgentFSSession("s", fs).add_items(said(*map(str, range(8))))
        popped: list[Any] = await asyncio.gather(
            *(AgentFSSession("s", fs).pop_item() for _ in range(10))
        )
        texts = [item["content"] for item in popped if item is not None]
        assert sorted(texts) == sorted(map(str, range(8)))

    asyncio.run(work())


def test_settings_are_checked(fs: AgentFS) -> None:
    session = AgentFSSession("s", fs, session_settings={"limit": 1})
    asyncio.run(session.add_items(said("a", "b")))
    assert asyncio.run(session.get_items()) == said("b")
    with pytest.raises(ValueError, match="must not be empty"):
        AgentFSSession("", fs)
