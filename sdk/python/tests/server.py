"""`agentfs-server dev` for the tests, on a port and in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
STARTS_WITHIN = 120.0
# Of a key: the one limit that a test runs into, with a key of its own.
SEARCHES_PER_MINUTE = 20


@dataclass(frozen=True)
class Server:
    """Where it is reached, and its keys."""

    url: str
    api_key: str
    admin_key: str


def program() -> Path:
    """AGENTFS_SERVER; without it, the one that cargo builds."""
    if given := os.environ.get("AGENTFS_SERVER"):
        return Path(given)
    build = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "agentfs-server"]
    subprocess.run([*build, "--bin", "agentfs-server"], cwd=CHECKOUT, check=True)
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    return CHECKOUT / target / "release" / "agentfs-server"


@contextmanager
def running(**more: str) -> Iterator[Server]:
    """A server with `more` settings, until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="agentfs-sdk-"))
    # PostgreSQL runs as another user where this is root, and must be able to enter.
    folder.chmod(0o755)
    log = folder / "log"
    settings = {
        "SEARCH_RATE_LIMIT_PER_MINUTE": str(SEARCHES_PER_MINUTE),
        # None: what a search finds then does not depend on a worker.
        "EMBEDDING_MODEL_DIR": "",
        **more,
    }
    command = [str(program()), "dev", "--data-dir", str(folder / "data"), "--listen", "127.0.0.1:0"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=os.environ | settings, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        yield _ready(process, folder / "data" / "dev.env", log)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _ready(process: subprocess.Popen[bytes], file: Path, log: Path) -> Server:
    deadline = time.monotonic() + STARTS_WITHIN
    while not file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not start:\n{log.read_text()}")
        time.sleep(0.05)
    lines = file.read_text().splitlines()
    env = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    return Server(env["AGENTFS_URL"], env["AGENTFS_API_KEY"], env["AGENTFS_ADMIN_KEY"])
