"""The tests that packages have for their own stores, to be run on ours."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(os.environ.get("UPSTREAM_SOURCES", "sources"))


class Suite:
    """A test file of a package, and why some of its tests are left out."""

    def __init__(self, package: str, file: str, left_out: dict[str, str]) -> None:
        self.package = package
        self.file = file
        self.left_out = left_out
        self.module = _imported(FOLDER / package, file)
        unknown = left_out.keys() - self.names()
        assert not unknown, f"{package} has no tests {unknown} in {file}: name them no longer"

    def tests(self) -> dict[str, Any]:
        """Its tests, and its classes of tests, for the module that runs them."""
        return {
            name: test
            for name, test in vars(self.module).items()
            if name.startswith(("test_", "Test"))
        }

    def names(self) -> set[str]:
        """The names of all tests."""
        names = set()
        for name, test in self.tests().items():
            names |= {each for each in vars(test) if each.startswith("test_")}
            names.add(name)
        return names


def _imported(folder: Path, file: str) -> ModuleType:
    """Several packages call their tests `tests`, so that each is forgotten after its import."""
    name = file.removesuffix(".py").replace("/", ".")
    pytest.register_assert_rewrite(name)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
        for each in [each for each in sys.modules if each.split(".")[0] == "tests"]:
            del sys.modules[each]
