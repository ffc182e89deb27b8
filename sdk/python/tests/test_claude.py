"""Claude's memory tool, where the tests of Anthropic's SDK do not look."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from anthropic.tools import ToolError

from agentfs import AgentFS, AsyncAgentFS
from agentfs.anthropic import AsyncMemoryTool, MemoryTool
from both import Both


class Tool:
    """Either of the two tools, told what Claude tells them."""

    def __init__(self, both: Both) -> None:
        self.both = both
        tool = AsyncMemoryTool if isinstance(both.fs, AsyncAgentFS) else MemoryTool
        self.tool = tool(both.fs, searchable=True)

    def __call__(self, command: str, **arguments: object) -> str:
        answer = self.both.do(self.tool.call({"command": command, **arguments}))
        assert isinstance(answer, str)
        return answer


@pytest.fixture
def tool(both: Both) -> Tool:
    return Tool(both)


def test_a_directory_is_shown_with_sizes_and_without_what_is_hidden(tool: Tool) -> None:
    assert tool("view", path="/memories").endswith(":\n0B\t/memories")
    texts = {"b/two": "x" * 1536, "b/deep/er/three": "z", "a": "twelve chars", "b/.hid": "h"}
    for path, text in texts.items():
        tool("create", path=f"/memories/{path}", file_text=text)
    assert tool("view", path="/memories/").splitlines()[1:] == [
        "1.5K\t/memories/",
        "12B\t/memories/a",
        "1.5K\t/memories/b/",
        "0B\t/memories/b/deep/",
        "1.5K\t/memories/b/two",
    ]


def test_a_path_does_not_lead_out_of_the_memory(tool: Tool) -> None:
    for path in ("/memoriesx/a", "memories/a", "/"):
        with pytest.raises(ToolError, match=f"Path must start with /memories, got: {path}"):
            tool("create", path=path, file_text="")
    tool("create", path="/memories/a/./../b//c", file_text="text")
    assert tool("view", path="/memories/b/c").endswith("     1\ttext")
    with pytest.raises(ToolError, match="at most 512 are allowed"):
        tool("create", path="/memories/" + "x" * 600, file_text="")


def test_what_is_a_directory_is_no_file(tool: Tool) -> None:
    tool("create", path="/memories/d/a", file_text="text")
    with pytest.raises(ToolError, match="File /memories/d already exists"):
        tool("create", path="/memories/d", file_text="")
    with pytest.raises(ToolError, match="The path /memories/d is not a file"):
        tool("str_replace", path="/memories/d", old_str="a", new_str="b")
    with pytest.raises(ToolError, match="The path /memories is not a file"):
        tool("insert", path="/memories", insert_line=0, insert_text="b")
    with pytest.raises(ToolError, match="The destination /memories already exists"):
        tool("rename", old_path="/memories/d", new_path="/memories")


def test_other_values_are_left_alone(tool: Tool) -> None:
    tool.both.do(tool.both.fs.put("/memories/json", {"a": 1}))
    for command in (
        {"command": "view", "path": "/memories/json"},
        {"command": "insert", "path": "/memories/json", "insert_line": 0, "insert_text": "b"},
    ):
        with pytest.raises(ToolError, match="Unsupported file type for /memories/json"):
            tool(**command)


def test_a_directory_is_renamed_and_everything_is_cleared(tool: Tool) -> None:
    do, fs = tool.both.do, tool.both.fs
    for name in ("one", "sub/two"):
        tool("create", path=f"/memories/d/{name}", file_text=name)
    tool("rename", old_path="/memories/d", new_path="/memories/e")
    assert do(fs.glob("/**")) == ["/memories/e/one", "/memories/e/sub/two"]
    do(fs.put("/else", 1))
    assert do(tool.tool.clear_all_memory()) == "All memory cleared"
    assert do(fs.glob("/**")) == ["/else"]
    assert len(do(fs.history("/memories/e/one"))) == 2


def test_files_are_found_by_a_search(tool: Tool) -> None:
    tool("create", path="/memories/food", file_text="Ada is allergic to peanuts")
    (found,) = tool.both.do(tool.both.fs.search("peanuts", mode="text"))
    assert found.path == "/memories/food"


def test_no_edit_of_several_is_lost(fs: AgentFS) -> None:
    tool = MemoryTool(fs)
    tool.call({"command": "create", "path": "/memories/log", "file_text": ""})

    def insert(number: int) -> None:
        line = {"insert_line": 0, "insert_text": f"line {number}"}
        tool.call({"command": "insert", "path": "/memories/log", **line})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(insert, range(24)))
    lines = fs.files.read_text("/memories/log").splitlines()
    assert sorted(lines) == sorted(f"line {number}" for number in range(24))
