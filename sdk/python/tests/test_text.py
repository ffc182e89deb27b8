"""Changes of texts, without a server."""

from __future__ import annotations

import re

import pytest

from agentfs import EditRefused
from agentfs._core import text


@pytest.mark.parametrize(
    ("before", "line", "after"),
    [
        ("", 0, "new\n"),
        ("a", 0, "new\na"),
        ("a", 1, "a\nnew\n"),
        ("a\n", 1, "a\nnew\n"),
        ("a\n\nb\n", 2, "a\n\nnew\nb\n"),
        ("a\r\nb", 1, "a\r\nnew\nb"),
        ("a\u2028b", 1, "a\u2028b\nnew\n"),
    ],
)
def test_lines_are_inserted_whole(before: str, line: int, after: str) -> None:
    assert text.inserted("/a", before, line, "new") == after
    assert text.inserted("/a", before, line, "new\n") == after


@pytest.mark.parametrize("line", [-1, 3])
def test_a_line_that_is_not_there_is_refused(line: int) -> None:
    with pytest.raises(EditRefused, match="2 lines"):
        text.inserted("/a", "a\nb\n", line, "new")


def test_parts_are_replaced_by_what_is_given_and_nothing_else() -> None:
    assert text.replaced("/a", "a.b", ".", r"\1", every=False) == r"a\1b"
    assert text.replaced("/a", "aaa", "aa", "b", every=True) == "ba"
    assert text.replaced("/a", "aaa", "aa", "b", every=False) == "ba"
    with pytest.raises(EditRefused, match="empty"):
        text.replaced("/a", "a", "", "b", every=True)
    with pytest.raises(EditRefused) as refused:
        text.replaced("/a", "\na\nb\n\na\nb", "a\nb", "c", every=False)
    assert refused.value.lines == [2, 5]


def test_lines_are_matched_without_their_ends() -> None:
    found = list(text.matches("ab\n\nb", re.compile("b$")))
    assert found == [(1, "ab"), (3, "b")]
