"""Leaves out what each suite names, and says so at the end."""

from __future__ import annotations

import os
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[1] / "tests")]
os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"

from agentfs import AgentFS
from server import Server, running
from sources import Suite

PASSED: Counter[str] = Counter()
LEFT_OUT: Counter[tuple[str, str]] = Counter()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    # The largest that there is: one of anthropic's tests writes a file of a million lines.
    with running(MAX_BODY_BYTES=str(8 << 20)) as server:
        yield server


@pytest.fixture
def fs(server: Server) -> Iterator[AgentFS]:
    """A client of an agent that no other test uses."""
    with AgentFS(server.url, server.api_key, agent=f"agent-{uuid.uuid4()}") as fs:
        yield fs


def _suite(item: pytest.Item) -> Suite | None:
    suite = getattr(getattr(item, "module", None), "SUITE", None)
    return suite if isinstance(suite, Suite) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = []
    for item in items:
        suite = _suite(item)
        name = getattr(item, "originalname", item.name)
        if suite is not None and name in suite.left_out:
            LEFT_OUT[f"{suite.package} {suite.file}", f"{name}: {suite.left_out[name]}"] += 1
            left_out.append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    suite = _suite(item)
    if report.when == "call" and report.passed:
        PASSED[f"{suite.package} {suite.file}" if suite else item.module.__doc__] += 1  # type: ignore[attr-defined]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, passed in sorted(PASSED.items()):
        reasons = {what: n for (of, what), n in LEFT_OUT.items() if of == name}
        terminalreporter.write_line(f"{name}: {passed} passed, {sum(reasons.values())} left out")
        for what, times in sorted(reasons.items()):
            terminalreporter.write_line(f"    {what}{f' ({times})' if times > 1 else ''}")
