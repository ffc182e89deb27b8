"""Each call of the client, on a server."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta, timezone

import pytest

from agentfs import (
    Delete,
    Deleted,
    Details,
    Entry,
    Get,
    InvalidRequest,
    ListItem,
    NotFound,
    Put,
    TooLarge,
    Touched,
    VersionConflict,
    Written,
)
from both import Both
from server import Server


def test_what_is_put_is_got_with_all_that_belongs_to_it(both: Both) -> None:
    do, fs = both.do, both.fs
    value = {"who": "Ada", "likes": ["tea", None, 1.5, True, 12345678901234567890, "é\n\u2028"]}
    put = do(
        fs.put("/a", value, searchable=True, tags=["x", "y"], importance=0.5, ttl_seconds=3600)
    )
    assert isinstance(put, Written)
    got = do(fs.get("/a"))
    assert got == Entry(
        path="/a",
        value=value,
        version_id=put.version_id,
        created_at=put.created_at,
        expires_at=put.created_at + timedelta(seconds=3600),
        tags=("x", "y"),
        importance=0.5,
        searchable=True,
        size=got.size,
        sha256=got.sha256,
    )
    assert got.created_at.tzinfo is not None
    do(fs.put("/text", '"é\n'))
    text = do(fs.get("/text"))
    as_json = '"\\"é\\n"'.encode()
    assert (text.size, text.sha256) == (len(as_json), hashlib.sha256(as_json).hexdigest())
    do(fs.put("/a", None))
    bare = do(fs.get("/a"))
    assert (bare.value, bare.tags, bare.searchable, bare.expires_at) == (None, (), False, None)


def test_where_there_is_nothing_get_answers_none_and_delete_says_so(both: Both) -> None:
    do, fs = both.do, both.fs
    assert do(fs.get("/nothing")) is None
    assert do(fs.delete("/nothing")) == Deleted(False, None, None)
    do(fs.put("/a", 1))
    deleted = do(fs.delete("/a"))
    assert deleted.deleted
    assert deleted.version_id
    assert do(fs.get("/a")) is None


def test_a_write_happens_only_to_the_version_that_it_expects(both: Both) -> None:
    do, fs = both.do, both.fs
    first = do(fs.put("/a", 1, if_version=None))
    with pytest.raises(VersionConflict) as conflict:
        do(fs.put("/a", 2, if_version=None))
    assert conflict.value.current_version == first.version_id
    assert not conflict.value.retryable
    second = do(fs.put("/a", 2, if_version=first.version_id))
    with pytest.raises(VersionConflict) as conflict:
        do(fs.delete("/a", if_version=first.version_id))
    assert conflict.value.current_version == second.version_id
    assert do(fs.delete("/a", if_version=second.version_id)).deleted
    with pytest.raises(VersionConflict) as conflict:
        do(fs.put("/a", 3, if_version=second.version_id))
    assert conflict.value.current_version is None


def test_a_write_happens_only_to_the_value_that_it_expects(both: Both) -> None:
    do, fs = both.do, both.fs
    do(fs.put("/a", {"n": 1}, if_sha256=None))
    one = do(fs.get("/a")).sha256
    with pytest.raises(VersionConflict):
        do(fs.put("/a", {"n": 2}, if_sha256=None))
    do(fs.put("/a", {"n": 2}, if_sha256=one))
    do(fs.put("/a", {"n": 1}, tags=["again"]))
    # The same value as at first, in another version.
    assert do(fs.put("/a", {"n": 3}, if_sha256=one)).version_id
    with pytest.raises(VersionConflict):
        do(fs.delete("/a", if_sha256=one))
    three = do(fs.get("/a")).sha256
    refused, put, deleted = do(
        fs.batch(
            [
                Put("/a", {"n": 4}, if_sha256=one),
                Put("/a", {"n": 3}, if_sha256=three),
                Delete("/a", if_sha256=three),
            ]
        )
    )
    assert isinstance(refused, VersionConflict)
    assert isinstance(put, Written)
    assert deleted.deleted
    with pytest.raises(InvalidRequest, match="not both"):
        do(fs.put("/a", 1, if_sha256=one, if_version=None))
    do(fs.files.write_text("/text", "x"))
    x = do(fs.get("/text")).sha256
    do(fs.files.write_text("/text", "y", if_sha256=x))
    with pytest.raises(VersionConflict):
        do(fs.files.write_text("/text", "z", if_sha256=x))


def test_a_version_says_who_wrote_it_and_what_it_holds(both: Both, server: Server) -> None:
    do, fs = both.do, both.fs
    do(fs.put("/a", "one"))
    got = do(fs.get("/a"))
    do(fs.delete("/a"))
    tombstone, one = do(fs.history("/a"))
    assert (one.size, one.sha256) == (got.size, got.sha256) == (5, got.sha256)
    assert (tombstone.size, tombstone.sha256) == (None, None)
    assert tombstone.author == one.author
    assert one.author.key_id == server.api_key.partition(".")[0]
    assert isinstance(one.author.label, str)


def test_the_past_is_read_as_of_a_moment_and_from_history(both: Both) -> None:
    do, fs = both.do, both.fs
    first = do(fs.put("/d/a", "then", tags=["t"]))
    do(fs.put("/d/a", "now"))
    do(fs.put("/d/b", "new"))
    do(fs.delete("/d/a"))
    assert do(fs.get("/d/a", as_of=first.created_at)).value == "then"
    assert do(fs.get("/d/a", as_of=first.created_at.isoformat())).value == "then"
    assert do(fs.list("/d", as_of=first.created_at)) == [ListItem("/d/a", "file")]
    assert do(fs.glob("/d/*", as_of=first.created_at)) == ["/d/a"]
    assert [entry.value for entry in do(fs.dump(as_of=first.created_at))] == ["then"]
    tea = do(fs.put("/s", "tea", searchable=True))
    do(fs.put("/s", "coffee", searchable=True))
    found = do(fs.search("tea", mode="text", as_of=tea.created_at))
    assert [(each.value, each.version_id) for each in found] == [("tea", tea.version_id)]
    assert do(fs.glob("/d/*")) == ["/d/b"]
    tombstone, now, then = do(fs.history("/d/a"))
    assert tombstone.deleted_at == tombstone.created_at
    assert (tombstone.value, now.value, then.value, then.tags) == (None, "now", "then", ("t",))
    with pytest.raises(ValueError, match="time zone"):
        do(fs.get("/d/a", as_of=datetime(2026, 1, 1)))


def test_search_finds_what_was_put_for_it(both: Both) -> None:
    do, fs = both.do, both.fs
    do(fs.put("/wishes/1", {"wish": "a red bicycle"}, tags=["dear"], searchable=True))
    do(fs.put("/wishes/2", "a bicycle bell", tags=["cheap"], searchable=True))
    do(fs.put("/notes/1", "a bicycle", searchable=True))
    found = do(fs.search("bicycles", path_prefix="/wishes", tags_any=["dear"], mode="text"))
    assert [(each.path, each.value, each.tags) for each in found] == [
        ("/wishes/1", {"wish": "a red bicycle"}, ("dear",))
    ]
    assert 0 < found[0].similarity <= 1
    assert found.note is None
    assert len(do(fs.search("bicycle", limit=2))) == 2
    assert do(fs.search("  ")).note


def test_pages_are_put_together(both: Both) -> None:
    do, fs = both.do, both.fs
    paths = [f"/p/{number:02}" for number in range(7)]
    do(fs.batch(Put(path, path) for path in paths))
    for version in range(6):
        do(fs.put("/v", version))
    assert [item.path for item in do(fs.list("/p", page_size=2))] == paths
    assert do(fs.glob("/p/*", page_size=3)) == paths
    assert do(fs.glob("/p/*", page_size=3, limit=5)) == paths[:5]
    assert do(fs.glob("/p/*", limit=7)) == paths
    assert do(fs.glob("/p/*", limit=0)) == []
    assert [entry.path for entry in do(fs.dump(page_size=2))] == [*paths, "/v"]
    assert [each.value for each in do(fs.history("/v", page_size=2))] == [5, 4, 3, 2, 1, 0]
    assert [each.value for each in do(fs.history("/v", limit=4, page_size=3))] == [5, 4, 3, 2]
    with pytest.raises(ValueError, match="limit"):
        do(fs.dump(limit=-1))


def test_the_agents_are_listed_page_by_page(both: Both, agent: str) -> None:
    do, fs = both.do, both.fs
    for name in ("x", "y"):
        do(fs.put("/a", 1, agent=f"{agent}-{name}"))
    counts = {each.id: each.memory_count for each in do(fs.agents(page_size=1))}
    assert counts[f"{agent}-x"] == counts[f"{agent}-y"] == 1
    assert agent not in counts


def test_a_batch_answers_each_operation(both: Both, agent: str) -> None:
    do, fs = both.do, both.fs
    put, got, refused, deleted, other = do(
        fs.batch(
            [
                Put("/a", {"n": 1}, tags=["t"]),
                Get("/a"),
                Put("/a", 2, if_version=None),
                Delete("/nothing"),
                Get("/a", agent=f"{agent}-other"),
            ]
        )
    )
    assert (got.value, got.version_id, got.tags) == ({"n": 1}, put.version_id, ("t",))
    assert isinstance(refused, VersionConflict)
    assert refused.current_version == put.version_id
    assert deleted == Deleted(False, None, None)
    assert other is None


def test_an_atomic_batch_does_all_or_nothing(both: Both) -> None:
    do, fs = both.do, both.fs
    do(fs.put("/a", 1))
    with pytest.raises(VersionConflict, match=r"operations\[1\]"):
        do(fs.batch([Put("/b", 1), Put("/a", 2, if_version=None)], atomic=True))
    assert do(fs.get("/b")) is None


def test_an_agent_is_bound_or_named_by_the_call(both: Both, agent: str) -> None:
    do, fs = both.do, both.fs
    do(fs.put("/a", "own"))
    do(fs.put("/a", "other", agent=f"{agent}-2"))
    assert do(fs.get("/a")).value == "own"
    assert do(fs.agent(f"{agent}-2").get("/a")).value == "other"
    assert do(fs.agent(f"{agent}-2").files.read_text("/a")) == "other"
    assert do(fs.files.read_text("/a")) == "own"


def test_a_key_of_ones_own_keeps_a_write_from_happening_twice(both: Both, agent: str) -> None:
    do, fs = both.do, both.fs
    first = do(fs.put("/a", 1, idempotency_key=f"{agent}-1"))
    assert do(fs.put("/a", 1, idempotency_key=f"{agent}-1")) == first
    again = do(fs.batch([Put("/a", 1, idempotency_key=f"{agent}-1")]))
    assert again == [first]
    assert len(do(fs.history("/a"))) == 1


def test_a_read_may_ask_for_a_version(both: Both) -> None:
    do, fs = both.do, both.fs
    put = do(fs.put("/a/b", 1))
    assert do(fs.get("/a/b", min_version=put.version_id)).value == 1
    assert do(fs.glob("/a/*", min_version=put.version_id)) == ["/a/b"]
    assert do(fs.list("/a", min_version=put.version_id)) == [ListItem("/a/b", "file")]


def test_what_is_no_json_is_refused_before_it_is_sent(both: Both) -> None:
    do, fs = both.do, both.fs
    with pytest.raises(TypeError, match="datetime"):
        do(fs.put("/a", datetime.now(timezone.utc)))
    with pytest.raises(ValueError, match="JSON"):
        do(fs.put("/a", float("nan")))
    with pytest.raises(TypeError, match=r"tags=\['food'\]"):
        do(fs.put("/a", 1, tags="food"))
    with pytest.raises(TooLarge):
        do(fs.put("/a", "x" * (1 << 20)))
    with pytest.raises(NotFound):
        do(fs.files.read_text("/a"))


def test_a_list_goes_deeper_and_says_more(both: Both) -> None:
    do, fs = both.do, both.fs
    put = do(fs.put("/a/b/c", "text", tags=["t"], importance=0.5, searchable=True, ttl_seconds=60))
    do(fs.put("/a/d", [1, 2]))
    assert do(fs.list("/a")) == [ListItem("/a/b", "dir"), ListItem("/a/d", "file")]
    directory, entry, other = do(fs.list("/a", depth=2, details=True))
    assert directory == ListItem("/a/b", "dir")
    assert (entry.path, entry.type) == ("/a/b/c", "file")
    assert entry.details == Details(
        size=6,
        version_id=put.version_id,
        created_at=put.created_at,
        updated_at=put.created_at,
        expires_at=put.created_at + timedelta(seconds=60),
        tags=("t",),
        importance=0.5,
        searchable=True,
    )
    assert (other.details.size, other.details.expires_at) == (5, None)
    do(fs.put("/a/d", None))
    (again,) = [item for item in do(fs.list("/a", details=True)) if item.details]
    assert again.details.created_at == other.details.created_at < again.details.updated_at


def test_a_dump_may_be_of_one_place(both: Both) -> None:
    do, fs = both.do, both.fs
    for path in ("/p", "/p/a", "/p/b/c", "/pq", "/q"):
        do(fs.put(path, path))
    assert [entry.path for entry in do(fs.dump("/p"))] == ["/p", "/p/a", "/p/b/c"]
    assert [entry.value for entry in do(fs.dump("/p", limit=2, page_size=1))] == ["/p", "/p/a"]


def test_a_dump_and_a_search_may_be_of_some_values(both: Both) -> None:
    do, fs = both.do, both.fs
    for number in (3, 1, 2):
        value = {"text": "a task", "due": {"day": number}}
        do(fs.put(f"/tasks/{number}", value, searchable=True))
    late = {"due.day": {"$gte": 2}}
    newest = do(fs.dump("/tasks", filter=late, order="newest", page_size=1))
    assert [entry.path for entry in newest] == ["/tasks/2", "/tasks/3"]
    found = do(fs.search("task", filter=late, mode="text"))
    assert sorted(result.path for result in found) == ["/tasks/2", "/tasks/3"]
    with pytest.raises(InvalidRequest, match="unknown operator"):
        do(fs.dump(filter={"a": {"$in": [1]}}))


def test_a_touch_moves_the_time_and_writes_no_version(both: Both) -> None:
    do, fs = both.do, both.fs
    put = do(fs.put("/a", 1, ttl_seconds=60))
    touched = do(fs.touch("/a", 3600))
    assert (touched.touched, touched.version_id) == (True, put.version_id)
    assert touched.expires_at > put.created_at + timedelta(seconds=3500)
    assert do(fs.get("/a")).expires_at == touched.expires_at
    assert do(fs.touch("/a", None)).expires_at is None
    assert len(do(fs.history("/a"))) == 1
    assert do(fs.touch("/none", 60)) == Touched(False, None, None)


def test_a_subtree_is_deleted_at_once(both: Both) -> None:
    do, fs = both.do, both.fs
    for path in ("/t", "/t/a/b", "/ta"):
        do(fs.put(path, 1))
    alone = do(fs.delete("/t/a"))
    assert not alone.deleted
    assert alone.note is not None
    assert '"recursive":true' in alone.note
    deleted = do(fs.delete("/t", recursive=True))
    assert (deleted.deleted, deleted.entries) == (True, 2)
    assert do(fs.glob("/**")) == ["/ta"]
    assert do(fs.delete("/ta")).entries == 1
    assert do(fs.delete("/t", recursive=True)) == Deleted(False, None, None)
    with pytest.raises(InvalidRequest, match="if_version"):
        do(fs.delete("/t", recursive=True, if_version=None))
