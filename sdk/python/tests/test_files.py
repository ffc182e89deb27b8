"""Texts as files, on a server."""

from __future__ import annotations

import re

import pytest

from agentfs import (
    DestinationExists,
    EditRefused,
    Match,
    NotFound,
    NotText,
    Put,
    VersionConflict,
)
from both import Both


def test_a_text_is_written_read_and_changed(both: Both) -> None:
    do, files = both.do, both.fs.files
    first = do(files.write_text("/todo", "one\ntwo\n", searchable=True, tags=["t"]))
    assert do(files.read_text("/todo")) == "one\ntwo\n"
    do(files.edit("/todo", "two", "TWO"))
    do(files.insert("/todo", 1, "and"))
    assert do(files.read_text("/todo")) == "one\nand\nTWO\n"
    assert do(files.read_text("/todo", as_of=first.created_at)) == "one\ntwo\n"
    entry = do(both.fs.get("/todo"))
    assert (entry.tags, entry.searchable, entry.expires_at) == (("t",), True, None)


def test_an_edit_keeps_what_belongs_to_the_entry(both: Both) -> None:
    do, files = both.do, both.fs.files
    do(both.fs.put("/a", "x", importance=0.25, ttl_seconds=600))
    do(files.edit("/a", "x", "y"))
    entry = do(both.fs.get("/a"))
    assert entry.importance == 0.25
    assert (entry.expires_at - entry.created_at).total_seconds() == 600


def test_an_edit_that_is_not_of_one_place_is_refused(both: Both) -> None:
    do, files = both.do, both.fs.files
    do(files.write_text("/a", "x\ny\nx x\n"))
    with pytest.raises(EditRefused, match="does not contain") as refused:
        do(files.edit("/a", "z", "w"))
    assert refused.value.lines == ()
    with pytest.raises(EditRefused, match="3 times, on lines 1, 3, 3") as refused:
        do(files.edit("/a", "x", "w"))
    assert refused.value.lines == [1, 3, 3]
    with pytest.raises(EditRefused, match="3 lines"):
        do(files.insert("/a", 4, "w"))
    assert len(do(both.fs.history("/a"))) == 1
    do(files.edit("/a", "x", "w", replace_all=True))
    assert do(files.read_text("/a")) == "w\ny\nw w\n"


def test_a_new_file_is_not_written_over(both: Both) -> None:
    do, files = both.do, both.fs.files
    do(files.write_text("/a", "1", if_version=None))
    with pytest.raises(VersionConflict):
        do(files.write_text("/a", "2", if_version=None))
    with pytest.raises(TypeError, match="a file is a string, not a dict"):
        do(files.write_text("/a", {"no": "text"}))


def test_what_is_no_file_is_named(both: Both) -> None:
    do, files = both.do, both.fs.files
    with pytest.raises(NotFound, match="/no"):
        do(files.read_text("/no"))
    with pytest.raises(NotFound, match="/no"):
        do(files.edit("/no", "a", "b"))
    with pytest.raises(NotFound, match="/no"):
        do(files.tree("/no"))
    do(both.fs.put("/json", {"a": 1}))
    with pytest.raises(NotText, match="dict"):
        do(files.read_text("/json"))
    with pytest.raises(NotText, match="dict"):
        do(files.insert("/json", 0, "b"))


def test_grep_finds_lines_of_texts(both: Both) -> None:
    do, files = both.do, both.fs.files
    do(files.write_text("/n/1", "tea\nred bicycle\n"))
    do(files.write_text("/n/2", "a Bicycle"))
    do(files.write_text("/other", "bicycle"))
    do(both.fs.put("/n/json", ["bicycle"]))
    assert do(files.grep("b[a-z]cycle$", "/n/*")) == [Match("/n/1", 2, "red bicycle")]
    everywhere = do(files.grep(re.compile("bicycle", re.IGNORECASE)))
    assert [match.path for match in everywhere] == ["/n/1", "/n/2", "/other"]
    assert do(files.grep("none")) == []
    assert do(files.glob("/n/*")) == ["/n/1", "/n/2", "/n/json"]


def test_grep_goes_on_behind_a_batch_and_through_large_files(both: Both) -> None:
    do, files = both.do, both.fs.files
    # More than a page of 100, and more than the 8 MiB that a batch answers.
    for number in range(11):
        do(files.write_text(f"/large/{number:02}", "x" * 900_000 + "\nhere\n"))
    for puts in (range(100), range(100, 101)):
        do(both.fs.batch(Put(f"/small/{number:03}", "here") for number in puts))
    found = do(files.grep("here"))
    assert len(found) == len({match.path for match in found}) == 11 + 101
    assert {match.line for match in found[:11]} == {2}


def test_tree_draws_what_is_below(both: Both) -> None:
    do, files = both.do, both.fs.files
    assert do(files.tree()) == "/"
    for path in ("/a/b/c", "/a/b", "/a/[x]/y", "/z"):
        do(files.write_text(path, ""))
    assert do(files.tree()) == (
        "/\n├── a/\n│   ├── [x]/\n│   │   └── y\n│   ├── b\n│   └── b/\n│       └── c\n└── z"
    )
    assert do(files.tree("/a", depth=1)) == "/a\n├── [x]/\n├── b\n└── b/"
    assert do(files.tree("/a/[x]")) == "/a/[x]\n└── y"


def test_a_directory_is_moved_and_deleted(both: Both) -> None:
    do, files = both.do, both.fs.files
    for path in ("/a", "/a/b", "/a/c/d", "/z"):
        do(files.write_text(path, path, tags=["t"]))
    moved = do(files.move("/a", "/new/a"))
    assert moved.entries == 3
    assert do(files.glob("/**")) == ["/new/a", "/new/a/b", "/new/a/c/d", "/z"]
    entry = do(both.fs.get("/new/a/c/d", min_version=moved.version_id))
    assert (entry.value, entry.tags) == ("/a/c/d", ("t",))
    with pytest.raises(NotFound, match="nothing to move"):
        do(files.move("/a", "/b"))
    with pytest.raises(DestinationExists):
        do(files.move("/z", "/new/a/b"))
    assert do(files.move("/z", "/new/a/b", overwrite=True)).entries == 1
    assert do(files.read_text("/new/a/b")) == "/z"
    assert do(files.delete_tree("/new")) == 3
    with pytest.raises(NotFound, match="/new"):
        do(files.delete_tree("/new"))
