"""The files of deepagents, tool by tool, and in its middleware's composition."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from agentfs import AgentFS

backends = pytest.importorskip("deepagents.backends", reason="deepagents needs Python 3.11")

from agentfs.deepagents import AgentFSBackend  # noqa: E402


@pytest.fixture
def files(fs: AgentFS) -> AgentFSBackend:
    return AgentFSBackend(fs, root="/files")


def test_a_file_is_written_read_and_edited(files: AgentFSBackend, fs: AgentFS) -> None:
    assert files.write("/notes/a.md", "one\ntwo\nthree\n").path == "/notes/a.md"
    assert fs.files.read_text("/files/notes/a.md") == "one\ntwo\nthree\n"
    read = files.read("/notes/a.md", offset=1, limit=1)
    assert read.file_data is not None
    assert (read.file_data["content"], read.start_line, read.next_offset) == ("two\n", 2, 2)
    edited = files.edit("/notes/a.md", "two", "2")
    assert (edited.path, edited.occurrences, edited.error) == ("/notes/a.md", 1, None)
    assert files.write("/notes/a.md", "new").error is None
    assert [version.value for version in fs.history("/files/notes/a.md")][1] == "one\n2\nthree\n"


def test_what_does_not_fit_is_said(files: AgentFSBackend) -> None:
    files.write("/a", "x x")
    assert files.edit("/a", "x", "y").error == (
        "Error: String 'x' appears 2 times in file. Use replace_all=True to replace all instances, "
        "or provide a more specific string with surrounding context."
    )
    assert files.edit("/a", "x", "y", replace_all=True).occurrences == 2
    assert "not found in file" in str(files.edit("/a", "z", "y").error)
    assert files.edit("/no", "x", "y").error == "Error: File '/no' not found"
    assert files.read("/no").error == "File '/no' not found"
    assert files.delete("/no").error == "Error: File '/no' not found"
    assert "traversal" in str(files.write("/../b", "x").error)
    assert "traversal" in str(files.read("/../b").error)
    assert "at most 512" in str(files.write("/" + "x" * 600, "x").error)
    large = files.write("/large", "x" * 1_100_000)
    assert str(large.error).startswith("Error: the body is larger than 1024 KiB")


def test_a_directory_is_listed_and_deleted(files: AgentFSBackend, fs: AgentFS) -> None:
    fs.put("/outside", "x")
    for path in ("/a", "/d/b", "/d/e/c"):
        files.write(path, "text")
    listed = files.ls("/")
    assert listed.entries is not None
    assert [(each["path"], each["is_dir"]) for each in listed.entries] == [
        ("/a", False),
        ("/d/", True),
    ]
    assert listed.entries[0]["modified_at"].startswith("20")
    assert [each["path"] for each in files.ls("/d/").entries or []] == ["/d/b", "/d/e/"]
    assert files.ls("/no").entries == []
    assert files.delete("/d").path == "/d"
    assert list(fs.glob("/**")) == ["/files/a", "/outside"]


def test_files_are_found_by_path_and_by_text(files: AgentFSBackend) -> None:
    for path, text in {
        "/top.py": "import os\n",
        "/src/app.py": "x = 1\nimport os.path\n",
        "/src/deep/notes.md": "import (a+b)\n",
    }.items():
        files.write(path, text)

    def found(pattern: str, path: str | None = None) -> list[str]:
        return [each["path"] for each in files.glob(pattern, path).matches or []]

    assert sorted(found("*.py")) == ["/src/app.py", "/top.py"]
    assert found("/*.py") == ["/top.py"]
    assert found("deep/*.md", "/src") == ["/src/deep/notes.md"]
    assert found("*.{md,txt}") == ["/src/deep/notes.md"]
    assert files.glob("../x").error

    matches = files.grep("import", "/src").matches or []
    assert [(each["path"], each["line"]) for each in matches] == [
        ("/src/app.py", 2),
        ("/src/deep/notes.md", 1),
    ]
    assert [each["text"] for each in files.grep("(a+b)").matches or []] == ["import (a+b)"]
    assert files.grep("import", glob="*.py", max_count=1).truncated
    assert files.grep("nothing").matches == []


def test_binary_files_are_kept(files: AgentFSBackend) -> None:
    content = b"\x89PNG\xff\x00"
    uploaded = files.upload_files([("/a.png", content), ("/b.txt", b"text"), ("/../c", b"")])
    assert [each.error for each in uploaded] == [None, None, "invalid_path"]
    downloaded = files.download_files(["/a.png", "/b.txt", "/no", "/../c"])
    assert [(each.content, each.error) for each in downloaded] == [
        (content, None),
        (b"text", None),
        (None, "file_not_found"),
        (None, "invalid_path"),
    ]
    read = files.read("/a.png")
    assert read.file_data is not None
    assert read.file_data["encoding"] == "base64"
    assert "binary" in str(files.edit("/a.png", "a", "b").error)


def test_no_edit_of_several_is_lost(files: AgentFSBackend) -> None:
    files.write("/tally", "".join(f"<{number}>" for number in range(16)))
    with ThreadPoolExecutor(8) as threads:
        edits = threads.map(lambda n: files.edit("/tally", f"<{n}>", f"[{n}]"), range(16))
        assert all(edit.error is None for edit in edits)
    read = files.read("/tally")
    assert read.file_data is not None
    assert read.file_data["content"] == "".join(f"[{number}]" for number in range(16))


def test_it_is_one_of_several_backends(files: AgentFSBackend, fs: AgentFS) -> None:
    other = AgentFSBackend(fs, root="/other")
    both = backends.CompositeBackend(default=other, routes={"/memories/": files})

    async def work() -> None:
        await both.awrite("/memories/a.md", "remembered")
        await both.awrite("/b.md", "elsewhere")
        read = await both.aread("/memories/a.md")
        assert read.file_data["content"] == "remembered"
        found = await both.agrep("e", "/")
        assert sorted(each["path"] for each in found.matches) == ["/b.md", "/memories/a.md"]

    asyncio.run(work())
    assert list(fs.glob("/**")) == ["/files/a.md", "/other/b.md"]
