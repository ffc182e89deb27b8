"""The file system, where fsspec's own tests do not look."""

from __future__ import annotations

import fsspec
import pytest

from agentfs import AgentFS
from agentfs.fsspec import AgentFSFileSystem
from server import Server


@pytest.fixture
def files(server: Server) -> AgentFSFileSystem:
    return AgentFSFileSystem(server.url, server.api_key)


def test_a_url_is_opened(server: Server, fs: AgentFS, agent: str) -> None:
    options = {"url": server.url, "api_key": server.api_key}
    with fsspec.open(f"agentfs://{agent}/notes/a.txt", "w", **options) as out:
        out.write("é\n")
    assert fs.files.read_text("/notes/a.txt") == "é\n"
    with fsspec.open(f"agentfs://{agent}/notes/a.txt", **options) as file:
        assert file.read() == "é\n".encode()


def test_bytes_come_back_as_they_were(files: AgentFSFileSystem, fs: AgentFS, agent: str) -> None:
    for name, content in {
        "text": b"a\r\nb",
        "none": b"",
        "bin": b"\xff\x00\n",
        "nul": b"a\x00",
    }.items():
        files.pipe_file(f"{agent}/{name}", content)
        assert files.cat_file(f"{agent}/{name}") == content
        assert files.info(f"{agent}/{name}")["size"] == len(content)
    assert {each["name"]: each["size"] for each in files.ls(agent)} == {
        f"{agent}/bin": 3,
        f"{agent}/none": 0,
        f"{agent}/nul": 2,
        f"{agent}/text": 4,
    }
    entry = fs.get("/bin")
    assert entry is not None
    assert entry.value == {"encoding": "base64", "content": "/wAK"}


def test_any_value_can_be_read(files: AgentFSFileSystem, fs: AgentFS, agent: str) -> None:
    fs.put("/json", {"a": [1, "é"], "encoding": "base64"})
    assert files.cat_file(f"{agent}/json") == '{"a": [1, "é"], "encoding": "base64"}'.encode()
    fs.put("/like", {"encoding": "base64", "content": "no base64!"})
    assert files.cat_file(f"{agent}/like").startswith(b'{"encoding"')


def test_a_part_is_read_and_text_is_added(files: AgentFSFileSystem, agent: str) -> None:
    path = f"{agent}/log"
    for line in (b"one\n", b"two\n"):
        with files.open(path, "ab") as out:
            out.write(line)
    with files.open(path, "rb") as file:
        file.seek(4)
        assert file.read(3) == b"two"
    assert files.cat_file(path, start=-4) == b"two\n"


def test_what_is_not_there_or_no_file_is_named(files: AgentFSFileSystem, agent: str) -> None:
    files.pipe_file(f"{agent}/d/a", b"")
    for call in (files.cat_file, files.info, files.rm_file, files.ls, files.open):
        with pytest.raises(FileNotFoundError):
            call(f"{agent}/no")
    with pytest.raises(IsADirectoryError):
        files.cat_file(f"{agent}/d")
    with pytest.raises(IsADirectoryError):
        files.pipe_file(agent, b"")
    with pytest.raises(OSError, match="larger than 1024 KiB"):
        files.pipe_file(f"{agent}/large", b"x" * 1_100_000)
    with pytest.raises(OSError, match="not empty"):
        files.rmdir(f"{agent}/d")


def test_files_are_copied_and_moved_with_what_belongs_to_them(
    files: AgentFSFileSystem, fs: AgentFS, agent: str
) -> None:
    fs.put("/a", "text", tags=["t"], searchable=True)
    files.cp_file(f"{agent}/a", f"{agent}/b")
    files.mv(f"{agent}/b", f"{agent}/d/c")
    files.mv(f"{agent}/d", f"{agent}/e", recursive=True)
    assert list(fs.glob("/**")) == ["/a", "/e/c"]
    entry = fs.get("/e/c")
    assert entry is not None
    assert (entry.value, entry.tags, entry.searchable) == ("text", ("t",), True)
    with pytest.raises(FileNotFoundError):
        files.cp_file(f"{agent}/no", f"{agent}/x")


def test_a_tree_is_walked_and_deleted(files: AgentFSFileSystem, fs: AgentFS, agent: str) -> None:
    for path in ("/x/1", "/x/y/2", "/z"):
        fs.put(path, path)
    assert files.find(agent) == [f"{agent}/x/1", f"{agent}/x/y/2", f"{agent}/z"]
    assert files.glob(f"{agent}/x/*") == [f"{agent}/x/1", f"{agent}/x/y"]
    files.rm(f"{agent}/x", recursive=True)
    assert list(fs.glob("/**")) == ["/z"]
    assert agent in files.ls("", detail=False)
    files.rm(agent, recursive=True)
    assert list(fs.glob("/**")) == []


def test_what_is_created_is_not_written_over(files: AgentFSFileSystem, agent: str) -> None:
    with files.open(f"{agent}/a", "xb") as out:
        out.write(b"1")
    out = files.open(f"{agent}/b", "xb")
    files.pipe_file(f"{agent}/b", b"another")
    with pytest.raises(FileExistsError):
        out.close()
    assert files.cat_file(f"{agent}/b") == b"another"
