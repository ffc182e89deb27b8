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
    (wheel,) = tmp_path.glob("agentfs-*.whl")
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
        assert f'install "agentfs[{extra}]"' in run(python, "-c", imported)
