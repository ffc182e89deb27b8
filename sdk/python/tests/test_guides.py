"""The guides show the examples as they stand, and these print what they should."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agentfs import AgentFS
from models import ANSWER, models
from server import CHECKOUT, Server

EXAMPLES = CHECKOUT / "sdk" / "python" / "examples"
GUIDES = CHECKOUT / "docs" / "guides"
# By guide: its example, the agent whose memory it uses, and what it prints. Dates are of today.
PRINTED = {
    "claude": ("claude.py", "ada", rf"{re.escape(ANSWER)}\n/memories/food.md 20\d\d-.*\n"),
    "langgraph": (
        "langgraph_store.py",
        "assistant",
        r"\['My food allergies: peanuts'\]\n\('users', 'ada', 'facts'\)\n",
    ),
    "deepagents": (
        "deep_agent.py",
        "researcher",
        rf"{re.escape(ANSWER)}\n/memories\n└── food.md\n",
    ),
    "openai-agents": ("openai_session.py", "ada", rf"({re.escape(ANSWER)}\n){{2}}4\n"),
    "dataframes": ("dataframes.py", "ada", r"8\n\[\('Lima',\)\]\n5\n"),
}


def test_each_example_has_its_guide() -> None:
    guides = {path.stem for path in GUIDES.glob("*.md") if "```python\n" in path.read_text()}
    assert guides == PRINTED.keys()
    examples = {example for example, _, _ in PRINTED.values()}
    assert {path.name for path in EXAMPLES.glob("*.py")} == examples


@pytest.mark.parametrize("guide", PRINTED)
def test_the_example_of_a_guide_runs(server: Server, tmp_path: Path, guide: str) -> None:
    example, agent, printed = PRINTED[guide]
    program = EXAMPLES / example
    blocks = re.findall(r"```python\n(.*?)```", (GUIDES / f"{guide}.md").read_text(), re.DOTALL)
    assert blocks == [program.read_text()], f"docs/guides/{guide}.md does not show {example}"
    if sys.version_info < (3, 11) and guide in ("deepagents", "dataframes"):
        pytest.skip("deepagents, pandas and DuckDB need Python 3.11")

    environment = {"AGENTFS_URL": server.url, "AGENTFS_API_KEY": server.api_key}
    with models() as variables:
        done = subprocess.run(
            [sys.executable, program],
            env=os.environ | environment | variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(printed, done.stdout), done.stdout
    with AgentFS(server.url, server.api_key, agent=agent) as fs:
        assert list(fs.dump(limit=1)), f"{example} has written nothing for {agent}"
