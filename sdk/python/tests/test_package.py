"""What is made of other files is current, and the package works where nothing else is installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import agentfs
import generate
from server import CHECKOUT, Server

FOLDER = CHECKOUT / "sdk" / "python"


def test_generated_files_are_current(tmp_path: Path) -> None:
    generate.main(tmp_path)
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.py"))
    assert len(made) == 6
    for path in made:
        current = (generate.SOURCES / path).read_text() == (tmp_path / path).read_text()
        assert current, f"{path} is not current: run `make generate` and commit it"


def test_the_version_is_that_of_the_api() -> None:
    description = json.loads((CHECKOUT / "api" / "openapi.json").read_text())
    assert agentfs.__version__ == description["info"]["version"]


def test_the_wheel_runs_the_lines_of_the_readme(server: Server, tmp_path: Path) -> None:
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv, "uv is not installed; run the tests by `make test-sdk`"

    def run(*command: str | Path, **more: str) -> str:
        env = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"} | more
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(uv, "build", "--quiet", "--wheel", "--out-dir", tmp_path, FOLDER)
    (wheel,) = tmp_path.glob("agentfs_client-*.whl")
    python = tmp_path / "venv" / "bin" / "python"
    run(uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv")
    run(uv, "pip", "install", "--quiet", "--python", python, wheel)
    assert "agentfs/py.typed" in run(sys.executable, "-m", "zipfile", "--list", wheel)

    (lines,) = re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)
    environment = {"AGENTFS_URL": server.url, "AGENTFS_API_KEY": server.api_key}
    for _ in range(2):
        printed = run(python, "-W", "error", "-c", lines, **environment)
        assert printed == "Ada is allergic to peanuts\n/notes/lunch\n- [x] call Bob\n\n"

    for extra in ("anthropic", "deepagents", "fsspec", "langgraph", "openai"):
        imported = f"try: import agentfs.{extra}\nexcept ImportError as error: print(error)"
        assert f"pip install './sdk/python[{extra}]'" in run(python, "-c", imported)


# By their own names on PyPI, packages of others would be installed: `agentfs` and `agentfs-sdk` are such.
STRANGERS = re.compile(
    r"(?:pip3?|pipx|uv|uvx|poetry|conda|rye|pdm)\b[^\n`]*?(?<![\w./-])(?<!-e )agentfs(?:[-_]\w+)*(?=[\s'\"`\[=<>~!@;,)]|$)",
    re.MULTILINE,
)


def test_no_command_of_the_documents_installs_a_stranger_s_package() -> None:
    for command in (
        "pip install agentfs",
        "pip install -U 'agentfs[anthropic]'",
        'uv add "agentfs-client>=1"',
        "python -m pip install httpx2 agentfs==0.1.0",
        "uvx agentfs-sdk",
        "uv pip install agentfs_client",
    ):
        assert STRANGERS.search(command), command
    for command in ("pip install ./sdk/python", "pip install './sdk/python[anthropic]'"):
        assert not STRANGERS.search(command), command
    texts = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", FOLDER / "README.md"]
    texts += (CHECKOUT / "docs").rglob("*.md")
    texts += (path for folder in ("src", "examples") for path in (FOLDER / folder).rglob("*.py"))
    assert len(texts) > 40
    for path in texts:
        found = STRANGERS.search(path.read_text())
        assert found is None, f"{path.relative_to(CHECKOUT)}: {found and found[0]}"
