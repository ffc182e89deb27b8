"""LangGraph's store, where the tests of other stores do not look."""

from __future__ import annotations

import asyncio

import pytest
from langgraph.store.base import GetOp, ListNamespacesOp, MatchCondition, PutOp, SearchOp

from agentfs import AgentFS, AsyncAgentFS
from agentfs._core import filters
from agentfs.langgraph import AgentFSStore, AsyncAgentFSStore
from server import Server


@pytest.fixture
def store(fs: AgentFS) -> AgentFSStore:
    return AgentFSStore(fs)


@pytest.mark.parametrize(
    "key", ["/notes/a.md", ".", "..", "%2F", "a b", "ключ", "x\x00y\n", "**", "[a]"]
)
def test_any_key_and_label_is_one_segment(store: AgentFSStore, fs: AgentFS, key: str) -> None:
    label = key.replace(".", "-").replace("\0", "-")
    for namespace in (("n",), (label, "n")):
        store.put(namespace, key, {"v": 1})
        item = store.get(namespace, key)
        assert item is not None
        assert (item.namespace, item.key, item.value) == (namespace, key, {"v": 1})
        (found,) = store.search(namespace)
        assert (found.namespace, found.key) == (namespace, key)
        assert namespace in store.list_namespaces(prefix=namespace)
    assert len(list(fs.glob("/*/*"))) == 1


def test_the_reserved_path_is_a_namespace_too(store: AgentFSStore) -> None:
    store.put(("sys", "a"), "k", {"v": 1})
    assert [item.namespace for item in store.search(("sys",))] == [("sys", "a")]
    assert store.list_namespaces() == [("sys", "a")]


def test_what_makes_no_path_is_refused_before_anything_is_written(store: AgentFSStore) -> None:
    for namespace, key, why in (
        (("n",), "", "must not be empty"),
        (("n",), "x" * 600, "AgentFS takes 512 and 64"),
        (("n",) * 64, "k", "65 segments"),
    ):
        with pytest.raises(ValueError, match=why):
            store.batch([PutOp(("n",), "ok", {}), PutOp(namespace, key, {})])
    assert store.list_namespaces() == []


def test_a_store_has_a_place_of_its_own(fs: AgentFS) -> None:
    one, two = AgentFSStore(fs, root="/one"), AgentFSStore(fs, root="/two/")
    one.put(("a",), "k", {"v": 1})
    two.put(("b",), "k", {"v": 2})
    assert [item.namespace for item in one.search(())] == [("a",)]
    assert two.list_namespaces() == [("b",)]
    entry = fs.get("/two/b/k")
    assert entry is not None
    assert entry.value == {"v": 2}


def test_items_are_found_by_their_words_unless_they_are_not_to_be(store: AgentFSStore) -> None:
    store.put(("ada", "likes"), "1", {"text": "a red bicycle"})
    store.put(("ada", "likes"), "2", {"text": "a red car"}, index=False)
    store.put(("bob", "likes"), "1", {"text": "a red kite"})
    store.put(("ada",), "likes", {"text": "red things"})
    (found,) = store.search(("ada", "likes"), query="red")
    assert found.key == "1"
    store.delete(("ada",), "likes")
    (found,) = store.search(("ada",), query="red", filter={"text": {"$ne": "x"}})
    assert (found.key, found.namespace) == ("1", ("ada", "likes"))
    assert found.score is not None
    assert [item.score for item in store.search(("ada",))] == [None, None]


def test_what_others_have_put_is_no_item(store: AgentFSStore, fs: AgentFS) -> None:
    fs.put("/n/text", "a text")
    store.put(("n",), "k", {"v": 1})
    assert [item.key for item in store.search(("n",))] == ["k"]
    assert store.get(("n",), "text") is None


def test_an_item_keeps_the_time_to_live_that_it_was_put_with(fs: AgentFS) -> None:
    store = AgentFSStore(fs, ttl={"default_ttl": 10})
    store.put(("n",), "k", {"v": 1})
    store.put(("n",), "short", {"v": 1}, ttl=0.5)
    store.put(("n",), "long", {"v": 1}, ttl=None)
    before = {entry.path: entry for entry in fs.dump()}
    assert store.get(("n",), "short", refresh_ttl=False) is not None
    assert store.search(("n",), limit=10)
    assert store.get(("n",), "short") is not None
    after = {entry.path: entry for entry in fs.dump()}
    lived = {path: entry.expires_at for path, entry in after.items()}
    assert lived["/n/long"] is None
    for path, seconds in (("/n/k", 600), ("/n/short", 30)):
        was, now = before[path].expires_at, lived[path]
        assert was is not None
        assert now is not None
        assert was < now
        assert abs((now - before[path].created_at).total_seconds() - seconds) < 20


def test_large_batches_are_split(store: AgentFSStore) -> None:
    text = "x" * 300_000
    store.batch([PutOp(("large",), str(n), {"n": n, "text": text}) for n in range(30)])
    items = store.batch([GetOp(("large",), str(n)) for n in range(31)])
    assert [item and item.value["n"] for item in items] == [*range(30), None]  # type: ignore[union-attr]
    store.batch([PutOp(("small",), str(n), {"n": n}) for n in range(250)])
    assert len(store.search(("small",), limit=1000)) == 250


def test_the_latest_come_first_page_by_page(store: AgentFSStore, fs: AgentFS) -> None:
    for number in range(7):
        store.put(("n", str(number % 2)), str(number), {"n": number})
        fs.put(f"/n/0/text-{number}", "no item")
    store.put(("n", "0"), "2", {"n": 2, "again": True})
    pages = [store.search(("n",), limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [[item.key for item in page] for page in pages] == [
        ["2", "6", "5"],
        ["4", "3", "1"],
        ["0"],
        [],
    ]
    odd = store.search(("n",), filter={"n": {"$gte": 3}}, limit=2, offset=1)
    assert [item.key for item in odd] == ["5", "4"]


def test_the_store_for_asyncio_reads_before_it_writes(server: Server, agent: str) -> None:
    async def work() -> None:
        async with AsyncAgentFS(server.url, server.api_key, agent=agent) as fs:
            store = AsyncAgentFSStore(fs)
            await asyncio.gather(
                *(store.aput(("n", str(n % 3)), str(n), {"n": n}) for n in range(9))
            )
            first, listed, _, last = await store.abatch(
                [
                    GetOp(("n", "0"), "0"),
                    ListNamespacesOp((MatchCondition("prefix", ("n",)),)),
                    PutOp(("n", "0"), "0", {"n": "new"}),
                    SearchOp(("n", "0"), {"n": {"$lte": 3}}),
                ]
            )
            assert first.value == {"n": 0}  # type: ignore[union-attr]
            assert listed == [("n", "0"), ("n", "1"), ("n", "2")]
            assert {item.value["n"] for item in last} == {0, 3}  # type: ignore[union-attr]
            again = await store.aget(("n", "0"), "0")
            assert again is not None
            assert again.value == {"n": "new"}

    asyncio.run(work())


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({"n": 9}, True),
        ({"n": True}, False),
        ({"yes": 1}, False),
        ({"yes": True}, True),
        ({"n": {"$gt": 10}}, False),
        ({"n": {"$gte": 9, "$lt": 10.5}}, True),
        ({"n": {"$gt": "1"}}, False),
        ({"s": {"$gt": "a"}}, True),
        ({"s": {"$ne": "b"}}, False),
        ({"none": None}, True),
        ({"none": {"$ne": 1}}, True),
        ({"list": [1, "a"]}, True),
        ({"list": ["a", 1]}, False),
        ({"at": {"deep": {"x": 1}}}, True),
        ({"at.deep.x": 1}, True),
        ({"a.b": "dotted"}, True),
        ({"at": {"deep": {"y": 1}}}, False),
    ],
)
def test_filters_compare_as_json_does(wanted: dict[str, object], fits: bool) -> None:
    value = {"n": 9, "yes": True, "s": "b", "list": [1, "a"], "a.b": "dotted"}
    value["at"] = {"deep": {"x": 1, "z": 2}}
    assert filters.matches(value, filters.checked(wanted)) == fits


def test_the_server_is_sent_what_means_the_same_to_it() -> None:
    same = {"n": 9, "s": "x", "yes": True, "r": {"$gt": 1.5, "$ne": "y"}}
    other = {
        "a.b": 1,
        "none": None,
        "list": [1],
        "at": {"deep": 1},
        "big": {"$lt": float("inf")},
        "nul": "\0",
        "eq": {"$eq": None},
    }
    assert filters.of_server(same | other) == same
    assert len(filters.of_server({str(n): n for n in range(20)})) == 16


def test_filters_that_are_not_known_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Unsupported operator: \$in"):
        filters.checked({"a": {"$in": [1]}})
    with pytest.raises(ValueError, match="Invalid filter key"):
        filters.checked({"a')": 1})
